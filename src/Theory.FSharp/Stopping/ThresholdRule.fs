namespace OptimalStopping.Theory

open System

/// A chain policy at run time: one comparison per stage on the raw confidence, no allocation. Safe for use by several threads.
[<Sealed>]
type ThresholdRule private (thresholds: float[]) =

    /// The rule "stop after stage k iff its confidence is at least thresholds[k]", for the n-1 stages with a choice. -infinity
    /// stops always, +infinity never; NaN is rejected.
    static member Create(thresholds: float[]) : ThresholdRule =
        thresholds
        |> Array.iteri (fun k x ->
            if Double.IsNaN x then raise (ArgumentException($"thresholds[{k}] is NaN; expected a number", nameof thresholds)))
        ThresholdRule(Array.copy thresholds)

    /// The rule of a plan whose bins are cut by edges[k] (strictly increasing; bin b holds [edges[b-1], edges[b])): stops from
    /// the lower edge of bin plan.Thresholds[k] on. It is the plan's own policy where `SingleCrossing` holds.
    static member OfPlan(plan: ChainPlan, edges: float[][]) : ThresholdRule =
        if edges.Length < plan.Thresholds.Length then
            raise (ArgumentException($"{edges.Length} rows of edges, expected {plan.Thresholds.Length}", nameof edges))
        let lower k theta =
            if theta = 0 then Double.NegativeInfinity
            elif theta > edges[k].Length then Double.PositiveInfinity
            else edges[k].[theta - 1]
        ThresholdRule.Create(plan.Thresholds |> Array.mapi lower)

    /// Number of stages n.
    member _.Stages: int = thresholds.Length + 1

    /// The n-1 thresholds (a copy).
    member _.Thresholds: float[] = Array.copy thresholds

    /// Stop after this stage (0 .. n-1) with this confidence? The last stage always does. NaN (no confidence) goes on.
    member _.Stops(stage: int, confidence: float) : bool = uint32 stage >= uint32 thresholds.Length || confidence >= thresholds[stage]

    /// The stage that answers, of n confidences in the order of the stages.
    member _.StopStage(confidences: ReadOnlySpan<float>) : int =
        let mutable k = 0
        while k < thresholds.Length && not (confidences[k] >= thresholds[k]) do
            k <- k + 1
        k
