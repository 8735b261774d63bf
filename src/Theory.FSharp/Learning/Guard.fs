namespace OptimalStopping.Theory

open System

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
    let init (heuristic: TabularState, range: float, delta: float) : GuardState =
        if heuristic.Round <> 0 then raise (ArgumentException("expected a learner that has seen nothing", nameof heuristic))
        if not (range >= 1.0) then raise (ArgumentOutOfRangeException(nameof range, range, "expected at least 1"))
        Samples.requireProbability (nameof delta) delta
        { Active = heuristic; Tripped = false; Round = 0; Rewards = 0.0; NextCheck = 1; Range = range; Delta = delta }

    /// The stop table for the next query.
    let choose (state: GuardState, random: SplitMix64) : bool[][] = TabularLearner.choose (state.Active, random)

    /// The state after a query that stopped at `stop`. `allowance` is g, nondecreasing.
    let observe (state: GuardState, outcome: Outcome, stop: int, allowance: Func<int, float>) : GuardState =
        let next =
            { state with
                Active = TabularLearner.observe (state.Active, outcome, stop)
                Round = state.Round + 1
                Rewards = state.Rewards + Outcome.reward (outcome, stop) }
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
