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

/// Running state of an alarm that quality has fallen below a floor; `ConfidenceSequences.startAlarm` makes the first. It bets
/// against "quality is at least the floor" with money of its own for every query at which the quality may have dropped, and
/// of these bets keeps those that started at O(log Count) queries: the older, the further apart.
type QualityAlarm =
    {
        Floor: float
        Delta: float
        /// Queries observed.
        Count: int64
        /// The queries (1, 2, ...) at which the bets that still run were started, increasing; the first is 1.
        Starts: int64[]
        /// What each bet owns: for each start, one entry for every stake.
        Wealth: float[]
        /// What bets that no longer run own.
        Retired: float
        /// Log of all that is owned, the money for later starts included; 0 in the beginning.
        LogCapital: float
        /// True once the capital has reached 1 / delta, and from then on.
        Raised: bool
    }

/// The mean quality of late: confidence sequences over windows that end now, of O(log Count) lengths;
/// `ConfidenceSequences.startRecent` makes the first.
type RecentQuality =
    {
        Alpha: float
        /// Queries observed.
        Count: int64
        /// The queries at which the windows begin, increasing; the first is 1.
        Starts: int64[]
        Windows: ConfidenceSequence[]
        /// The query at which the longest window begins that no shorter one contradicts.
        Since: int64
        /// Bounds of the mean quality over that window, within [0,1].
        Low: float
        High: float
    }

/// Which starts are kept: those of queries that many powers of two divide live long.
module private Starts =

    /// The last query that a start at query j sees: it lives for four times the largest power of two that divides j. The first
    /// lives for ever. At query t at most 2 log2(t) + 4 are alive, and for L = 4, 8, 16, ... one of any L/4 queries in a row is
    /// a start that lives for at least L queries.
    let last (j: int64) = if j = 1L then Int64.MaxValue else j + 4L * (j &&& -j) - 1L

    /// The starts that live on after query t.
    let living (starts: int64[]) (t: int64) = starts |> Array.map (fun j -> last j > t)

