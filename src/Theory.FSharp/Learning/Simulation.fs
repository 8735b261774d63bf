namespace OptimalStopping.Theory

open System

/// The learners that `Simulation.run` knows.
type LearnerKind =
    /// NEST with the posterior-sampling side expert, tuned for T (Theorem 4): the default.
    | Nest = 0
    /// NEST without side expert, tuned for T.
    | NestAlone = 1
    /// NEST with the posterior-sampling side expert, anytime schedule.
    | NestAnytime = 2
    /// Hedge over the policy class, tuned for T (feedback Full only).
    | Hedge = 3
    /// Hedge with the greedy plan as side expert, tuned for T (feedback Full only).
    | HedgeWithSide = 4
    /// Hedge over the policy class, anytime schedule (feedback Full only).
    | HedgeAnytime = 5
    /// UCB1 over the n fixed depths.
    | Ucb1 = 6
    | PosteriorSampling = 7
    /// Greedy plug-in; under Full feedback, follow the leader.
    | Greedy = 8
    | ExploreThenCommit = 9
    | EpsilonGreedy = 10
    /// Optimistic planning with the anytime bonuses of Certificate B, delta = 0.05.
    | OptStop = 11
    /// Optimistic planning with the bonuses of Theorem 7 for the known T.
    | OptStopTuned = 12

/// What a simulated run measured, at each checkpoint t (the first t queries). Regrets and bounds are in units of reward.
type SimulationResult =
    {
        Checkpoints: int[]
        /// Sum over queries of (value of the policy class's best policy - expected value of the learner's policy given the past). May be
        /// negative: a side expert or a model-based learner can beat the policy class.
        RegretToClass: float[]
        /// The same against the best policy of all (whole history of signals); never negative.
        RegretToOptimal: float[]
        /// Reward of the policy class's best policy in hindsight on these very queries, less the learner's reward.
        RealisedRegretToClass: float[]
        /// The same against the best of policy class and side expert: what Certificate A bounds.
        RealisedRegret: float[]
        /// Certificate A at `Simulation.Delta`; NaN where the learner has none.
        CertificateA: float[]
        /// Certificate B at `Simulation.Delta`: under the Markov assumption, an upper bound of the regret to the optimum; NaN for
        /// learners that keep no counts.
        CertificateB: float[]
        /// A priori bound after t queries: Theorem 4 (expected regret to the policy class) for NEST and Hedge, Theorem 7 for OptStopTuned
        /// at t = T, UCB1's bound (to the best fixed depth); NaN for learners without one.
        Bound: float[]
        /// Queries answered by each stage, over the whole run; n entries.
        StopCounts: int[]
        /// Sum of the rewards earned (first-stage cost left out).
        Rewards: float[]
        /// Values per query of the policy class's best policy and of the best policy of all.
        BestClassValue: float
        OptimalValue: float
    }

