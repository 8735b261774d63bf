namespace OptimalStopping.Theory

open System

/// What is graded after a query (theory 2). Signals are seen up to the stage that answered, except under Full.
type Feedback =
    /// All stages are graded and all signals seen (recorded traces, shadow evaluation); (F).
    | Full = 0
    /// The stages that ran are graded; (S).
    | StagesRun = 1
    /// Only the returned answer is graded; (B).
    | Returned = 2

/// One query's outcome at every stage. Whoever learns from it reads only what the feedback and the stopping stage allow, so
/// entries after the stopping stage may hold anything unless the feedback is Full.
type Outcome =
    {
        /// Signal bin of each stage, 0 .. m-1.
        Bins: int[]
        /// Quality of each stage's answer, in [0,1].
        Qualities: float[]
        /// Costs[k] = lambda (C_k - C_0): the price paid after the first stage if stage k answers; Costs[0] = 0, nondecreasing.
        /// The first stage always runs, so its own cost is sunk and appears nowhere.
        Costs: float[]
    }

[<RequireQualifiedAccess>]
module Outcome =

    /// Buffers for n stages.
    let empty (stages: int) : Outcome =
        { Bins = Array.zeroCreate stages; Qualities = Array.zeroCreate stages; Costs = Array.zeroCreate stages }

    /// Reward of answering with a stage, less the sunk first cost: q_k - lambda (C_k - C_0).
    let reward (outcome: Outcome, stage: int) : float = outcome.Qualities[stage] - outcome.Costs[stage]

    /// Loss in [0,1]: (1 - reward) / B, where the range B is at least 1 + the largest Costs[n-1] (theory 2.1).
    let loss (outcome: Outcome, stage: int, range: float) : float = (1.0 - reward (outcome, stage)) / range
