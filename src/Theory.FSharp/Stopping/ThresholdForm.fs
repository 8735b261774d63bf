namespace OptimalStopping.Theory

/// When a threshold policy is optimal in the chain (Theorem 1), and when looking one stage ahead is.
[<RequireQualifiedAccess>]
module ThresholdForm =

    /// Delta_k(s) = E[mu_{k+1}(S_{k+1}) | S_k = s] - mu_k(s): what one more stage adds to quality; (n-1) x m.
    let oneStepGains (model: ChainModel) : float[][] =
        model.Kernels
        |> Array.mapi (fun k kernel -> Array.map2 (fun row mean -> ChainModel.dot row model.Means[k + 1] - mean) kernel model.Means[k])

    /// (T1): is every kernel stochastically monotone, i.e. does P(S_{k+1} >= j | s) rise with s for every j (up to 1e-12)?
    let isStochasticallyMonotone (model: ChainModel) : bool =
        let tails (row: float[]) = Array.scanBack (+) row 0.0
        model.Kernels
        |> Array.forall (fun kernel ->
            kernel |> Array.map tails |> Array.pairwise |> Array.forall (fun (a, b) -> Array.forall2 (fun x y -> x <= y + 1e-12) a b))

    /// (T2): is every one-step gain nonincreasing in the bin (up to 1e-12)?
    let hasNonincreasingGains (model: ChainModel) : bool =
        oneStepGains model |> Array.forall (Array.pairwise >> Array.forall (fun (a, b) -> b <= a + 1e-12))

    /// Is the optimal plan a threshold policy at every stage? Sufficient, not necessary: T1 and T2 (Theorem 1).
    let isThresholdOptimal (model: ChainModel) : bool = (ChainModel.plan model).D |> Array.forall SingleCrossing.holds

    /// The one-step look-ahead rule (Chow, Robbins and Siegmund 1971): stop iff Delta_k(s) <= kappa_{k+1}, that is iff the next
    /// stage alone does not pay; a stop table, (n-1) x m.
    let oneStepLookAhead (model: ChainModel) : bool[][] =
        Array.map2 (fun gains cost -> gains |> Array.map (fun gain -> gain <= cost)) (oneStepGains model) model.ContinueCosts

    /// The monotone case: is the look-ahead rule's stop set closed, so that once entered (at any stage, with any bin of positive
    /// probability to follow) it is never left? Then the look-ahead rule is optimal.
    let isMonotoneCase (model: ChainModel) : bool =
        let stop = oneStepLookAhead model
        seq {
            for k in 0 .. stop.Length - 2 do
                for s in 0 .. stop[k].Length - 1 do
                    if stop[k].[s] then for t in 0 .. stop[k].Length - 1 -> model.Kernels[k].[s].[t] = 0.0 || stop[k + 1].[t]
        }
        |> Seq.forall id
