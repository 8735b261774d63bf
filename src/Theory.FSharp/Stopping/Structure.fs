namespace OptimalStopping.Theory

open System

/// Conditions on a chain of signals, from its one-step kernels Steps[k][s][s'] = P(S_{k+2} = s' | S_{k+1} = s) (arrays
/// count from 0) and means[k][s], under which thresholds are optimal (theory-proofs.md section 1.2).
[<RequireQualifiedAccess>]
module Structure =

    /// One-step gains Delta(s) = E[mu'(S') | S = s] - mu(s) of running exactly one more stage, costs left out.
    let oneStepGain (means: float[], kernel: float[][], nextMeans: float[]) : float[] =
        if kernel.Length <> means.Length || kernel |> Array.exists (fun row -> row.Length <> nextMeans.Length) then
            raise (ArgumentException($"the kernel must hold {means.Length} rows of {nextMeans.Length} probabilities"))
        Array.map2 (fun row mean -> JumpModel.dot row nextMeans - mean) kernel means

    /// (T1) for one kernel: its rows increase in first-order stochastic dominance, so that a surer signal makes a surer
    /// next signal likelier. Checked on upper tails, to 1e-12.
    let isStochasticallyMonotone (kernel: float[][]) : bool =
        let tails (row: float[]) = Array.scanBack (+) row 0.0
        kernel
        |> Array.pairwise
        |> Array.forall (fun (low, high) -> Array.forall2 (fun a b -> a <= b + SingleCrossing.Tolerance) (tails low) (tails high))

    /// Theorem 1's sufficient condition: every kernel stochastically monotone (T1) and every one-step gain non-increasing
    /// in s (T2). Then every stop advantage D_k is non-decreasing and thresholds are optimal at every cost.
    let thresholdsAreOptimal (means: float[][], steps: float[][][]) : bool =
        if steps.Length <> means.Length - 1 then
            raise (ArgumentException($"{means.Length} stages and {steps.Length} kernels; expected one fewer"))
        steps
        |> Array.mapi (fun k kernel ->
            isStochasticallyMonotone kernel
            && (oneStepGain (means[k], kernel, means[k + 1])
                |> Array.pairwise
                |> Array.forall (fun (a, b) -> b <= a + SingleCrossing.Tolerance)))
        |> Array.forall id

    /// The right side of identity (star): kappa - Delta(s) + E[min(D'(S'), 0) | S = s], equal to the stop advantage D(s)
    /// of a chain planned by backward induction, where kappa = lambda times the next stage's cost and D' is the next
    /// stage's advantage (+infinity at the last stage).
    let starIdentity (kappa: float, gain: float[], kernel: float[][], nextAdvantage: float[]) : float[] =
        let shortfall = nextAdvantage |> Array.map (min 0.0)
        Array.map2 (fun row delta -> kappa - delta + JumpModel.dot row shortfall) kernel gain
