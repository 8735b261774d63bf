namespace OptimalStopping.Theory

open System
open System.Numerics

/// Rates of Theorem 4.
[<Struct>]
type NestRates =
    { Eta: float
      Gamma: float }

    /// The stakes of Certificate A: 1, 4 and 16 times 2 gamma. Any constants are valid. A bet of stake a knows a policy's loss
    /// up to ln(3(N+1)/delta)/a and what it takes from the estimate, a/2 times the sum of loss^2 (1/o - o): little for a
    /// policy that is graded often (o near 1), much for one that hardly ever is. So each policy has its own best stake.
    static member Stakes(gamma: float) : float[] = [| 2.0 * gamma; 8.0 * gamma; 32.0 * gamma |]

    /// What a bet of stake a > 0 counts of a loss in [0,1] that was graded and had probability `graded` of that:
    /// loss + ln((1 + a loss/graded)/(1 + a loss))/a. What was not graded counts 0. It lies between
    /// loss/(graded + a/2), the estimate of implicit exploration, and loss/graded, and is the loss itself at graded = 1; it
    /// falls as the stake or `graded` rises (paper, section 6). A probability below 1e-12 counts as that: rounding may have left none.
    static member BetLoss(stake: float, loss: float, graded: float) : float =
        loss + log ((1.0 + stake * loss / max 1e-12 graded) / (1.0 + stake * loss)) / stake

    /// D of Theorem 4: 1 (F), n (B), min(n, ln(1+T)) (S; n below T = 20).
    static member Depth(feedback: Feedback, stages: int, horizon: float) : float =
        match feedback with
        | Feedback.Full -> 1.0
        | Feedback.StagesRun when horizon >= 20.0 -> min (float stages) (log (1.0 + horizon))
        | _ -> float stages

    /// ln of the largest inverse prior: ln N, or ln 2N with a side expert of prior 1/2.
    static member LogComparators(policies: int, side: bool) : float = log (float policies) + (if side then log 2.0 else 0.0)

    /// eta and gamma tuned for T queries: eta = sqrt(lnN/(D T)), gamma = eta/2; under F eta = sqrt(8 lnN/T), gamma = 0.
    /// A policy class of one policy without side expert has nothing to learn; its lnN is raised to ln 2.
    static member Tuned(feedback: Feedback, stages: int, logComparators: float, horizon: int) : NestRates =
        let logN, t = max logComparators (log 2.0), float horizon
        if feedback = Feedback.Full then
            { Eta = sqrt (8.0 * logN / t); Gamma = 0.0 }
        else
            let eta = sqrt (logN / (NestRates.Depth(feedback, stages, t) * t))
            { Eta = eta; Gamma = eta / 2.0 }

    /// The anytime schedule for query t = 1, 2, ...: eta_t = sqrt(lnN/(2 n t)), gamma_t = eta_t/2 (remark after Theorem 4);
    /// under F eta_t = sqrt(8 lnN/t), gamma = 0 (Cesa-Bianchi and Lugosi 2006, Theorem 2.3).
    static member Anytime(feedback: Feedback, stages: int, logComparators: float, t: int) : NestRates =
        let logN = max logComparators (log 2.0)
        if feedback = Feedback.Full then
            { Eta = sqrt (8.0 * logN / float t); Gamma = 0.0 }
        else
            let eta = sqrt (logN / (2.0 * float stages * float t))
            { Eta = eta; Gamma = eta / 2.0 }

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
        /// The same losses estimated by betting, for the certificate only: one array for each of `NestRates.Stakes`.
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

