namespace OptimalStopping.Theory

/// The side expert of NEST: a predictable policy outside the policy class, fitted to past data.
type SideExpert =
    | None = 0
    /// The plan of a model drawn anew from the posterior before each query.
    | PosteriorSampling = 1
    /// The greedy plan of the posterior mean: follow the leader.
    | Greedy = 2

/// What defines a run of NEST (theory 2.1); under Full feedback it is Hedge.
type NestSettings =
    {
        PolicyClass: PolicyClass
        Feedback: Feedback
        Side: SideExpert
        /// Number of queries T for which eta and gamma are tuned (Theorem 4), or 0 for the anytime schedule.
        Horizon: int
        /// B: an upper bound of 1 + lambda (C_n - C_1).
        Range: float
        /// lambda-costs of going on from each stage, for the side expert's plans; n-1 entries.
        ContinueCosts: float[]
        /// Seed of the side expert's own draws: its policy is a function of (state, seed), hence predictable.
        Seed: uint64
    }

/// Everything NEST knows after `Round` queries.
type NestState =
    {
        Settings: NestSettings
        /// Queries seen.
        Round: int
        /// Estimated cumulative loss of each policy class policy, and of the side expert.
        Losses: float[]
        SideLoss: float
        /// The same losses estimated by betting, for the certificate only: one array for each of `NestRates.stakes`.
        /// Empty under Full feedback, where nothing is estimated.
        BetLosses: float[][]
        BetSideLosses: float[]
        /// Sum of the losses that the learner itself incurred.
        Incurred: float
        /// What the side expert learns from.
        Counts: TabularCounts
    }

/// A policy drawn for one query.
type NestChoice =
    {
        /// Index in the policy class, or -1 for the side expert.
        Index: int
        /// Its stop table, (n-1) x m.
        Stop: bool[][]
    }
