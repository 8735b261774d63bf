namespace OptimalStopping.Theory

open System

/// Why speculation keeps the target's distribution exactly: a token x drawn from the draft q is accepted with
/// probability min(1, p(x)/q(x)), and otherwise replaced by one drawn from the residual (p - q)^+ normalised. p and q
/// are distributions on the same vocabulary.
[<RequireQualifiedAccess>]
module SpeculativeSampling =

    let private check (p: float[]) (q: float[]) =
        if p.Length = 0 || p.Length <> q.Length then
            raise (ArgumentException($"distributions on {p.Length} and {q.Length} tokens; expected as many, at least 1"))

    /// Chance that a drafted token is accepted: sum_x min(p, q) = 1 - TV(p, q).
    [<CompiledName "AcceptanceRate">]
    let acceptanceRate (p: float[], q: float[]) : float =
        check p q
        Array.fold2 (fun sum a b -> sum + min a b) 0.0 p q

    /// Total variation distance, half the L1 distance.
    [<CompiledName "TotalVariation">]
    let totalVariation (p: float[], q: float[]) : float =
        check p q
        0.5 * Array.fold2 (fun sum a b -> sum + abs (a - b)) 0.0 p q

    /// The residual distribution (p - q)^+ / sum (p - q)^+; p itself where p = q (a rejection then has probability 0).
    [<CompiledName "Residual">]
    let residual (p: float[], q: float[]) : float[] =
        check p q
        let excess = Array.map2 (fun a b -> max 0.0 (a - b)) p q
        let mass = Array.sum excess
        if mass > 0.0 then excess |> Array.map (fun x -> x / mass) else Array.copy p

    /// Distribution of the token that comes out of one accept-or-replace step; equal to p (the identity that tests check).
    [<CompiledName "OutputDistribution">]
    let outputDistribution (p: float[], q: float[]) : float[] =
        let rejected = 1.0 - acceptanceRate (p, q)
        Array.map3 (fun a b r -> min a b + rejected * r) p q (residual (p, q))

    /// Radius of a test that N draws come from a distribution on V tokens: with probability 1 - delta the total variation
    /// between their frequencies and the distribution is at most sqrt((V-1)/N)/2 + sqrt(ln(1/delta) / (2N)) (Cauchy-Schwarz,
    /// McDiarmid).
    [<CompiledName "TotalVariationRadius">]
    let totalVariationRadius (vocabulary: int, draws: int64, delta: float) : float =
        Samples.requireProbability "delta" delta
        if vocabulary < 1 then raise (ArgumentOutOfRangeException(nameof vocabulary, vocabulary, "expected at least 1"))
        if draws < 1L then raise (ArgumentOutOfRangeException(nameof draws, draws, "expected at least 1"))
        0.5 * sqrt (float (vocabulary - 1) / float draws) + sqrt (log (1.0 / delta) / (2.0 * float draws))

/// A chain of drafters for the last level: which levels to use, how many tokens each drafts for the next, and the
/// expected cost of one token of the last.
type HierarchyPlan =
    {
        /// Indices of the levels used, increasing, the target last.
        Levels: int[]
        /// Draft lengths, one fewer than levels.
        Drafts: int[]
        CostPerToken: float
    }