/// Runs a learner on queries drawn from a known distribution and measures its regret.
[<RequireQualifiedAccess>]
module Simulation =

    /// Failure probability of the certificates reported.
    [<Literal>]
    let Delta = 0.05

    /// The driver of a learner for an environment's stages, bins, range and costs. `horizon` is T where the learner is tuned.
    [<CompiledName "Learner">]
    let learner
        (kind: LearnerKind, environment: IEnvironment, policyClass: PolicyClass, feedback: Feedback, horizon: int, seed: uint64)
        : LearnerRun =
        let nest side anytime =
            NestRun(
                Nest.init
                    { PolicyClass = policyClass
                      Feedback = feedback
                      Side = side
                      Horizon = if anytime then 0 else horizon
                      Range = environment.Range
                      ContinueCosts = environment.ContinueCosts
                      Seed = seed
                      AuditRate = 1.0 }
            )
            :> LearnerRun
        let hedge side anytime =
            if feedback <> Feedback.Full then
                raise (ArgumentException($"{kind} needs every stage graded (Feedback.Full); use Nest", nameof feedback))
            nest side anytime
        let tabular rule horizon =
            TabularRun(TabularLearner.init (rule, feedback, environment.Bins, environment.ContinueCosts, horizon)) :> LearnerRun
        match kind with
        | LearnerKind.Nest -> nest SideExpert.PosteriorSampling false
        | LearnerKind.NestAlone -> nest SideExpert.None false
        | LearnerKind.NestAnytime -> nest SideExpert.PosteriorSampling true
        | LearnerKind.Hedge -> hedge SideExpert.None false
        | LearnerKind.HedgeWithSide -> hedge SideExpert.Greedy false
        | LearnerKind.HedgeAnytime -> hedge SideExpert.None true
        | LearnerKind.Ucb1 -> Ucb1Run(Ucb1.init (environment.Stages, environment.Range), environment.Bins)
        | LearnerKind.PosteriorSampling -> tabular TabularRule.PosteriorSampling 0
        | LearnerKind.Greedy -> tabular TabularRule.Greedy 0
        | LearnerKind.ExploreThenCommit -> tabular TabularRule.ExploreThenCommit horizon
        | LearnerKind.EpsilonGreedy -> tabular TabularRule.EpsilonGreedy 0
        | LearnerKind.OptStop -> tabular TabularRule.OptStop 0
        | LearnerKind.OptStopTuned -> tabular TabularRule.OptStop horizon
        | _ -> raise (ArgumentOutOfRangeException(nameof kind, kind, "not a learner"))

    /// The a priori bound that `SimulationResult.Bound` reports after t of `horizon` queries.
    [<CompiledName "Bound">]
    let bound (kind: LearnerKind, environment: IEnvironment, policyClass: PolicyClass, feedback: Feedback, horizon: int, t: int) : float =
        let n, range = environment.Stages, environment.Range
        let logN side = NestRates.LogComparators(PolicyClass.Size policyClass, side)
        match kind with
        | LearnerKind.Nest
        | LearnerKind.HedgeWithSide -> (Regret.nestAt (feedback, n, logN true, horizon, t, range)).Value
        | LearnerKind.NestAlone
        | LearnerKind.Hedge -> (Regret.nestAt (feedback, n, logN false, horizon, t, range)).Value
        | LearnerKind.NestAnytime -> (Regret.nestAnytime (feedback, n, logN true, t, range)).Value
        | LearnerKind.HedgeAnytime -> (Regret.nestAnytime (feedback, n, logN false, t, range)).Value
        | LearnerKind.Ucb1 -> (Regret.ucb1 (n, t, range)).Value
        | LearnerKind.OptStopTuned when t = horizon -> (Regret.optStop (n, environment.Bins, t, range)).Value
        | _ -> nan

    /// Runs `horizon` queries. Checkpoints are numbers of queries in 1 .. horizon, increasing. The queries depend on the seed
    /// and the environment only, so all learners meet the same ones; runs share nothing, so they may go in parallel.
    [<CompiledName "Run">]
    let run
        (
            environment: IEnvironment,
            policyClass: PolicyClass,
            kind: LearnerKind,
            feedback: Feedback,
            horizon: int,
            checkpoints: int[],
            seed: int
        ) : SimulationResult =
        if horizon < 1 then raise (ArgumentOutOfRangeException(nameof horizon, horizon, "expected at least 1"))
        if
            checkpoints |> Array.exists (fun t -> t < 1 || t > horizon)
            || checkpoints |> Array.pairwise |> Array.exists (fun (a, b) -> a >= b)
        then
            raise (ArgumentException($"expected increasing numbers in 1 .. {horizon}", nameof checkpoints))
        if policyClass.Stages <> environment.Stages || policyClass.Bins <> environment.Bins then
            raise (
                ArgumentException(
                    $"the policyClass is for {policyClass.Stages} stages x {policyClass.Bins} bins, the environment has \
                                       {environment.Stages} x {environment.Bins}",
                    nameof policyClass
                )
            )
        let n, range = environment.Stages, environment.Range
        let seeds = SplitMix64(uint64 (int64 seed))
        let queries, choices, sideSeed = SplitMix64(seeds.NextUInt64()), SplitMix64(seeds.NextUInt64()), seeds.NextUInt64()
        let learner = learner (kind, environment, policyClass, feedback, horizon, sideSeed)
        let index, classValues = PolicyIndex policyClass, environment.ClassValues policyClass
        let bestInClass, optimal = Array.max classValues, environment.OptimalValue
        let value = Func<bool[][], float>(environment.Value)
        let hindsight: float[] = Array.zeroCreate classValues.Length
        let rewardsByStage: float[] = Array.zeroCreate n
        let outcome = Outcome.Empty n
        let stopCounts: int[] = Array.zeroCreate n
        let result =
            let empty () = Array.zeroCreate<float> checkpoints.Length
            { Checkpoints = Array.copy checkpoints
              RegretToClass = empty ()
              RegretToOptimal = empty ()
              RealisedRegretToClass = empty ()
              RealisedRegret = empty ()
              CertificateA = empty ()
              CertificateB = empty ()
              Bound = empty ()
              StopCounts = stopCounts
              Rewards = empty ()
              BestClassValue = bestInClass
              OptimalValue = optimal }
        let mutable expected, earned, side, next = 0.0, 0.0, 0.0, 0
        for t in 1..horizon do
            learner.Begin choices
            expected <- expected + learner.ExpectedValue(value, classValues)
            environment.Draw(queries, outcome)
            let mutable stop = 0
            while stop < n - 1 && not (learner.Stops(stop, outcome.Bins[stop], choices)) do
                stop <- stop + 1
            stopCounts[stop] <- stopCounts[stop] + 1
            earned <- earned + Outcome.Reward(outcome, stop)
            for k in 0 .. n - 1 do
                rewardsByStage[k] <- Outcome.Reward(outcome, k)
            index.Add(hindsight, outcome.Bins, rewardsByStage)
            let sidePolicy = learner.SidePolicy
            if sidePolicy.Length > 0 then side <- side + rewardsByStage[Reactive.stopStage (sidePolicy, outcome.Bins)]
            learner.Observe(outcome, stop)
            if next < checkpoints.Length && t = checkpoints[next] then
                let best = Array.max hindsight
                result.RegretToClass[next] <- float t * bestInClass - expected
                result.RegretToOptimal[next] <- float t * optimal - expected
                result.RealisedRegretToClass[next] <- best - earned
                result.RealisedRegret[next] <- (if learner.SidePolicy.Length > 0 then max best side else best) - earned
                result.CertificateA[next] <- learner.CertificateA Delta
                result.CertificateB[next] <-
                    match learner.Counts with
                    | null -> nan
                    | counts -> OptStop.certificateB (counts, environment.ContinueCosts, earned, range, Delta)
                result.Bound[next] <- bound (kind, environment, policyClass, feedback, horizon, t)
                result.Rewards[next] <- earned
                next <- next + 1
        result
