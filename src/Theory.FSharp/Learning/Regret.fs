namespace OptimalStopping.Theory

open System

/// A bound on the regret of T queries, cut at the trivial bound B T (every reward lies in an interval of length B).
[<Struct>]
type RegretBound =
    {
        /// min(bound, B T), in units of reward.
        Value: float
        /// True where the bound says no more than B T.
        Vacuous: bool
    }

/// A priori bounds on regret and lower bounds (theory 2): finite for all n >= 1 stages, m >= 1 bins, T >= 0 queries and ranges
/// B = 1 + lambda (C_n - C_1) >= 1; other arguments are refused. What to plug in for logComparators: ln N for a
/// policy class of N policies, ln 2N with a side expert (`NestRates.LogComparators`); (n-1) ln(m+1) for all thresholds.
[<RequireQualifiedAccess>]
module Regret =

    let private check (stages: int) (horizon: int) (range: float) =
        if stages < 1 then raise (ArgumentOutOfRangeException(nameof stages, stages, "expected at least 1"))
        if horizon < 0 then raise (ArgumentOutOfRangeException(nameof horizon, horizon, "expected at least 0"))
        if not (range >= 1.0 && Double.IsFinite range) then
            raise (ArgumentOutOfRangeException(nameof range, range, "expected a finite number of at least 1"))

    let private checkDelta (delta: float) =
        if not (delta > 0.0 && delta < 1.0) then
            raise (ArgumentOutOfRangeException(nameof delta, delta, "expected a number strictly between 0 and 1"))

    let private checkLogComparators (logComparators: float) =
        if not (logComparators >= 0.0 && Double.IsFinite logComparators) then
            raise (ArgumentOutOfRangeException("logComparators", logComparators, "expected a finite number of at least 0"))

    let private cut (bound: float) (horizon: int) (range: float) =
        let trivial = range * float horizon
        { Value = min bound trivial; Vacuous = not (bound < trivial) }

    /// Theorem 4: E regret of NEST tuned for T against any one comparator. 2B sqrt(D T lnN) under S and B, B sqrt(T lnN / 2)
    /// under F. No stochastic assumption.
    [<CompiledName "Nest">]
    let nest (feedback: Feedback, stages: int, logComparators: float, horizon: int, range: float) : RegretBound =
        check stages horizon range
        checkLogComparators logComparators
        let t = float horizon
        let bound =
            if feedback = Feedback.Full then
                range * sqrt (t * logComparators / 2.0)
            else
                2.0 * range * sqrt (NestRates.Depth(feedback, stages, t) * t * logComparators)
        cut bound horizon range

    /// Theorem 4 before the horizon: after t <= T queries of a run tuned for T, B (lnN/eta + eta D t), or under F
    /// B (lnN/eta + eta t/8).
    [<CompiledName "NestAt">]
    let nestAt (feedback: Feedback, stages: int, logComparators: float, horizon: int, t: int, range: float) : RegretBound =
        check stages t range
        checkLogComparators logComparators
        if horizon < 1 || t > horizon then
            raise (ArgumentOutOfRangeException(nameof t, t, $"expected at most the horizon {horizon}, at least 1"))
        let eta = (NestRates.Tuned(feedback, stages, logComparators, horizon)).Eta
        let perQuery = if feedback = Feedback.Full then 1.0 / 8.0 else NestRates.Depth(feedback, stages, float horizon)
        cut (range * (logComparators / eta + eta * perQuery * float t)) t range

    /// The anytime schedule: 2 sqrt 2 B sqrt(n T lnN) under S and B (remark after Theorem 4), 3/(2 sqrt 2) B sqrt(T lnN) under F,
    /// for any prior (the paper's corollary to Theorem 4).
    [<CompiledName "NestAnytime">]
    let nestAnytime (feedback: Feedback, stages: int, logComparators: float, horizon: int, range: float) : RegretBound =
        check stages horizon range
        checkLogComparators logComparators
        let t = float horizon
        let bound =
            if feedback = Feedback.Full then
                3.0 / (2.0 * sqrt 2.0) * range * sqrt (t * logComparators)
            else
                2.0 * sqrt 2.0 * range * sqrt (float stages * t * logComparators)
        cut bound horizon range

    /// Theorem 15: E regret of NEST tuned for T queries of which each is graded with a known probability of at least `auditRate`, p:
    /// 2B sqrt(D T lnN / p), under F with D = 1. Per query, with G = pT audits, 2B sqrt(D lnN / G): it depends on the number of
    /// audits alone. At p = 1 Theorem 4.
    [<CompiledName "NestAudited">]
    let nestAudited (feedback: Feedback, stages: int, logComparators: float, horizon: int, range: float, auditRate: float) : RegretBound =
        if not (auditRate > 0.0 && auditRate <= 1.0) then
            raise (ArgumentOutOfRangeException(nameof auditRate, auditRate, "expected more than 0, at most 1"))
        if auditRate = 1.0 then
            nest (feedback, stages, logComparators, horizon, range)
        else
            check stages horizon range
            checkLogComparators logComparators
            let t = float horizon
            cut (2.0 * range * sqrt (NestRates.Depth(feedback, stages, t) * t * logComparators / auditRate)) horizon range

    /// Theorem 5: with probability at least 1 - 4 delta, for all comparators at once, of NEST tuned for T over `policies` policy class
    /// policies. Under F: Theorem 4 plus Azuma's term (probability 1 - delta).
    [<CompiledName "NestHighProbability">]
    let nestHighProbability
        (feedback: Feedback, stages: int, policies: float, side: bool, horizon: int, range: float, delta: float)
        : RegretBound =
        check stages horizon range
        checkDelta delta
        if not (policies >= 1.0) then raise (ArgumentOutOfRangeException(nameof policies, policies, "expected at least 1"))
        if horizon = 0 then
            cut 0.0 0 range
        elif Double.IsPositiveInfinity policies then
            cut infinity horizon range
        else
            let t, logN = float horizon, log policies + (if side then log 2.0 else 0.0)
            let deviation = sqrt (t * log (1.0 / delta) / 2.0)
            if feedback = Feedback.Full then
                cut (range * (sqrt (t * logN / 2.0) + deviation)) horizon range
            else
                let d = NestRates.Depth(feedback, stages, t)
                let eta = (NestRates.Tuned(feedback, stages, logN, horizon)).Eta
                let bound =
                    (logN + log ((policies + 1.0) / delta)) / eta + 1.36 * eta * d * t + d * log (1.0 / delta) + (1.0 + d) * deviation
                cut (range * bound) horizon range

    /// The two branches of Theorem 7 before the cut: each is x + y + B.
    [<Struct>]
    type OptStopBranches =
        {
            /// The sqrt(n m T) log T rate, with large lower-order terms.
            Bernstein: float
            /// Smaller at small n.
            Hoeffding: float
        }

    /// Theorem 7's branches for T >= 1 queries, n >= 2. `continues` is E sum (tau - 1), the expected number of stages run after
    /// the first; at most (n-1) T.
    [<CompiledName "OptStopBranches">]
    let optStopBranches (stages: int, bins: int, horizon: int, range: float, continues: float) : OptStopBranches =
        check stages horizon range
        if stages < 2 || bins < 1 || horizon < 1 then
            raise (ArgumentException($"{stages} stages, {bins} bins, {horizon} queries; expected at least 2, 1 and 1"))
        if not (continues >= 0.0 && continues <= float (stages - 1) * float horizon) then
            raise (ArgumentOutOfRangeException(nameof continues, continues, "expected 0 to (stages - 1) horizon"))
        let n, m, t = float stages, float bins, float horizon
        let iota = log ((2.0 * m + 9.0) * n * m * t * t)
        let a = iota * (n - 1.0) * m * (1.0 + log t)
        let y = n * m + sqrt (8.0 * iota * n * m * t)
        // The right sides are concave and increasing in x, so there is one solution; it is approached from above.
        let solve (right: float -> float) =
            let mutable x = 1.0
            while right x > x do
                x <- 2.0 * x
            for _ in 1..200 do
                x <- right x
            x
        let bernstein =
            solve (fun x ->
                4.31 * sqrt (a * (t + 2.0 * x))
                + (1.0 + sqrt m) * sqrt (2.0 * a * (y + 2.0 * x))
                + (ConfidenceBounds.C1 * sqrt (4.0 * m / 3.0) + ConfidenceBounds.C2 + (m + 1.0) / 3.0) * a
                + 2.0 * (n - 1.0) * m)
        let hoeffding =
            solve (fun x ->
                sqrt (8.0 * iota * (n - 1.0) * m * continues) + sqrt (2.0 * m * a * (y + 2.0 * x)) + m * a / 3.0 + (n - 1.0) * m)
        { Bernstein = bernstein + y + range; Hoeffding = hoeffding + y + range }

    /// Theorem 7: E regret of OptStop tuned for T against the best policy of all, under the Markov assumption, where the qualities
    /// graded at a stage and bin are independent and of one distribution; the smaller
    /// branch, with (n-1) T for the stages run. Vacuous until T is about 10^6 at n = 4, m = 10. 0 for one stage.
    [<CompiledName "OptStop">]
    let optStop (stages: int, bins: int, horizon: int, range: float) : RegretBound =
        check stages horizon range
        if bins < 1 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 1"))
        if stages = 1 || horizon = 0 then
            { Value = 0.0; Vacuous = horizon = 0 }
        else
            let branches = optStopBranches (stages, bins, horizon, range, float (stages - 1) * float horizon)
            cut (min branches.Bernstein branches.Hoeffding) horizon range

    /// UCB1 against the best fixed depth, for every i.i.d. distribution: B (4 sqrt(2 n T ln T) + (1 + pi^2/3) n). From Auer et al. 2002,
    /// Theorem 1 (8 ln T / gap + (1 + pi^2/3) gap per arm), with gaps below sqrt(8 n ln T / T) charged to T.
    [<CompiledName "Ucb1">]
    let ucb1 (stages: int, horizon: int, range: float) : RegretBound =
        check stages horizon range
        let n, t = float stages, float horizon
        if horizon = 0 then
            cut 0.0 0 range
        else
            cut (range * (4.0 * sqrt (2.0 * n * t * log t) + (1.0 + Math.PI * Math.PI / 3.0) * n)) horizon range

    /// Theorem 8(a): whatever the feedback, some Markov instance (m >= 4 bins, lambda = 0, an optimal threshold policy) forces
    /// E regret >= sqrt((n-1) T)/64, for n >= 2 and T >= n-1; 0 elsewhere.
    [<CompiledName "LowerBound">]
    let lowerBound (stages: int, horizon: int) : float =
        check stages horizon 1.0
        if stages < 2 || horizon < stages - 1 then 0.0 else sqrt (float (stages - 1) * float horizon) / 64.0

    /// Theorem 15: whatever the feedback of graded queries, some Markov instance forces E regret >= sqrt((n-1) T / p)/64 where each query
    /// is graded with probability p, for n >= 2 and p T >= n-1; 0 elsewhere.
    [<CompiledName "LowerBoundAudited">]
    let lowerBoundAudited (stages: int, horizon: int, auditRate: float) : float =
        check stages horizon 1.0
        if not (auditRate > 0.0 && auditRate <= 1.0) then
            raise (ArgumentOutOfRangeException(nameof auditRate, auditRate, "expected more than 0, at most 1"))
        if stages < 2 || auditRate * float horizon < float (stages - 1) then
            0.0
        else
            sqrt (float (stages - 1) * float horizon / auditRate) / 64.0

    /// Theorem 8(b): when only the returned answer is graded, some instance (even m = 1, lambda = 0) forces
    /// E regret >= min(sqrt(n T), T)/20, for n >= 2; 0 for one stage.
    [<CompiledName "LowerBoundReturned">]
    let lowerBoundReturned (stages: int, horizon: int) : float =
        check stages horizon 1.0
        if stages < 2 then 0.0 else min (sqrt (float stages * float horizon)) (float horizon) / 20.0

    /// Theorem 8(c): when only the returned answer is graded, some Markov instance of m signals (lambda = 0, m dividing T,
    /// T >= nm) forces E regret >= sqrt(n m T)/35, for n >= 2; 0 elsewhere.
    [<CompiledName "LowerBoundContexts">]
    let lowerBoundContexts (stages: int, bins: int, horizon: int) : float =
        check stages horizon 1.0
        if bins < 1 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 1"))
        let applies = stages >= 2 && horizon % bins = 0 && int64 horizon >= int64 stages * int64 bins
        if applies then sqrt (float stages * float bins * float horizon) / 35.0 else 0.0

    /// What binning costs: thresholds on m cells of a continuous i.i.d. signal, each of probability at most 1/m, lose at most
    /// B (n-1) T/m to real thresholds (remark after Theorem 4); added to `nest` it bounds the regret to all real thresholds.
    [<CompiledName "GridLoss">]
    let gridLoss (stages: int, bins: int, horizon: int, range: float) : RegretBound =
        check stages horizon range
        if bins < 1 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 1"))
        cut (range * float (stages - 1) * float horizon / float bins) horizon range