/// Hierarchical speculation M_1 -> ... -> M_L: level j drafts drafts[j] tokens for level j+1, each accepted with
/// probability acceptances[j]; one pass of level j costs costs[j] (arrays count from 0; drafts and acceptances have
/// L-1 entries).
[<RequireQualifiedAccess>]
module SpeculationHierarchy =

    let private check (costs: float[]) (acceptances: float[]) (drafts: int[]) =
        if costs.Length < 1 || acceptances.Length <> costs.Length - 1 || drafts.Length <> costs.Length - 1 then
            raise (
                ArgumentException(
                    $"{costs.Length} costs, {acceptances.Length} acceptances and {drafts.Length} drafts; \
                                       expected L, L-1, L-1"
                )
            )
        if costs |> Array.exists (fun c -> not (c > 0.0)) then raise (ArgumentException "costs must be above 0")

    /// u(r): expected verifications until at least r tokens exist, when each yields j with probability p_j
    /// (DraftLength.tokenDistribution): u(r) = 1 + sum_j p_j u((r - j)^+), u(0) = 0. O(r g).
    [<CompiledName "RenewalRounds">]
    let renewalRounds (tokens: int, acceptance: float, length: int) : float =
        if tokens < 0 then raise (ArgumentOutOfRangeException(nameof tokens, tokens, "expected at least 0"))
        let distribution = DraftLength.tokenDistribution (acceptance, length)
        let rounds = Array.zeroCreate (tokens + 1)
        for r in 1..tokens do
            let mutable sum = 1.0
            for i in 0 .. min (r - 2) length do
                sum <- sum + distribution[i] * rounds[r - 1 - i]
            rounds[r] <- sum
        rounds[tokens]

    /// Cost per token as if a level's tokens came one by one: T_1 = c_1, T_{j+1} = (c_{j+1} + g_j T_j) / E(alpha_j,
    /// g_j). Optimistic for three levels and more: it forgets that the last round of a draft overshoots.
    [<CompiledName "ApproximateCost">]
    let approximateCost (costs: float[], acceptances: float[], drafts: int[]) : float =
        check costs acceptances drafts
        let mutable cost = costs[0]
        for j in 0 .. drafts.Length - 1 do
            cost <- (costs[j + 1] + float drafts[j] * cost) / DraftLength.expectedTokens (acceptances[j], drafts[j])
        cost

    /// Exact cost per token of the last level when overshoot is discarded: producing r tokens at level j costs
    /// U_j(r) = u_j(r) (c_j + U_{j-1}(g_{j-1})), U_1(r) = c_1 r, and a verification of the last level yields E(alpha,
    /// g).
    [<CompiledName "ExactCost">]
    let exactCost (costs: float[], acceptances: float[], drafts: int[]) : float =
        check costs acceptances drafts
        // Cost of one round of level j: drafting for it, then its own pass.
        let rec round j = if j = 0 then costs[0] else costs[j] + produce (j - 1) drafts[j - 1]
        and produce j tokens =
            if j = 0 then costs[0] * float tokens else renewalRounds (tokens, acceptances[j - 1], drafts[j - 1]) * round j
        let last = costs.Length - 1
        if last = 0 then costs[0] else round last / DraftLength.expectedTokens (acceptances[last - 1], drafts[last - 1])

    /// The cheapest chain ending in the last level, by exhaustive search over which levels take part and over draft
    /// lengths 1 .. maxDraft, by exact cost: a middle level enters only if it pays. acceptance[i][j], i < j, is the
    /// chance that j accepts a token of i. (maxDraft + 1)^(L-1) candidates: meant for L up to 4. Ties go to fewer
    /// levels.
    [<CompiledName "Best">]
    let best (costs: float[], acceptance: float[][], maxDraft: int) : HierarchyPlan =
        if costs.Length < 1 || acceptance.Length < costs.Length - 1 then
            raise (ArgumentException($"{costs.Length} costs and {acceptance.Length} rows; expected a row for every drafter"))
        let target = costs.Length - 1
        // All sets of levels below a level (largest first), and all tuples of draft lengths.
        let rec chains below =
            if below = 0 then
                [ [] ]
            else
                [ for rest in chains (below - 1) do
                      rest
                      (below - 1) :: rest ]
        let rec lengths count =
            if count = 0 then
                [ [] ]
            else
                [ for rest in lengths (count - 1) do
                      for g in 1..maxDraft -> g :: rest ]
        chains target
        |> List.sortBy List.length
        |> Seq.collect (fun drafters ->
            let levels = List.toArray (List.rev drafters @ [ target ])
            let chosen = levels |> Array.map (fun i -> costs[i])
            let accepted = levels |> Array.pairwise |> Array.map (fun (i, j) -> acceptance[i][j])
            lengths (levels.Length - 1)
            |> Seq.map (fun drafts ->
                let drafts = List.toArray drafts
                { Levels = levels; Drafts = drafts; CostPerToken = exactCost (chosen, accepted, drafts) }))
        |> Seq.reduce (fun best next -> if next.CostPerToken < best.CostPerToken then next else best)
