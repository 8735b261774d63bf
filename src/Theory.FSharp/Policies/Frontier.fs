namespace OptimalStopping.Theory.Policies

open System

/// Curves of (mean cost, mean quality), one point per operating point, and the figures that summarise them.
[<RequireQualifiedAccess>]
module Frontier =

    /// Quality of a curve at a cost: linear interpolation between neighbouring points in order of cost, flat beyond
    /// both ends. The arrays must be sorted by cost and not empty.
    [<CompiledName "QualityAt">]
    let qualityAt (cost: float[]) (quality: float[]) (at: float) : float =
        let last = cost.Length - 1
        if at <= cost[0] then
            quality[0]
        elif at >= cost[last] then
            quality[last]
        else
            let mutable hi = 1
            while cost[hi] < at do
                hi <- hi + 1
            let lo = hi - 1
            if cost[hi] = cost[lo] then
                quality[hi]
            else
                quality[lo] + (quality[hi] - quality[lo]) * (at - cost[lo]) / (cost[hi] - cost[lo])

    /// Mean quality over costs in [low, high], by the trapezoid rule along the curve (exact for the interpolation of
    /// qualityAt). The arrays must be sorted by cost. When low = high it is the quality there.
    [<CompiledName "Area">]
    let area (cost: float[]) (quality: float[]) (low: float) (high: float) : float =
        if high <= low then
            qualityAt cost quality low
        else
            let mutable sum = 0.0
            let mutable c = low
            let mutable v = qualityAt cost quality low
            for i in 0 .. cost.Length - 1 do
                if cost[i] > low && cost[i] < high then
                    sum <- sum + (cost[i] - c) * (v + quality[i]) / 2.0
                    c <- cost[i]
                    v <- quality[i]
            sum <- sum + (high - c) * (v + qualityAt cost quality high) / 2.0
            sum / (high - low)

    /// Order of the points by cost, ties by quality.
    [<CompiledName "Order">]
    let order (cost: float[]) (quality: float[]) : int[] =
        let index = Array.init cost.Length id
        Array.sortInPlaceWith
            (fun a b ->
                let byCost = compare cost[a] cost[b]
                if byCost <> 0 then byCost else compare quality[a] quality[b])
            index
        index

    /// The upper concave hull, as indices in order of cost, from the cheapest point to the best one: what randomising
    /// between operating points can reach. Points that cost more than the best one are left out.
    [<CompiledName "UpperHull">]
    let upperHull (cost: float[]) (quality: float[]) : int[] =
        let hull = ResizeArray<int>()
        for i in order cost quality do
            // Drop the last point while it lies on or under the segment from its predecessor to the new point.
            let mutable over = true
            while over && hull.Count > 0 do
                let b = hull[hull.Count - 1]
                if cost[b] = cost[i] then
                    hull.RemoveAt(hull.Count - 1)
                elif hull.Count > 1 then
                    let a = hull[hull.Count - 2]
                    let cross = (cost[b] - cost[a]) * (quality[i] - quality[a]) - (quality[b] - quality[a]) * (cost[i] - cost[a])
                    if cross >= 0.0 then hull.RemoveAt(hull.Count - 1) else over <- false
                else
                    over <- false
            hull.Add i
        while hull.Count > 1 && quality[hull[hull.Count - 1]] <= quality[hull[hull.Count - 2]] do
            hull.RemoveAt(hull.Count - 1)
        hull.ToArray()

    /// Smallest cost at which the curve reaches a quality, by linear interpolation; +infinity when it never does.
    /// The arrays must be sorted by cost.
    [<CompiledName "CostAt">]
    let costAt (cost: float[]) (quality: float[]) (target: float) : float =
        let i = quality |> Array.tryFindIndex (fun q -> q >= target)
        match i with
        | None -> infinity
        | Some 0 -> cost[0]
        | Some i -> cost[i - 1] + (cost[i] - cost[i - 1]) * (target - quality[i - 1]) / (quality[i] - quality[i - 1])

