namespace OptimalStopping.Theory

open System

/// Upper confidence bounds on means in [0,1] that optimistic planning rests on (theory 2.3).
[<RequireQualifiedAccess>]
module ConfidenceBounds =

    /// c1 = (5/3) sqrt 2 and c2 = 35/6: the constants with which `psi` is monotone (c1^2 < c2).
    let C1: float = 5.0 / 3.0 * sqrt 2.0
    /// See `C1`.
    let C2: float = 35.0 / 6.0

    /// klUCB(p, e) = max {x <= 1 : kl(p, x) <= e} for p in [0,1] and e >= 0 (Garivier and Cappe 2011). Newton's method from
    /// above, where kl is convex: each iterate, hence the result, is an upper bound of the exact value (to 1e-12).
    [<CompiledName "KlUpper">]
    let klUpper (p: float, e: float) : float =
        if not (p >= 0.0 && p <= 1.0) then raise (ArgumentOutOfRangeException(nameof p, p, "expected a number in [0,1]"))
        if not (e >= 0.0) then raise (ArgumentOutOfRangeException(nameof e, e, "expected at least 0"))
        if p = 1.0 || Double.IsInfinity e then
            1.0
        elif p = 0.0 then
            1.0 - exp -e
        else
            // Two bounds from above: Pinsker's, and the one that keeps only the term that blows up at x = 1.
            let entropy = -p * log p - (1.0 - p) * log (1.0 - p)
            let mutable x = min (p + sqrt (e / 2.0)) (1.0 - exp (-(e + entropy) / (1.0 - p)))
            if x >= 1.0 then
                1.0
            else
                let mutable step, rounds = 1.0, 0
                while step > 1e-13 && rounds < 50 && x > p do
                    step <- (-entropy - p * log x - (1.0 - p) * log (1.0 - x) - e) * x * (1.0 - x) / (x - p)
                    if step > 0.0 then x <- max p (x - step)
                    rounds <- rounds + 1
                x

    /// psi(v) = max {c1 sqrt(v i/(N-1)), c2 i/(N-1)} for an empirical variance v (divisor N) of N samples and i = ln(1/failure
    /// probability); 1 for N <= 1. At least Maurer and Pontil's empirical Bernstein bonus, and f -> mean f + psi(var f) is
    /// nondecreasing, which theirs is not.
    [<CompiledName "Psi">]
    let psi (variance: float, samples: float, iota: float) : float =
        if samples <= 1.0 then
            1.0
        else
            let x = iota / (samples - 1.0)
            max (C1 * sqrt (variance * x)) (C2 * x)

    /// The smaller of 1, klUCB and mean + psi: an optimistic mean from N samples; 1 without samples.
    [<CompiledName "OptimisticMean">]
    let optimisticMean (mean: float, variance: float, samples: float, iota: float) : float =
        if samples < 1.0 then
            1.0
        else
            min 1.0 (min (klUpper (min 1.0 (max 0.0 mean), iota / samples)) (mean + psi (max 0.0 variance, samples, iota)))

/// Upper bounds on the tables of backward induction: with the confidence of their bonuses, W >= the true W everywhere.
type OptimisticPlan =
    {
        /// Optimistic means, n x m, and continuation values, (n-1) x m.
        Means: float[][]
        Q: float[][]
        /// max(Means, Q), n x m.
        W: float[][]
    }

/// How iota, the log of the inverse failure probability of one confidence bound, depends on the sample size.
[<Struct>]
type IotaSchedule =
    {
        /// T of Theorem 7: iota = ln((2m+9) n m T^2) for every N; 0 for the anytime form.
        Horizon: int
        /// delta of Certificate B's anytime form: iota_N = ln(6 n m N (N+1) / delta); read where Horizon is 0.
        Delta: float
    }

    /// iota for a bound from `samples` samples.
    member this.At(stages: int, bins: int, samples: float) : float =
        let n, m = float stages, float bins
        if this.Horizon > 0 then
            log ((2.0 * m + 9.0) * n * m * float this.Horizon * float this.Horizon)
        else
            log (6.0 * n * m * samples * (samples + 1.0) / this.Delta)

