namespace OptimalStopping.Theory.Policies

open System

/// The classic cascade: run the stages of a sub-chain in order and stop at the first whose confidence reaches its
/// threshold. A stage that reports no confidence never stops the cascade, except the last. Threshold 0 always stops
/// (with a confidence), +infinity never.
[<Sealed>]
type ThresholdCascade(stages: int, chain: int[], thresholds: float[]) =

    do
        if chain.Length = 0 then invalidArg (nameof chain) "expected at least one stage, got none"
        if thresholds.Length <> chain.Length - 1 then
            invalidArg (nameof thresholds) $"expected {chain.Length - 1} thresholds, got {thresholds.Length}"
        for i in 0 .. chain.Length - 1 do
            if chain[i] < 0 || chain[i] >= stages || (i > 0 && chain[i] <= chain[i - 1]) then
                invalidArg (nameof chain) $"expected increasing stages in 0..{stages - 1}, got {chain[i]} at position {i}"

    member _.Chain = chain
    member _.Thresholds = thresholds

    /// The single model: always runs the stage, always answers with it.
    static member Fixed(stages: int, stage: int) = ThresholdCascade(stages, [| stage |], [||])

    interface IStoppingPolicy with
        member _.Stages = stages

        member _.Decide(observation) =
            let last = observation.Last
            // Position of the next stage of the chain. After a fail-over the latest stage need not be of the chain;
            // it then answers for the chain stage that it stands in for.
            let mutable next = 0
            while next < chain.Length && chain[next] <= last do
                next <- next + 1
            if last < 0 then Decision.GoTo chain[0]
            elif next = chain.Length then Decision.StopWith last
            elif next > 0 && observation.Confidence[last] >= thresholds[next - 1] then Decision.StopWith last
            else Decision.GoTo chain[next]
