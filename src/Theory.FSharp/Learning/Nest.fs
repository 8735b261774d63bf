namespace OptimalStopping.Theory

open System

/// NEST, nested exponential weights for stopping (theory 2.1), as pure functions on values. For many queries use `NestRun`.
[<RequireQualifiedAccess>]
module Nest =

    /// The state before the first query. Throws ArgumentException on settings that fit no policy class or horizon.
    let init (settings: NestSettings) : NestState =
        if settings.Horizon < 0 then
            raise (ArgumentOutOfRangeException("Horizon", settings.Horizon, "expected at least 1, or 0 for the anytime schedule"))
        if not (settings.Range >= 1.0 && Double.IsFinite settings.Range) then
            raise (ArgumentOutOfRangeException("Range", settings.Range, "expected a finite number of at least 1"))
        if settings.ContinueCosts.Length <> settings.PolicyClass.Stages - 1 then
            raise (ArgumentException($"expected {settings.PolicyClass.Stages - 1} costs of going on, got {settings.ContinueCosts.Length}"))
        let stakes = if settings.Feedback = Feedback.Full then 0 else (NestRates.stakes 1.0).Length
        { Settings = settings
          Round = 0
          Losses = Array.zeroCreate (PolicyClass.size settings.PolicyClass)
          SideLoss = 0.0
          BetLosses = Array.init stakes (fun _ -> Array.zeroCreate (PolicyClass.size settings.PolicyClass))
          BetSideLosses = Array.zeroCreate stakes
          Incurred = 0.0
          Counts = TabularCounts.create (settings.PolicyClass.Stages, settings.PolicyClass.Bins) }

    /// A driver that starts from a state; the state itself is never changed.
    let run (state: NestState) : NestRun = NestRun state

    let private begun (state: NestState) =
        let driver = NestRun state
        driver.Begin(SplitMix64 0UL)
        driver

    /// Weights w_t: the probability of each policy class policy and, last, of the side expert. N + 1 entries that sum to 1.
    let weights (state: NestState) : float[] = (begun state).Probabilities

    /// The side expert's policy for the next query, a function of the state alone; empty without a side expert.
    let sidePolicy (state: NestState) : bool[][] = (begun state).SidePolicy

    /// Draws the policy for the next query from the weights. O(N).
    let choose (state: NestState, random: SplitMix64) : NestChoice =
        let driver = begun state
        let weights = driver.Probabilities
        let u = random.NextDouble()
        let mutable i, cumulative = 0, weights[0]
        while i < weights.Length - 1 && cumulative <= u do
            i <- i + 1
            cumulative <- cumulative + weights[i]
        if i < weights.Length - 1 then { Index = i; Stop = PolicyClass.policy (state.Settings.PolicyClass, i) }
        elif state.Settings.Side <> SideExpert.None then { Index = -1; Stop = driver.SidePolicy }
        else { Index = i - 1; Stop = PolicyClass.policy (state.Settings.PolicyClass, i - 1) } // rounding left u above the last sum

    /// The state after a query that stopped at `stop`. Reads of the outcome only what the feedback shows.
    let observe (state: NestState, outcome: Outcome, stop: int) : NestState =
        if stop < 0 || stop >= state.Settings.PolicyClass.Stages then
            raise (ArgumentOutOfRangeException(nameof stop, stop, $"expected 0 .. {state.Settings.PolicyClass.Stages - 1}"))
        let driver = begun state
        driver.Observe(outcome, stop)
        driver.State

    /// Certificate A at confidence 1 - delta; see `NestRun.CertificateA`.
    let certificateA (state: NestState, delta: float) : float = (NestRun state).CertificateA delta
