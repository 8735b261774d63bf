namespace OptimalStopping.Theory

open System

/// How a model-based learner turns its counts into the next query's policy.
type TabularRule =
    /// The plan of a model drawn from the posterior (PSRL).
    | PosteriorSampling = 0
    /// The posterior mean's plan: greedy, or follow the leader when all stages are graded.
    | Greedy = 1
    /// Explore for the first T^(2/3) queries, then greedy. Needs a horizon.
    | ExploreThenCommit = 2
    /// Explore with probability min(1, 2 t^(-1/3)), else greedy.
    | EpsilonGreedy = 3
    /// Optimistic backward induction (theory 2.3); Theorem 7's iota with a horizon, else anytime with delta = 0.05.
    | OptStop = 4

/// All that a model-based learner knows.
type TabularState =
    {
        Rule: TabularRule
        Feedback: Feedback
        /// Number of queries T that explore-then-commit and OptStop are tuned for; 0 if unknown.
        Horizon: int
        /// lambda-costs of going on from each stage; n-1 entries.
        ContinueCosts: float[]
        /// Queries seen.
        Round: int
        Counts: TabularCounts
    }

/// The mutable driver of the model-based learners.
[<Sealed>]
type TabularRun(initial: TabularState) =
    inherit LearnerRun()
    let counts = TabularCounts.copy initial.Counts
    let costs, rule, feedback = initial.ContinueCosts, initial.Rule, initial.Feedback
    let n = costs.Length + 1
    let stop: bool[][] = Array.init (n - 1) (fun _ -> Array.zeroCreate counts.First.Length)
    let planner = OptimisticPlanner(counts, costs, { Horizon = initial.Horizon; Delta = 0.05 })
    let exploration = Math.Pow(float initial.Horizon, 2.0 / 3.0)
    let mutable round = initial.Round
    // One Sampling per source of randomness, because it keeps a spare normal.
    let mutable sampling: struct (SplitMix64 * Sampling) voption = ValueNone

    let samplingOf random =
        match sampling with
        | ValueSome struct (source, it) when obj.ReferenceEquals(source, random) -> it
        | _ ->
            let it = Sampling random
            sampling <- ValueSome(struct (random, it))
            it

    /// Explores so that every stage gets graded: all stages when those run are graded, else a uniformly drawn depth.
    let explore (random: SplitMix64) =
        let depth = if feedback = Feedback.Returned then random.NextIndex n else n - 1
        for k in 0 .. n - 2 do
            Array.fill stop[k] 0 stop[k].Length (k >= depth)

    let greedy () = TabularPlan.fillGreedy (counts, costs, stop)

    /// The state after what was observed so far (copies).
    member _.State: TabularState = { initial with Round = round; Counts = TabularCounts.copy counts }

    /// The stop table that Begin has fixed; valid until the next Begin.
    member _.Policy: bool[][] = stop

    override _.Begin(random) =
        match rule with
        | TabularRule.PosteriorSampling -> TabularPlan.fillPosteriorSample (counts, costs, samplingOf random, stop)
        | TabularRule.ExploreThenCommit -> if float round < exploration then explore random else greedy ()
        | TabularRule.EpsilonGreedy ->
            let epsilon = 2.0 * Math.Pow(float (round + 1), -1.0 / 3.0)
            if random.NextDouble() < epsilon then explore random else greedy ()
        | TabularRule.OptStop ->
            planner.Refresh()
            planner.Fill stop
        | _ -> greedy ()

    override _.Stops(stage, bin, _random) = stop[stage][bin]

    override _.Observe(outcome, stopped) =
        TabularCounts.record (counts, feedback, outcome, stopped)
        round <- round + 1

    override _.ExpectedValue(value, _classValues) = value.Invoke stop
    override _.Counts = counts

/// Model-based learners as pure functions on values. For many queries use `TabularRun`.
[<RequireQualifiedAccess>]
module TabularLearner =

    /// The state before the first query for signals of `bins` bins. Throws where a horizon is needed and missing.
    let init (rule: TabularRule, feedback: Feedback, bins: int, continueCosts: float[], horizon: int) : TabularState =
        if horizon < 0 || (horizon = 0 && rule = TabularRule.ExploreThenCommit) then
            raise (ArgumentOutOfRangeException(nameof horizon, horizon, "expected a number of queries of at least 1"))
        if bins < 1 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 1"))
        { Rule = rule
          Feedback = feedback
          Horizon = horizon
          ContinueCosts = continueCosts
          Round = 0
          Counts = TabularCounts.create (continueCosts.Length + 1, bins) }

    /// A driver that starts from a state; the state itself is never changed.
    let run (state: TabularState) : TabularRun = TabularRun state

    /// The stop table for the next query.
    let choose (state: TabularState, random: SplitMix64) : bool[][] =
        let driver = TabularRun state
        driver.Begin random
        driver.Policy

    /// The state after a query that stopped at `stop`.
    let observe (state: TabularState, outcome: Outcome, stop: int) : TabularState =
        { state with Round = state.Round + 1; Counts = TabularCounts.observe (state.Counts, state.Feedback, outcome, stop) }