/// How fast measured regret grows.
[<RequireQualifiedAccess>]
module RegretSlope =

    let private leastSquares (xs: float[]) (ys: float[]) =
        let mx, my = Array.average xs, Array.average ys
        let mutable xy, xx = 0.0, 0.0
        for i in 0 .. xs.Length - 1 do
            xy <- xy + (xs[i] - mx) * (ys[i] - my)
            xx <- xx + (xs[i] - mx) * (xs[i] - mx)
        xy / xx

    /// Least-squares slope of ln(mean regret over seeds) on ln T, with a percentile bootstrap interval over seeds.
    /// regrets[seed][i] is the regret at horizons[i]; at least two distinct horizons of at least 1 and one seed. The estimate or
    /// an end is NaN where a mean (of a resample) is not positive. A slope of 1/2 is not a validation: see theory 8.2.
    [<CompiledName "LogLog">]
    let logLog (horizons: int[], regrets: float[][], level: float, resamples: int, seed: uint64) : Interval =
        Samples.requireProbability "level" level
        if Array.length (Array.distinct horizons) < 2 || Array.exists (fun t -> t < 1) horizons then
            raise (ArgumentException("expected at least two distinct horizons of at least 1", nameof horizons))
        if regrets.Length = 0 || regrets |> Array.exists (fun row -> row.Length <> horizons.Length) then
            raise (ArgumentException($"expected at least one seed with {horizons.Length} regrets each", nameof regrets))
        if resamples < 1 then raise (ArgumentOutOfRangeException(nameof resamples, resamples, "expected at least 1"))
        let xs = horizons |> Array.map (fun t -> log (float t))
        let slopeOf (rows: float[][]) = leastSquares xs (Array.init xs.Length (fun i -> rows |> Array.averageBy (fun row -> row[i]) |> log))
        let random = SplitMix64 seed
        let slopes = Array.init resamples (fun _ -> slopeOf (Array.init regrets.Length (fun _ -> regrets[random.NextIndex regrets.Length])))
        Array.sortInPlace slopes
        let quantile p = slopes[min (resamples - 1) (int (p * float resamples))]
        let tail = (1.0 - level) / 2.0
        let unusable = slopes |> Array.exists (fun x -> not (Double.IsFinite x))
        { Estimate = slopeOf regrets
          Low = if unusable then nan else quantile tail
          High = if unusable then nan else quantile (1.0 - tail)
          Level = level }
