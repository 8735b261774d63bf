namespace OptimalStopping.Theory

open System

/// What a learner does for one query after another, with buffers that it reuses: the fast, mutable driver. Each learner's
/// module offers the same steps as values (`init`, `choose`, `observe`: a new state each time, plain records that serialise);
/// a driver is made from a state and gives one back. Per query call Begin, then Stops for stages 0, 1, ... (n-2 at most) until
/// it answers true, then Observe. Not safe for use by several threads at once; different runs are independent.
[<AbstractClass>]
type LearnerRun() =
    /// Draws whatever the policy for the next query needs before its first signal.
    abstract Begin: random: SplitMix64 -> unit
    /// Stop at this stage, having seen this bin there?
    abstract Stops: stage: int * bin: int * random: SplitMix64 -> bool
    /// Learns from the query that stopped at `stop`, reading only what the feedback shows.
    abstract Observe: outcome: Outcome * stop: int -> unit
    /// Expected value of the policy that Begin has fixed, before any signal: `value` gives the value of a stop table and
    /// `classValues` those of the policy class's policies, in order. Given the past, this is what the next query is worth.
    abstract ExpectedValue: value: Func<bool[][], float> * classValues: float[] -> float
    /// The side expert's stop table for this query, or an empty array.
    abstract SidePolicy: bool[][]
    /// What the learner has seen, as counts of the Markov model; null where it keeps none.
    abstract Counts: TabularCounts | null
    /// Certificate A at confidence 1 - delta (theory 2.2), in units of reward: an upper bound on the realised regret so far
    /// against the best of the policy class and the side expert. NaN where the learner has none.
    abstract CertificateA: delta: float -> float
    default _.SidePolicy = [||]
    default _.Counts = null
    default _.CertificateA _ = nan