/// The mutable driver of NEST. It never draws a whole policy: it stops at each stage with the probability that a policy drawn
/// from the weights, and not yet stopped, would stop there. That has the same distribution, and only needs the masses W_k that the
/// update needs anyway. Weights follow the losses multiplicatively and are rebuilt from them every 256 queries, so a driver
/// and the pure functions agree up to rounding.
[<Sealed>]
type NestRun(initial: NestState) =
    inherit LearnerRun()
    let settings = initial.Settings
    let policyClass = settings.PolicyClass
    let index = PolicyIndex policyClass
    let n, m = policyClass.Stages, policyClass.Bins
    let policies = PolicyClass.Size policyClass
    let feedback = settings.Feedback
    let hasSide = settings.Side <> SideExpert.None
    let comparators = policies + (if hasSide then 1 else 0)
    let logN = NestRates.LogComparators(policies, hasSide)
    let anytime = settings.Horizon = 0
    let losses = Array.copy initial.Losses
    let bets = initial.BetLosses |> Array.map Array.copy
    let sideBets = Array.copy initial.BetSideLosses
    let counts = TabularCounts.Copy initial.Counts
    let weights: float[] = Array.zeroCreate policies
    let sideStop: bool[][] = Array.init (n - 1) (fun _ -> Array.zeroCreate m)
    let path: int[] = Array.zeroCreate n
    // W_k, as probabilities, of the stages reached so far in this query.
    let masses: float[] = Array.zeroCreate n
    let stepLoss: float[] = Array.zeroCreate n
    let stepFactor: float[] = Array.zeroCreate n
    let stepGraded: float[] = Array.zeroCreate n
    let stepBet: float[] = Array.zeroCreate n
    let mutable round = initial.Round
    let mutable sideLoss = initial.SideLoss
    let mutable incurred = initial.Incurred
    let mutable rates = Unchecked.defaultof<NestRates>
    let mutable sideWeight = 0.0
    let mutable total = 0.0
    let mutable stale = true
    let mutable reached = 0 // stages whose mass is known
    let mutable remaining = 1.0 // mass of the policies that have not stopped
    let mutable sideStopped = -1

    let ratesAt t = if anytime then NestRates.Anytime(feedback, n, logN, t) else NestRates.Tuned(feedback, n, logN, settings.Horizon)

    let leastLoss () =
        let mutable least = if hasSide then sideLoss else infinity
        for x in losses do
            least <- min least x
        least

    /// The least of all comparators' certified losses: of each, what its best bet says, less that bet's slack.
    let leastCertified (slack: float[]) =
        let certified (bet: int -> float) =
            let mutable best = -infinity
            for j in 0 .. slack.Length - 1 do
                best <- max best (bet j - slack[j])
            best
        let mutable least = if hasSide then certified (fun j -> sideBets[j]) else infinity
        for i in 0 .. policies - 1 do
            least <- min least (certified (fun j -> bets[j].[i]))
        least

    /// Weights from scratch: prior * exp(-eta (L - min L)), scaled so that a policy class policy's prior is 1.
    let rebuild () =
        let least, eta = leastLoss (), rates.Eta
        let shift, slope = Vector<float> least, Vector<float>(-eta)
        let mutable i = 0
        while i <= policies - Vector<float>.Count do
            Vector.Exp((Vector<float>(losses, i) - shift) * slope).CopyTo(weights, i)
            i <- i + Vector<float>.Count
        while i < policies do
            weights[i] <- exp (-eta * (losses[i] - least))
            i <- i + 1
        sideWeight <- if hasSide then float policies * exp (-eta * (sideLoss - least)) else 0.0
        total <- PolicyIndex.Total weights + sideWeight
        stale <- false

    /// The generator of the side expert's draws before a query: a hash of (seed, round), so that streams do not overlap.
    let sideRandom () = SplitMix64(SplitMix64(settings.Seed).NextUInt64() ^^^ SplitMix64(uint64 round).NextUInt64())

    /// Takes in the bin of the next stage with a choice: W_k and what is left after it.
    let advance bin =
        let k = reached
        path[k] <- bin
        let mutable mass = index.Mass(weights, path, k)
        if hasSide && sideStopped < 0 && sideStop[k][bin] then
            sideStopped <- k
            mass <- mass + sideWeight
        masses[k] <- min remaining (mass / total)
        remaining <- remaining - masses[k]
        reached <- k + 1

    /// What the bets make of the stages first .. last, which were graded.
    let placeBets outcome first last =
        let stakes = NestRates.Stakes rates.Gamma
        for j in 0 .. stakes.Length - 1 do
            for k in first..last do
                stepBet[k] <- NestRates.BetLoss(stakes[j], Outcome.Loss(outcome, k, settings.Range), stepGraded[k])
            index.Update(bets[j], [||], path, first, last, stepBet, [||])
            if hasSide && first <= sideStopped && sideStopped <= last then sideBets[j] <- sideBets[j] + stepBet[sideStopped]

    /// The state after what was observed so far (copies).
    member _.State: NestState =
        { Settings = settings
          Round = round
          Losses = Array.copy losses
          SideLoss = sideLoss
          BetLosses = bets |> Array.map Array.copy
          BetSideLosses = Array.copy sideBets
          Incurred = incurred
          Counts = TabularCounts.Copy counts }

    /// Probability with which the next query's policy is each policy class policy and, last, the side expert (0 without one). Valid
    /// between Begin and Observe.
    member _.Probabilities: float[] = Array.append (weights |> Array.map (fun w -> w / total)) [| sideWeight / total |]

    override _.Begin(_random) =
        rates <- ratesAt (round + 1)
        if stale || anytime || round % 256 = 0 || total < 1e-60 then rebuild ()
        match settings.Side with
        | SideExpert.PosteriorSampling ->
            TabularPlan.fillPosteriorSample (counts, settings.ContinueCosts, Sampling(sideRandom ()), sideStop)
        | SideExpert.Greedy -> TabularPlan.fillGreedy (counts, settings.ContinueCosts, sideStop)
        | _ -> ()
        reached <- 0
        remaining <- 1.0
        sideStopped <- -1

    override _.Stops(stage, bin, random) =
        if stage <> reached then invalidArg (nameof stage) $"expected stage {reached}: stages are asked in order"
        let before = remaining
        advance bin
        random.NextDouble() * before < masses[stage]

    override _.Observe(outcome, stop) =
        let first = if feedback = Feedback.Returned then stop else 0
        let last = if feedback = Feedback.Full then n - 1 else stop
        if feedback = Feedback.Full then
            Array.blit outcome.Bins 0 path 0 n
            if hasSide then sideStopped <- Reactive.stopStage (sideStop, path)
        else
            // Callers that drew a whole policy did not ask stage by stage.
            while reached <= min stop (n - 2) do
                advance outcome.Bins[reached]
            if stop = n - 1 then
                masses[n - 1] <- remaining
                if hasSide && sideStopped < 0 then sideStopped <- n - 1
        let mutable reaching = 1.0
        for k in 0..last do
            let graded =
                match feedback with
                | Feedback.Full -> 1.0
                | Feedback.StagesRun -> max 0.0 reaching
                | _ -> masses[k]
            reaching <- reaching - masses[k]
            if k >= first then
                stepLoss[k] <- Outcome.Loss(outcome, k, settings.Range) / (graded + rates.Gamma)
                stepGraded[k] <- graded
                stepFactor[k] <- exp (-rates.Eta * stepLoss[k])
        index.Update(losses, (if anytime then [||] else weights), path, first, last, stepLoss, stepFactor)
        if hasSide && first <= sideStopped && sideStopped <= last then
            sideLoss <- sideLoss + stepLoss[sideStopped]
            sideWeight <- sideWeight * stepFactor[sideStopped]
        if not anytime then total <- PolicyIndex.Total weights + sideWeight
        if feedback <> Feedback.Full then placeBets outcome first last
        incurred <- incurred + Outcome.Loss(outcome, stop, settings.Range)
        TabularCounts.Record(counts, feedback, outcome, stop)
        round <- round + 1
        reached <- 0
        remaining <- 1.0

    override _.ExpectedValue(value, classValues) =
        let side = if hasSide then sideWeight * value.Invoke sideStop else 0.0
        (PolicyIndex.Dot(weights, classValues) + side) / total

    override _.SidePolicy = if hasSide then sideStop else [||]
    override _.Counts = counts

    /// Certificate A: B [incurred loss - min over policies of max over stakes a of (loss by that bet - ln(3(N+1)/delta)/a)].
    /// Each bet holds for each policy (paper, section 6); 3(N+1) is the union. Valid for all t at once. With the anytime schedule
    /// (N+1) t(t+1) stands for N+1: the bets at the stakes of gamma_t, the least so far, and a union over t. Under F the regret
    /// is observed. 0 before the first query.
    override _.CertificateA(delta) =
        if not (delta > 0.0 && delta < 1.0) then
            raise (ArgumentOutOfRangeException(nameof delta, delta, "expected a number strictly between 0 and 1"))
        if round = 0 then
            0.0
        elif feedback = Feedback.Full then
            settings.Range * (incurred - leastLoss ())
        else
            let t, stakes = float round, NestRates.Stakes (ratesAt round).Gamma
            let unions = float stakes.Length * float comparators * (if anytime then t * (t + 1.0) else 1.0)
            settings.Range * (incurred - leastCertified (stakes |> Array.map (fun stake -> log (unions / delta) / stake)))

