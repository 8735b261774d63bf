namespace OptimalStopping.Theory

/// Hedge (Freund and Schapire 1997): exponential weights when every stage is graded after each query, as on recorded traces. It
/// is NEST under Feedback.Full, and its states are NEST's: `Nest.choose`, `Nest.weights` and `Nest.certificateA` take them.
[<RequireQualifiedAccess>]
module Hedge =

    /// The state before the first query. `horizon` is T for the fixed rate eta = sqrt(8 lnN/T), 0 for the anytime rate
    /// eta_t = sqrt(8 lnN/t); `range` is B.
    let init (policyClass: PolicyClass, horizon: int, range: float) : NestState =
        Nest.init
            { PolicyClass = policyClass
              Feedback = Feedback.Full
              Side = SideExpert.None
              Horizon = horizon
              Range = range
              ContinueCosts = Array.zeroCreate (policyClass.Stages - 1)
              Seed = 0UL }

    /// The same with the plug-in plan (follow the leader) as side expert of prior 1/2, which needs the lambda-costs of going on
    /// from each stage; n-1 entries.
    let initWithPlan (policyClass: PolicyClass, horizon: int, range: float, continueCosts: float[]) : NestState =
        Nest.init
            { PolicyClass = policyClass
              Feedback = Feedback.Full
              Side = SideExpert.Greedy
              Horizon = horizon
              Range = range
              ContinueCosts = continueCosts
              Seed = 0UL }

    /// Draws the policy for the next query from the weights. O(N).
    let choose (state: NestState, random: SplitMix64) : NestChoice = Nest.choose (state, random)

    /// The state after a query whose stages are all graded and at whose stage `stop` the learner answered.
    let observe (state: NestState, outcome: Outcome, stop: int) : NestState = Nest.observe (state, outcome, stop)
