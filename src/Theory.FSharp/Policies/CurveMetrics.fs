namespace OptimalStopping.Theory.Policies

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