/// Anytime-valid monitoring of a mean of values in [0,1], observed one after the other: `observe` under the same conditional mean
/// given the past (i.i.d. queries in particular), `observeQuality` and `observeRecent` where it may change (Theorem 13).
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

    /// The interval of this moment alone, before it is intersected with earlier ones: centre and half-width of the weighted
    /// mean. It holds for the mean, under the same weights, of the conditional means even where these change.
    let private interval (state: ConfidenceSequence) : struct (float * float) =
        let centre, half = state.WeightedTotal / state.Weight, (log (2.0 / state.Alpha) + state.Variation) / state.Weight
        struct (centre - half, centre + half)

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
        let total = state.Total + x
        let newMean = total / (t + 1.0)
        let next =
            { state with
                Count = state.Count + 1L
                Total = total
                Squares = state.Squares + (x - newMean) * (x - newMean)
                Weight = weight
                WeightedTotal = weightedTotal
                Variation = variation }
        let struct (low, high) = interval next
        { next with Low = max state.Low low; High = min state.High high }

    /// Half-width at time t of Robbins's normal-mixture sequence for values in [0,1] (1/2-sub-Gaussian), around the
    /// plain mean: sqrt((t/4 + rho) ln((t/4 + rho) / (rho alpha^2))) / t. rho > 0 decides where it is tightest.
    [<CompiledName "RobbinsHalfWidth">]
    let robbinsHalfWidth (count: int64, alpha: float, rho: float) : float =
        Samples.requireProbability "alpha" alpha
        if count < 1L then raise (ArgumentOutOfRangeException(nameof count, count, "expected at least 1"))
        if not (rho > 0.0) then raise (ArgumentOutOfRangeException(nameof rho, rho, "expected more than 0"))
        let v = float count / 4.0 + rho
        sqrt (v * log (v / (rho * alpha * alpha))) / float count

    /// The stakes: shares 1/2, 1/4, ..., 1/256 of the largest stake 1/(1 - floor) that no single quality can ruin.
    let private stakes (floor: float) = Array.init 8 (fun i -> Math.ScaleB(1.0, -(i + 1)) / (1.0 - floor))

    /// An alarm for "conditional mean quality below `floor`", both numbers in (0,1): while the mean is at least the
    /// floor, P(ever raised) <= delta (Theorem 13). How late it is at most after a drop says `alarmDelay`.
    [<CompiledName "StartAlarm">]
    let startAlarm (floor: float, delta: float) : QualityAlarm =
        Samples.requireProbability "floor" floor
        Samples.requireProbability "delta" delta
        { Floor = floor
          Delta = delta
          Count = 0L
          Starts = [||]
          Wealth = [||]
          Retired = 0.0
          LogCapital = 0.0
          Raised = false }

    /// Takes one quality x in [0,1]. Query t opens bets of 1/(t(t+1)), in equal parts for all stakes b; what a bet owns is
    /// multiplied by 1 + b (floor - x). The capital is the sum, with 1/(t+1) left for later starts: a test supermartingale
    /// while the mean is at least the floor; Ville. O(log t). After the alarm only Count moves.
    [<CompiledName "ObserveQuality">]
    let observeQuality (state: QualityAlarm, x: float) : QualityAlarm =
        checkValue x
        let t = state.Count + 1L
        if state.Raised then
            { state with Count = t }
        else
            let factors = stakes state.Floor |> Array.map (fun stake -> 1.0 + stake * (state.Floor - x))
            let kinds = factors.Length
            let fresh = 1.0 / (float t * float (t + 1L) * float kinds)
            let starts = Array.append state.Starts [| t |]
            let owned i = if i < state.Wealth.Length then state.Wealth[i] else fresh
            let wealth = Array.init (starts.Length * kinds) (fun i -> owned i * factors[i % kinds])
            let capital = state.Retired + Array.sum wealth + 1.0 / float (t + 1L)
            let lives = Starts.living starts t
            let kept, gone = wealth |> Array.indexed |> Array.partition (fun (i, _) -> lives[i / kinds])
            { state with
                Count = t
                Starts = starts |> Array.indexed |> Array.filter (fun (i, _) -> lives[i]) |> Array.map snd
                Wealth = Array.map snd kept
                Retired = state.Retired + Array.sumBy snd gone
                LogCapital = log capital
                Raised = capital >= 1.0 / state.Delta }

    /// Theorem 13(b): however good or bad the first `before` queries were, if from then on every conditional mean is at most
    /// `mean` < floor, then with probability at least 1 - eta the alarm is raised within this many further queries. Grows
    /// like ln(before); no assumption on the distribution within [0,1].
    [<CompiledName "AlarmDelay">]
    let alarmDelay (before: int64, floor: float, delta: float, mean: float, eta: float) : int64 =
        Samples.requireProbability "floor" floor
        Samples.requireProbability "delta" delta
        Samples.requireProbability "eta" eta
        if before < 0L then raise (ArgumentOutOfRangeException(nameof before, before, "expected at least 0"))
        if not (mean >= 0.0 && mean < floor) then
            raise (ArgumentOutOfRangeException(nameof mean, mean, $"expected at least 0 and less than the floor {floor}"))
        let kinds = stakes floor
        // Queries that a bet started at query j with this stake needs: its log wealth grows by at least `growth` a query on
        // average, and one query moves it within an interval of length `spread`.
        let needed (j: float) (stake: float) =
            let gain, pain = log (1.0 + stake * floor), log (1.0 - stake * (1.0 - floor))
            let growth, spread = (1.0 - mean) * gain + mean * pain, gain - pain
            if growth <= 0.0 then
                infinity
            else
                let goal = log (float kinds.Length * j * (j + 1.0) / delta)
                let noise = spread * sqrt (log (1.0 / eta) / 2.0)
                ceil (((noise + sqrt (noise * noise + 4.0 * growth * goal)) / (2.0 * growth)) ** 2.0)
        // Among the next 2^v queries one is a multiple of 2^v, and a bet started there lives for 4 * 2^v.
        let rec search spacing =
            let least = kinds |> Array.map (needed (float before + spacing)) |> Array.min
            if least <= 4.0 * spacing then spacing - 1.0 + least else search (2.0 * spacing)
        let delay = search 1.0
        if delay < 9.0e18 then int64 delay else Int64.MaxValue

    /// Before any observation: [0,1]. Alpha in (0,1) is the chance that a window's interval ever misses its mean.
    [<CompiledName "StartRecent">]
    let startRecent (alpha: float) : RecentQuality =
        Samples.requireProbability "alpha" alpha
        { Alpha = alpha; Count = 0L; Starts = [||]; Windows = [||]; Since = 1L; Low = 0.0; High = 1.0 }

    /// Takes one quality in [0,1]. The window that begins with query j has a confidence sequence at level alpha/(j(j+1)), so
    /// that with probability 1 - alpha all hold for ever, each for the mean of its own window's conditional means (weighted
    /// by its lambdas, which its own past fixes): no constant mean is assumed (Theorem 13(c)). Low and High are those of the longest
    /// window whose interval meets the intervals of all shorter ones: all queries while nothing has changed, and the queries
    /// since the change soon after one. O(log t).
    [<CompiledName "ObserveRecent">]
    let observeRecent (state: RecentQuality, x: float) : RecentQuality =
        checkValue x
        let t = state.Count + 1L
        let starts = Array.append state.Starts [| t |]
        let windows =
            Array.append state.Windows [| start (state.Alpha / (float t * float (t + 1L))) |] |> Array.map (fun w -> observe (w, x))
        let mutable chosen, least, most, at = windows.Length - 1, 0.0, 1.0, windows.Length - 1
        while at >= 0 do
            let struct (low, high) = interval windows[at]
            least <- max least low
            most <- min most high
            if least <= most then
                chosen <- at
                at <- at - 1
            else
                at <- -1
        let struct (low, high) = interval windows[chosen]
        let lives = Starts.living starts t
        let keep (xs: 'a[]) = xs |> Array.indexed |> Array.filter (fun (i, _) -> lives[i]) |> Array.map snd
        { state with
            Count = t
            Starts = keep starts
            Windows = keep windows
            Since = starts[chosen]
            Low = max 0.0 low
            High = min 1.0 high }
