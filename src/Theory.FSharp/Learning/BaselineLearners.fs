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
    let counts = TabularCounts.Copy initial.Counts
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
    member _.State: TabularState = { initial with Round = round; Counts = TabularCounts.Copy counts }

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
        TabularCounts.Record(counts, feedback, outcome, stopped)
        round <- round + 1

    override _.ExpectedValue(value, _classValues) = value.Invoke stop
    override _.Counts = counts

/// Model-based learners as pure functions on values. For many queries use `TabularRun`.
[<RequireQualifiedAccess>]
module TabularLearner =

    /// The state before the first query for signals of `bins` bins. Throws where a horizon is needed and missing.
    [<CompiledName "Init">]
    let init (rule: TabularRule, feedback: Feedback, bins: int, continueCosts: float[], horizon: int) : TabularState =
        if horizon < 0 || (horizon = 0 && rule = TabularRule.ExploreThenCommit) then
            raise (ArgumentOutOfRangeException(nameof horizon, horizon, "expected a number of queries of at least 1"))
        if bins < 1 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 1"))
        { Rule = rule
          Feedback = feedback
          Horizon = horizon
          ContinueCosts = continueCosts
          Round = 0
          Counts = TabularCounts.Create(continueCosts.Length + 1, bins) }

    /// A driver that starts from a state; the state itself is never changed.
    [<CompiledName "Run">]
    let run (state: TabularState) : TabularRun = TabularRun state

    /// The stop table for the next query.
    [<CompiledName "Choose">]
    let choose (state: TabularState, random: SplitMix64) : bool[][] =
        let driver = TabularRun state
        driver.Begin random
        driver.Policy

    /// The state after a query that stopped at `stop`.
    [<CompiledName "Observe">]
    let observe (state: TabularState, outcome: Outcome, stop: int) : TabularState =
        { state with Round = state.Round + 1; Counts = TabularCounts.Observe(state.Counts, state.Feedback, outcome, stop) }

/// A model-based heuristic under watch (theory 2.3, Guard): it runs while Certificate B allows, then OptStop starts afresh.
type GuardState =
    {
        /// The learner at work: the heuristic, or OptStop once `Tripped`.
        Active: TabularState
        Tripped: bool
        /// Queries seen, rewards earned on them, and the query after which the certificate is looked at next.
        Round: int
        Rewards: float
        NextCheck: int
        /// B, and the failure probability of the certificate.
        Range: float
        Delta: float
    }

/// Runs any tabular heuristic until its certified regret exceeds an allowance g(t), then restarts with OptStop. Under the
/// Markov assumption, with probability at least 1 - 2 delta, the regret before the restart is at most
/// g(T) + B (sqrt T + 2), because the certificate is looked at every ceil(sqrt t) queries; Theorem 7 bounds the rest.
[<RequireQualifiedAccess>]
module Guard =

    let private checkAfter (round: int) = round + int (ceil (sqrt (float (max 1 round))))

    /// The state before the first query: a heuristic that has seen nothing, range B, delta in (0,1).
    [<CompiledName "Init">]
    let init (heuristic: TabularState, range: float, delta: float) : GuardState =
        if heuristic.Round <> 0 then raise (ArgumentException("expected a learner that has seen nothing", nameof heuristic))
        if not (range >= 1.0) then raise (ArgumentOutOfRangeException(nameof range, range, "expected at least 1"))
        Samples.requireProbability (nameof delta) delta
        { Active = heuristic; Tripped = false; Round = 0; Rewards = 0.0; NextCheck = 1; Range = range; Delta = delta }

    /// The stop table for the next query.
    [<CompiledName "Choose">]
    let choose (state: GuardState, random: SplitMix64) : bool[][] = TabularLearner.choose (state.Active, random)

    /// The state after a query that stopped at `stop`. `allowance` is g, nondecreasing.
    [<CompiledName "Observe">]
    let observe (state: GuardState, outcome: Outcome, stop: int, allowance: Func<int, float>) : GuardState =
        let next =
            { state with
                Active = TabularLearner.observe (state.Active, outcome, stop)
                Round = state.Round + 1
                Rewards = state.Rewards + Outcome.Reward(outcome, stop) }
        if next.Tripped || next.Round < next.NextCheck then
            next
        else
            let active = next.Active
            let certified = OptStop.certificateB (active.Counts, active.ContinueCosts, next.Rewards, next.Range, next.Delta)
            if certified <= allowance.Invoke next.Round then
                { next with NextCheck = checkAfter next.Round }
            else
                let bins = active.Counts.First.Length
                { next with
                    Active = TabularLearner.init (TabularRule.OptStop, active.Feedback, bins, active.ContinueCosts, 0)
                    Tripped = true }