/// Optimistic backward induction (OptStop, theory 2.3), kept up to date as counts grow: only bounds whose samples or whose
/// next stage changed are computed again. Holds the counts by reference.
[<Sealed>]
type internal OptimisticPlanner(counts: TabularCounts, costs: float[], iota: IotaSchedule) =
    let n, m = counts.Grades.Length, counts.First.Length
    let table rows value = Array.init rows (fun _ -> Array.create m value)
    let means, q, w = table n 1.0, table (n - 1) 1.0, table n 1.0
    // Sample sizes at which each bound was last computed; -1 forces the first computation.
    let gradesAt, visitsAt = table n -1.0, table (n - 1) -1.0

    let refreshMean k s =
        let samples = counts.Grades[k][s]
        if samples <> gradesAt[k][s] then
            gradesAt[k][s] <- samples
            let mean = if samples > 0.0 then counts.Sums[k][s] / samples else 1.0
            let variance = if samples > 0.0 then counts.Squares[k][s] / samples - mean * mean else 0.0
            means[k][s] <- ConfidenceBounds.optimisticMean (mean, variance, samples, iota.At(n, m, samples))

    let refreshContinuation k s =
        let samples = counts.Visits[k][s]
        visitsAt[k][s] <- samples
        if samples < 1.0 then
            q[k][s] <- 1.0 - costs[k]
        else
            let row, next = counts.Transitions[k][s], w[k + 1]
            let mutable mean, square = 0.0, 0.0
            for t in 0 .. m - 1 do
                let x = row[t] * next[t]
                mean <- mean + x
                square <- square + x * next[t]
            let mean = mean / samples
            q[k][s] <- ConfidenceBounds.optimisticMean (mean, square / samples - mean * mean, samples, iota.At(n, m, samples)) - costs[k]

    /// Brings all tables up to date with the counts.
    member _.Refresh() : unit =
        let mutable nextChanged = false
        for k in n - 1 .. -1 .. 0 do
            let mutable changed = false
            for s in 0 .. m - 1 do
                refreshMean k s
                if k < n - 1 && (nextChanged || visitsAt[k][s] <> counts.Visits[k][s]) then refreshContinuation k s
                let value = if k < n - 1 then max (means[k].[s]) (q[k].[s]) else means[k][s]
                if value <> w[k][s] then
                    w[k][s] <- value
                    changed <- true
            nextChanged <- changed

    /// Stop iff the optimistic mean is at least the optimistic continuation.
    member _.Fill(stop: bool[][]) : unit =
        for k in 0 .. n - 2 do
            for s in 0 .. m - 1 do
                stop[k][s] <- means[k][s] >= q[k][s]

    /// The current tables (copies).
    member _.Plan: OptimisticPlan = { Means = means |> Array.map Array.copy; Q = q |> Array.map Array.copy; W = w |> Array.map Array.copy }

[<RequireQualifiedAccess>]
module OptStop =

    /// Optimistic backward induction from counts. `costs` are the lambda-costs of going on, n-1 entries.
    [<CompiledName "OptimisticPlan">]
    let optimisticPlan (counts: TabularCounts, costs: float[], iota: IotaSchedule) : OptimisticPlan =
        if costs.Length <> counts.Grades.Length - 1 then
            raise (ArgumentException($"expected {counts.Grades.Length - 1} costs of going on, got {costs.Length}"))
        let planner = OptimisticPlanner(counts, costs, iota)
        planner.Refresh()
        planner.Plan

    /// Certificate B (theory 2.2): under the Markov assumption, with the qualities graded at a stage and bin independent and of one
    /// distribution, and for any algorithm, with probability at least 1 - 2 delta
    /// for all t at once, sum over queries of [W_1(S_1) - E(reward | S_1, past)] is at most this number, in units of reward.
    /// `counts` are those of all t queries, `rewards` the sum of the rewards earned (first-stage cost left out), `range` B.
    [<CompiledName "CertificateB">]
    let certificateB (counts: TabularCounts, costs: float[], rewards: float, range: float, delta: float) : float =
        if not (delta > 0.0 && delta < 1.0) then
            raise (ArgumentOutOfRangeException(nameof delta, delta, "expected a number strictly between 0 and 1"))
        let t = Array.sum counts.First
        if t = 0.0 then
            0.0
        else
            let plan = optimisticPlan (counts, costs, { Horizon = 0; Delta = delta })
            let guaranteed = Array.fold2 (fun sum count w -> sum + count * w) 0.0 counts.First plan.W[0]
            guaranteed - rewards + range * sqrt (0.5 * t * log (t * (t + 1.0) / delta))