/// NEST, nested exponential weights for stopping (theory 2.1), as pure functions on values. For many queries use `NestRun`.
[<RequireQualifiedAccess>]
module Nest =

    /// The state before the first query. Throws ArgumentException on settings that fit no policy class or horizon.
    [<CompiledName "Init">]
    let init (settings: NestSettings) : NestState =
        if settings.Horizon < 0 then
            raise (ArgumentOutOfRangeException("Horizon", settings.Horizon, "expected at least 1, or 0 for the anytime schedule"))
        if not (settings.Range >= 1.0 && Double.IsFinite settings.Range) then
            raise (ArgumentOutOfRangeException("Range", settings.Range, "expected a finite number of at least 1"))
        if settings.ContinueCosts.Length <> settings.PolicyClass.Stages - 1 then
            raise (ArgumentException($"expected {settings.PolicyClass.Stages - 1} costs of going on, got {settings.ContinueCosts.Length}"))
        let stakes = if settings.Feedback = Feedback.Full then 0 else (NestRates.Stakes 1.0).Length
        { Settings = settings
          Round = 0
          Losses = Array.zeroCreate (PolicyClass.Size settings.PolicyClass)
          SideLoss = 0.0
          BetLosses = Array.init stakes (fun _ -> Array.zeroCreate (PolicyClass.Size settings.PolicyClass))
          BetSideLosses = Array.zeroCreate stakes
          Incurred = 0.0
          Counts = TabularCounts.Create(settings.PolicyClass.Stages, settings.PolicyClass.Bins) }

    /// A driver that starts from a state; the state itself is never changed.
    [<CompiledName "Run">]
    let run (state: NestState) : NestRun = NestRun state

    let private begun (state: NestState) =
        let driver = NestRun state
        driver.Begin(SplitMix64 0UL)
        driver

    /// Weights w_t: the probability of each policy class policy and, last, of the side expert. N + 1 entries that sum to 1.
    [<CompiledName "Weights">]
    let weights (state: NestState) : float[] = (begun state).Probabilities

    /// The side expert's policy for the next query, a function of the state alone; empty without a side expert.
    [<CompiledName "SidePolicy">]
    let sidePolicy (state: NestState) : bool[][] = (begun state).SidePolicy

    /// Draws the policy for the next query from the weights. O(N).
    [<CompiledName "Choose">]
    let choose (state: NestState, random: SplitMix64) : NestChoice =
        let driver = begun state
        let weights = driver.Probabilities
        let u = random.NextDouble()
        let mutable i, cumulative = 0, weights[0]
        while i < weights.Length - 1 && cumulative <= u do
            i <- i + 1
            cumulative <- cumulative + weights[i]
        if i < weights.Length - 1 then { Index = i; Stop = PolicyClass.Policy(state.Settings.PolicyClass, i) }
        elif state.Settings.Side <> SideExpert.None then { Index = -1; Stop = driver.SidePolicy }
        else { Index = i - 1; Stop = PolicyClass.Policy(state.Settings.PolicyClass, i - 1) } // rounding left u above the last sum

    /// The state after a query that stopped at `stop`. Reads of the outcome only what the feedback shows.
    [<CompiledName "Observe">]
    let observe (state: NestState, outcome: Outcome, stop: int) : NestState =
        if stop < 0 || stop >= state.Settings.PolicyClass.Stages then
            raise (ArgumentOutOfRangeException(nameof stop, stop, $"expected 0 .. {state.Settings.PolicyClass.Stages - 1}"))
        let driver = begun state
        driver.Observe(outcome, stop)
        driver.State

    /// Certificate A at confidence 1 - delta; see `NestRun.CertificateA`.
    [<CompiledName "CertificateA">]
    let certificateA (state: NestState, delta: float) : float = (NestRun state).CertificateA delta

/// Hedge (Freund and Schapire 1997): exponential weights when every stage is graded after each query, as on recorded traces. It
/// is NEST under Feedback.Full, and its states are NEST's: `Nest.choose`, `Nest.weights` and `Nest.certificateA` take them.
[<RequireQualifiedAccess>]
module Hedge =

    /// The state before the first query. `horizon` is T for the fixed rate eta = sqrt(8 lnN/T), 0 for the anytime rate
    /// eta_t = sqrt(8 lnN/t); `range` is B.
    [<CompiledName "Init">]
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
    [<CompiledName "InitWithPlan">]
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
    [<CompiledName "Choose">]
    let choose (state: NestState, random: SplitMix64) : NestChoice = Nest.choose (state, random)

    /// The state after a query whose stages are all graded and at whose stage `stop` the learner answered.
    [<CompiledName "Observe">]
    let observe (state: NestState, outcome: Outcome, stop: int) : NestState = Nest.observe (state, outcome, stop)