/// What UCB1 knows: how often it answered with each stage, and the sum of those losses (in [0,1]).
type Ucb1State =
    {
        /// B: an upper bound of 1 + lambda (C_n - C_1).
        Range: float
        Plays: float[]
        Losses: float[]
    }

/// UCB1 (Auer, Cesa-Bianchi and Fischer 2002) over the n fixed depths: signals are ignored, and only the returned answer is
/// used whatever the feedback. Each depth once, then the largest mean + sqrt(2 ln t / plays); ties go to the cheapest.
[<RequireQualifiedAccess>]
module Ucb1 =

    /// The state before the first query.
    [<CompiledName "Init">]
    let init (stages: int, range: float) : Ucb1State =
        if stages < 1 then raise (ArgumentOutOfRangeException(nameof stages, stages, "expected at least 1"))
        if not (range >= 1.0) then raise (ArgumentOutOfRangeException(nameof range, range, "expected at least 1"))
        { Range = range; Plays = Array.zeroCreate stages; Losses = Array.zeroCreate stages }

    let internal depth (plays: float[]) (losses: float[]) =
        let t = Array.sum plays
        let mutable best, bestIndex = Double.NegativeInfinity, 0
        for k in 0 .. plays.Length - 1 do
            let index = if plays[k] = 0.0 then infinity else 1.0 - losses[k] / plays[k] + sqrt (2.0 * log (t + 1.0) / plays[k])
            if index > best then
                best <- index
                bestIndex <- k
        bestIndex

    /// The stage (0 .. n-1) at which the next query stops. Deterministic.
    [<CompiledName "Choose">]
    let choose (state: Ucb1State) : int = depth state.Plays state.Losses

    /// The state after a query that stopped at `stop`.
    [<CompiledName "Observe">]
    let observe (state: Ucb1State, outcome: Outcome, stop: int) : Ucb1State =
        let at change = Array.mapi (fun k x -> if k = stop then x + change else x)
        { state with Plays = at 1.0 state.Plays; Losses = at (Outcome.Loss(outcome, stop, state.Range)) state.Losses }

/// The mutable driver of UCB1.
[<Sealed>]
type Ucb1Run(initial: Ucb1State, bins: int) =
    inherit LearnerRun()
    let plays, losses = Array.copy initial.Plays, Array.copy initial.Losses
    let stop: bool[][] = Array.init (plays.Length - 1) (fun _ -> Array.zeroCreate bins)
    let mutable depth = 0

    /// The state after what was observed so far (copies).
    member _.State: Ucb1State = { initial with Plays = Array.copy plays; Losses = Array.copy losses }

    override _.Begin(_random) =
        depth <- Ucb1.depth plays losses
        for k in 0 .. stop.Length - 1 do
            Array.fill stop[k] 0 bins (k >= depth)

    override _.Stops(stage, _bin, _random) = stage >= depth

    override _.Observe(outcome, stopped) =
        plays[stopped] <- plays[stopped] + 1.0
        losses[stopped] <- losses[stopped] + Outcome.Loss(outcome, stopped, initial.Range)

    override _.ExpectedValue(value, _classValues) = value.Invoke stop
