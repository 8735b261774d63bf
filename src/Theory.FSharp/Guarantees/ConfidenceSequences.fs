namespace OptimalStopping.Theory

open System

/// Running state of an empirical-Bernstein confidence sequence; `ConfidenceSequences.start` makes the first.
/// Low and High hold at all times at once, so that one may look after every query.
[<Struct>]
type ConfidenceSequence =
    {
        Alpha: float
        Count: int64
        /// 1/2 + sum of the observations: the regularised mean is this over Count + 1.
        Total: float
        /// 1/4 + sum of squared deviations from the running means.
        Squares: float
        Weight: float
        WeightedTotal: float
        Variation: float
        /// Bounds of the mean: the intersection of all intervals so far, within [0,1].
        Low: float
        High: float
    }

/// Running state of an alarm that quality has fallen below a floor; `ConfidenceSequences.startAlarm` makes the first.
[<Struct>]
type QualityAlarm =
    {
        Floor: float
        Delta: float
        Count: int64
        Total: float
        Squares: float
        /// Log of the capital won by betting against "quality is at least the floor".
        LogCapital: float
        /// True once the capital has reached 1 / delta, and from then on.
        Raised: bool
    }

/// Anytime-valid monitoring of a mean of values in [0,1], observed one after the other with the same conditional mean
/// given the past (i.i.d. queries in particular); theory-proofs.md section 4b.
[<RequireQualifiedAccess>]
module ConfidenceSequences =

    let private checkValue (x: float) =
        if not (x >= 0.0 && x <= 1.0) then raise (ArgumentOutOfRangeException("x", x, "expected a number in [0,1]"))

    /// Before any observation: [0,1]. Alpha in (0,1) is the chance that the sequence ever misses the mean.
    [<CompiledName "Start">]
    let start (alpha: float) : ConfidenceSequence =
        Samples.requireProbability "alpha" alpha
        { Alpha = alpha
          Count = 0L
          Total = 0.5
          Squares = 0.25
          Weight = 0.0
          WeightedTotal = 0.0
          Variation = 0.0
          Low = 0.0
          High = 1.0 }

    /// Takes one observation in [0,1]: Waudby-Smith and Ramdas's (2023, Theorem 2) predictable plug-in
    /// empirical-Bernstein sequence. O(1). Should the intersection become empty (chance at most alpha), Low > High.
    [<CompiledName "Observe">]
    let observe (state: ConfidenceSequence, x: float) : ConfidenceSequence =
        checkValue x
        let t = float (state.Count + 1L)
        let mean, variance = state.Total / t, state.Squares / t
        let lambda = min 0.5 (sqrt (2.0 * log (2.0 / state.Alpha) / (variance * t * log (1.0 + t))))
        let psi = (-(log (1.0 - lambda)) - lambda) / 4.0
        let weight = state.Weight + lambda
        let weightedTotal = state.WeightedTotal + lambda * x
        let variation = state.Variation + 4.0 * (x - mean) * (x - mean) * psi
        let half = (log (2.0 / state.Alpha) + variation) / weight
        let total = state.Total + x
        let newMean = total / (t + 1.0)
        { state with
            Count = state.Count + 1L
            Total = total
            Squares = state.Squares + (x - newMean) * (x - newMean)
            Weight = weight
            WeightedTotal = weightedTotal
            Variation = variation
            Low = max state.Low (weightedTotal / weight - half)
            High = min state.High (weightedTotal / weight + half) }

    /// Half-width at time t of Robbins's normal-mixture sequence for values in [0,1] (1/2-sub-Gaussian), around the
    /// plain mean: sqrt((t/4 + rho) ln((t/4 + rho) / (rho alpha^2))) / t. rho > 0 decides where it is tightest.
    [<CompiledName "RobbinsHalfWidth">]
    let robbinsHalfWidth (count: int64, alpha: float, rho: float) : float =
        Samples.requireProbability "alpha" alpha
        if count < 1L then raise (ArgumentOutOfRangeException(nameof count, count, "expected at least 1"))
        if not (rho > 0.0) then raise (ArgumentOutOfRangeException(nameof rho, rho, "expected more than 0"))
        let v = float count / 4.0 + rho
        sqrt (v * log (v / (rho * alpha * alpha))) / float count

    /// An alarm for "conditional mean quality below `floor`", both numbers in (0,1): while the mean is at least the
    /// floor, P(ever raised) <= delta.
    [<CompiledName "StartAlarm">]
    let startAlarm (floor: float, delta: float) : QualityAlarm =
        Samples.requireProbability "floor" floor
        Samples.requireProbability "delta" delta
        { Floor = floor; Delta = delta; Count = 0L; Total = 0.5; Squares = 0.25; LogCapital = 0.0; Raised = false }

    /// Takes one quality in [0,1]: capital times 1 + b (floor - x), where the bet b in [0,1] is the approximately
    /// growth-optimal one for the mean and variance of EARLIER observations. A test martingale under the null; Ville.
    [<CompiledName "ObserveQuality">]
    let observeQuality (state: QualityAlarm, x: float) : QualityAlarm =
        checkValue x
        let t = float (state.Count + 1L)
        let gap = state.Floor - state.Total / t
        let bet = Math.Clamp(gap / (state.Squares / t + gap * gap), 0.0, 1.0)
        let logCapital = state.LogCapital + log (1.0 + bet * (state.Floor - x))
        let total = state.Total + x
        let mean = total / (t + 1.0)
        { state with
            Count = state.Count + 1L
            Total = total
            Squares = state.Squares + (x - mean) * (x - mean)
            LogCapital = logCapital
            Raised = state.Raised || logCapital >= -(log state.Delta) }
