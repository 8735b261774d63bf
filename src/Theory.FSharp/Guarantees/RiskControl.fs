namespace OptimalStopping.Theory

open System
open MathNet.Numerics
open MathNet.Numerics.Distributions

/// Choosing a policy whose expected loss is at most alpha, with confidence 1 - delta, from M i.i.d. calibration traces
/// (Learn then Test: Angelopoulos, Bates, Candes, Jordan and Lei 2021; theory-proofs.md section 4a). Losses lie in
/// [0,1]. Every p-value is for the null hypothesis "the expected loss exceeds alpha".
[<RequireQualifiedAccess>]
module RiskControl =

    let private check (count: int) (alpha: float) =
        if count < 1 then raise (ArgumentOutOfRangeException("count", count, "expected at least 1"))
        Samples.requireProbability "alpha" alpha

    let private checkLosses (losses: float[]) =
        Samples.requireFinite "losses" losses
        Samples.requireCount "losses" 1 losses
        losses
        |> Array.iteri (fun i x -> if x < 0.0 || x > 1.0 then raise (ArgumentException($"losses[{i}] is {x}; expected a number in [0,1]")))

    /// P(Bin(count, p) <= k) for k >= 0.
    let private binomialCdf (count: int) (p: float) (k: float) = if k >= float count then 1.0 else Binomial.CDF(p, count, k)

    /// Hoeffding-Bentkus p-value of M losses of mean R: min(exp(-M kl(min(R, alpha), alpha)), e P(Bin(M, alpha) <=
    /// ceil(M R))), at most 1. Valid for any distribution on [0,1]; non-decreasing in R.
    [<CompiledName "HoeffdingBentkus">]
    let hoeffdingBentkus (meanLoss: float, count: int, alpha: float) : float =
        check count alpha
        if not (meanLoss >= 0.0 && meanLoss <= 1.0) then
            raise (ArgumentOutOfRangeException(nameof meanLoss, meanLoss, "expected a number in [0,1]"))
        let hoeffding = exp (-(float count) * Probability.kl (min meanLoss alpha) alpha)
        // A mean of whole numbers must not be pushed to the next one by rounding.
        let bentkus = Math.E * binomialCdf count alpha (ceil (float count * meanLoss - 1e-9))
        min 1.0 (min hoeffding bentkus)

    /// Exact binomial p-value of 0/1 losses: P(Bin(M, alpha) <= failures).
    [<CompiledName "Binomial">]
    let binomial (failures: int, count: int, alpha: float) : float =
        check count alpha
        if failures < 0 || failures > count then
            raise (ArgumentOutOfRangeException(nameof failures, failures, $"expected 0 .. {count}"))
        binomialCdf count alpha (float failures)

    /// Where `below` turns from true to false on [0,1], by bisection: a quantile of the beta distribution by its tail, which keeps its
    /// relative accuracy where 1 - delta or 1 - rate would lose it.
    let private solveRate (below: float -> bool) =
        let mutable low, high = 0.0, 1.0
        for _ in 1..200 do
            let middle = 0.5 * (low + high)
            if below middle then low <- middle else high <- middle
        0.5 * (low + high)

    /// Clopper and Pearson's (1934) upper bound of a failure rate, one-sided at level 1 - delta: the alpha at which
    /// `binomial` is delta; 1 when all fail.
    [<CompiledName "ClopperPearsonUpper">]
    let clopperPearsonUpper (failures: int, count: int, delta: float) : float =
        check count delta
        if failures < 0 || failures > count then
            raise (ArgumentOutOfRangeException(nameof failures, failures, $"expected 0 .. {count}"))
        if failures = count then 1.0 else solveRate (fun rate -> Binomial.CDF(rate, count, float failures) > delta)

    /// The lower bound, one-sided at level 1 - delta; 0 when none fails. Both at delta / 2 give the two-sided interval.
    [<CompiledName "ClopperPearsonLower">]
    let clopperPearsonLower (failures: int, count: int, delta: float) : float =
        check count delta
        if failures < 0 || failures > count then
            raise (ArgumentOutOfRangeException(nameof failures, failures, $"expected 0 .. {count}"))
        // P(Bin(count, rate) >= failures), which rises in the rate.
        let atLeast rate = SpecialFunctions.BetaRegularized(float failures, float (count - failures + 1), rate)
        if failures = 0 then 0.0 else solveRate (fun rate -> atLeast rate < delta)

    /// Betting p-value: capital K_t = prod (1 + b_i (alpha - X_i)) is a supermartingale while E[X_i | past] >= alpha,
    /// so that p = min(1, 1 / max_t K_t) is valid (Ville; Waudby-Smith and Ramdas 2023). The bets b_i in [0,
    /// 1/(2(1-alpha))] aim at the level delta and look only at earlier losses. Losses in [0,1], in the order of
    /// observation. Adapts to a small variance, unlike Hoeffding's bound.
    [<CompiledName "Betting">]
    let betting (losses: float[], alpha: float, delta: float) : float =
        check losses.Length alpha
        checkLosses losses
        Samples.requireProbability "delta" delta
        let count = float losses.Length
        let cap = 0.5 / (1.0 - alpha)
        let mutable sum, squares, logCapital, best = 0.5, 0.25, 0.0, 0.0
        losses
        |> Array.iteri (fun i x ->
            let seen = float (i + 1)
            let bet = min cap (sqrt (2.0 * log (1.0 / delta) / (count * squares / seen)))
            logCapital <- logCapital + log (1.0 + bet * (alpha - x))
            best <- max best logCapital
            sum <- sum + x
            let mean = sum / (seen + 1.0)
            squares <- squares + (x - mean) * (x - mean))
        exp -best

    /// Betting p-value for a net loss q_n - q_tau in [-1,1], which may be negative: (1 + loss)/2 against (1 + alpha)/2.
    [<CompiledName "BettingNet">]
    let bettingNet (netLosses: float[], alpha: float, delta: float) : float =
        betting (netLosses |> Array.map (fun x -> (1.0 + x) / 2.0), (1.0 + alpha) / 2.0, delta)

    /// Fixed-sequence rule: goes through the p-values in their given order while p <= delta and returns the index of
    /// the last one passed; -1 if the first fails. P(the hypothesis returned is a true null) <= delta, without
    /// monotonicity: an error must reject the first true null of the order.
    [<CompiledName "FixedSequence">]
    let fixedSequence (pValues: float[], delta: float) : int =
        Samples.requireProbability "delta" delta
        match pValues |> Array.tryFindIndex (fun p -> not (p <= delta)) with
        | Some first -> first - 1
        | None -> pValues.Length - 1

    /// Chooses among policies ordered from the safest ("always the largest model") to the cheapest:
    /// losses[policy][trace] in [0,1]. Returns the index of the last policy passed by the fixed-sequence rule, so that
    /// P(its expected loss > alpha) <= delta; -1: keep the largest model. Uses the exact binomial p-value where all of
    /// a policy's losses are 0 or 1, Hoeffding-Bentkus otherwise.
    [<CompiledName "Choose">]
    let choose (losses: float[][], alpha: float, delta: float) : int =
        let pValue (row: float[]) =
            checkLosses row
            if row |> Array.forall (fun x -> x = 0.0 || x = 1.0) then
                binomial (int (Array.sum row), row.Length, alpha)
            else
                hoeffdingBentkus (Samples.mean row, row.Length, alpha)
        fixedSequence (Array.map pValue losses, delta)

    /// Chooses among policies whose loss is a difference to a reference, in [-1,1] (negative where the policy is better):
    /// netLosses[policy][trace], policies in the order in which they are to be tested. Returns the number of policies
    /// passed by the fixed-sequence rule with betting p-values: with probability at least 1 - delta every one of them has
    /// an expected net loss of at most alpha, so any of them may be used. The traces must not have been used to make the
    /// policies or their order, and stand in random order.
    [<CompiledName "PassedNet">]
    let passedNet (netLosses: float[][], alpha: float, delta: float) : int =
        1 + fixedSequence (netLosses |> Array.map (fun row -> bettingNet (row, alpha, delta)), delta)

    /// Betting p-value for "the expected net loss exceeds alpha in some group": the largest of the groups' own. An
    /// intersection-union test: to reject, every group must reject, so it needs no correction for their number, and with
    /// `fixedSequence` every policy passed keeps alpha in all groups at once. group[trace] is the trace's group (0, 1, ...), negative for a trace
    /// that counts in none; how traces fall into groups must not depend on their losses. 1 where no trace counts.
    [<CompiledName "BettingNetInGroups">]
    let bettingNetInGroups (netLosses: float[], group: int[], alpha: float, delta: float) : float =
        if group.Length <> netLosses.Length then
            raise (ArgumentException($"expected {netLosses.Length}, one for each loss, got {group.Length}", nameof group))
        let own = Array.zip group netLosses |> Array.filter (fun (g, _) -> g >= 0) |> Array.groupBy fst
        if own.Length = 0 then
            1.0
        else
            own |> Array.map (fun (_, losses) -> bettingNet (Array.map snd losses, alpha, delta)) |> Array.max

    /// As `passedNet`, in every group (see `bettingNetInGroups`), with a second bound on the same traces: P(cost > budget) <= risk.
    /// exceeded[policy]: traces on which the policy's cost was above the budget; empty for no such bound. A policy passes when it
    /// passes all tests (an intersection-union test: its null, that some bound is broken, is rejected at delta without a
    /// correction), so with probability at least 1 - delta every policy passed keeps all bounds.
    [<CompiledName "PassedNetWithin">]
    let passedNetWithin (netLosses: float[][], group: int[], exceeded: int[], alpha: float, risk: float, delta: float) : int =
        if exceeded.Length > 0 && exceeded.Length <> netLosses.Length then
            raise (ArgumentException($"{netLosses.Length} policies with losses and {exceeded.Length} with counts; expected as many"))
        let pValue policy (row: float[]) =
            let loss = bettingNetInGroups (row, group, alpha, delta)
            if exceeded.Length = 0 then loss else max loss (binomial (exceeded[policy], row.Length, risk))
        1 + fixedSequence (Array.mapi pValue netLosses, delta)

    /// About how many traces it takes to show that a policy with net losses like these loses at most alpha: the least number,
    /// in steps of a tenth, at which at least 11 of 21 samples of that size, drawn from the losses with replacement, pass the
    /// betting test at delta; `most` + 1 where `most` are too few. Net losses in [-1,1], at least one; deterministic. An
    /// estimate, not a bound: the policy's losses are taken for their distribution.
    [<CompiledName "LabelsNeeded">]
    let labelsNeeded (netLosses: float[], alpha: float, delta: float, most: int) : int =
        check netLosses.Length alpha
        Samples.requireProbability "delta" delta
        let passes (count: int) =
            let random = SplitMix64 0x1ABE15UL
            let mutable passed = 0
            for _ in 1..21 do
                let sample = Array.init count (fun _ -> netLosses[int (random.NextDouble() * float netLosses.Length)])
                if bettingNet (sample, alpha, delta) <= delta then passed <- passed + 1
            passed >= 11
        let rec search (count: int) =
            if count > most then most + 1
            elif passes count then count
            else search (count + count / 10)
        search 10

    /// Conformal risk control (Angelopoulos et al. 2022): the last policy of the order, from the safest to the cheapest, for
    /// which (M R + 1)/(M + 1) <= alpha, so that its EXPECTED loss is at most alpha; -1: keep the largest model. It needs losses
    /// that never fall along the order, which a cascade's do not obey, so each loss is replaced by its running maximum.
    /// losses[policy][trace] in [0,1].
    [<CompiledName "Conformal">]
    let conformal (losses: float[][], alpha: float) : int =
        losses |> Array.iter checkLosses
        let mutable worst = if losses.Length = 0 then [||] else Array.zeroCreate<float> losses[0].Length
        let passes (row: float[]) =
            check row.Length alpha
            worst <- Array.map2 max worst row
            (Array.sum worst + 1.0) / (float row.Length + 1.0) <= alpha
        // Running maxima rise, so the first failure ends the order.
        (losses |> Array.takeWhile passes).Length - 1