/// The figures by which the field compares routers and cascades, for one curve. Costs are in the units of the cascade;
/// a cost that is never reached is +infinity. "Cheapest" and "best" are the single models with the smallest mean cost
/// and the largest mean quality on the same queries.
[<Struct>]
type CurveMetrics =
    {
        /// Mean quality over costs from the cheapest to the best single model, by linear interpolation.
        Auc: float
        /// Smallest cost that reaches 95, 98 and 100 % of the best single model's quality.
        CostAt95: float
        CostAt98: float
        CostAt100: float
        /// Largest quality of any operating point.
        QualityMax: float
        /// Average improvement in quality (Hu et al. 2024, RouterBench): as Auc, on the non-decreasing concave hull.
        Aiq: float
        /// Average performance gap recovered (Ong et al. 2024, RouteLLM): (Auc - cheapest) / (best - cheapest), in
        /// qualities. RouteLLM averages over shares of calls to the strong model; shares of its extra cost say the same
        /// for two models and carry over to more.
        Apgr: float
        /// Share of the extra cost of the best over the cheapest model that recovers 50 and 80 % of the gap in quality
        /// (RouteLLM's call-performance threshold).
        Cpt50: float
        Cpt80: float
    }

    /// Names of the figures, in the order of Values.
    static member Names() : string[] =
        [| "auc"; "cost_at_95pct"; "cost_at_98pct"; "cost_at_100pct"; "quality_max"; "aiq"; "apgr"; "cpt50"; "cpt80" |]

    /// The figures as an array, in the order of Names.
    member m.Values() : float[] = [| m.Auc; m.CostAt95; m.CostAt98; m.CostAt100; m.QualityMax; m.Aiq; m.Apgr; m.Cpt50; m.Cpt80 |]

    /// Computes all figures of a curve.
    /// cost, quality: the operating points in any order, at least one. modelCost, modelQuality: the single models. A curve
    /// that begins above the cheapest model's cost is joined to that model, with which any policy can be mixed; extended
    /// flat it would have its first point's quality for nothing.
    /// Apgr, Cpt50 and Cpt80 are NaN when the best model is no better, or no dearer, than the cheapest.
    static member Compute(cost: float[], quality: float[], modelCost: float[], modelQuality: float[]) : CurveMetrics =
        let pick (index: int[]) (values: float[]) = index |> Array.map (fun i -> values[i])
        let models = [| 0 .. modelCost.Length - 1 |]
        let cheapest = models |> Array.minBy (fun k -> modelCost[k])
        let cost, quality =
            if Array.min cost <= modelCost[cheapest] then
                cost, quality
            else
                Array.append [| modelCost[cheapest] |] cost, Array.append [| modelQuality[cheapest] |] quality
        let order = Frontier.order cost quality
        let c, q = pick order cost, pick order quality
        let hull = Frontier.upperHull cost quality
        let best = models |> Array.maxBy (fun k -> modelQuality[k])
        let low, high = modelCost[cheapest], modelCost[best]
        let weak, strong = modelQuality[cheapest], modelQuality[best]
        let comparable = strong > weak && high > low
        let auc = Frontier.area c q low high
        let threshold share = if comparable then (Frontier.costAt c q (weak + share * (strong - weak)) - low) / (high - low) else nan
        { Auc = auc
          CostAt95 = Frontier.costAt c q (0.95 * strong)
          CostAt98 = Frontier.costAt c q (0.98 * strong)
          CostAt100 = Frontier.costAt c q strong
          QualityMax = Array.max quality
          Aiq = Frontier.area (pick hull cost) (pick hull quality) low high
          Apgr = if comparable then (auc - weak) / (strong - weak) else nan
          Cpt50 = max 0.0 (threshold 0.5)
          Cpt80 = max 0.0 (threshold 0.8) }
