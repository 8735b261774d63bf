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

    /// eta and gamma tuned for T queries of which each is graded with a known probability of at least `auditRate`, p:
    /// eta = sqrt(p lnN/(D T)), gamma = eta/2, with D = 1 under F. At p = 1 the rates of Theorem 4.
    static member TunedAudited(feedback: Feedback, stages: int, logComparators: float, horizon: int, auditRate: float) : NestRates =
        if auditRate = 1.0 then
            NestRates.Tuned(feedback, stages, logComparators, horizon)
        else
            let logN, t = max logComparators (log 2.0), float horizon
            let eta = sqrt (auditRate * logN / (NestRates.Depth(feedback, stages, t) * t))
            { Eta = eta; Gamma = eta / 2.0 }

    /// The anytime schedule with audits: eta_t = sqrt(p lnN/(2 n t)) (under F without n), gamma_t = eta_t/2.
    static member AnytimeAudited(feedback: Feedback, stages: int, logComparators: float, t: int, auditRate: float) : NestRates =
        if auditRate = 1.0 then
            NestRates.Anytime(feedback, stages, logComparators, t)
        else
            let depth = if feedback = Feedback.Full then 1.0 else float stages
            let eta = sqrt (auditRate * max logComparators (log 2.0) / (2.0 * depth * float t))
            { Eta = eta; Gamma = eta / 2.0 }

    /// What an upward bet of stake a > 0 counts of the learner's own loss in [0,1] that was graded with probability p:
    /// -ln(1 - (1 - exp(-a loss))/p)/a; what was not graded counts 0. Needs a < p. It is the loss itself at p = 1, and more than
    /// loss/p below: exp(sum of a (loss - counted)) is a martingale, so the losses are at most the sum + ln(1/delta)/a.
    static member BetUpwards(stake: float, loss: float, graded: float) : float = -log(1.0 - (1.0 - exp (-stake * loss)) / graded) / stake

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
        /// p in (0,1]: each query is graded with a known probability of at least p, by a coin that does not look at the query or at
        /// the learner's draws (Theorem 15). 1, the usual: every query is graded.
        AuditRate: float
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
        /// Sum of the losses that the learner itself incurred; of the graded ones, each over its probability of that, with audits.
        Incurred: float
        /// With audits: the same losses by upward bets, one sum for each of `NestRates.Stakes`; else empty.
        BetIncurred: float[]
        /// What Theorem 16 observes in the place of the terms that hold D: sums of eta/2 <w, estimate^2> and of what gamma takes from the
        /// estimates, in units of loss. Under F (all queries graded) eta/8 per query.
        Variation: float
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
    let audited = settings.AuditRate < 1.0
    // Under F with every query graded nothing is estimated.
    let exact = feedback = Feedback.Full && not audited
    let ownBets = Array.copy initial.BetIncurred
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
    let mutable variation = initial.Variation
    let mutable rates = Unchecked.defaultof<NestRates>
    let mutable sideWeight = 0.0
    let mutable total = 0.0
    let mutable stale = true
    let mutable reached = 0 // stages whose mass is known
    let mutable remaining = 1.0 // mass of the policies that have not stopped
    let mutable sideStopped = -1

    let ratesAt t =
        if anytime then
            NestRates.AnytimeAudited(feedback, n, logN, t, settings.AuditRate)
        else
            NestRates.TunedAudited(feedback, n, logN, settings.Horizon, settings.AuditRate)

    // The own losses' bets need stakes below the audit rate; half of it is far above what is best.
    let ownStake stake = min stake (settings.AuditRate / 2.0)

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
          BetIncurred = Array.copy ownBets
          Variation = variation
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

    /// Probability that the policy of the query stops at the last of these stages when it sees these bins on the way. Valid between Begin and
    /// the first stage that is asked; uses the query up.
    member _.StopProbability(bins: int[]) : float =
        for k in 0 .. min bins.Length (n - 1) - 1 do
            advance bins[k]
        if bins.Length = n then remaining else masses[bins.Length - 1]

    override _.Stops(stage, bin, random) =
        if stage <> reached then invalidArg (nameof stage) $"expected stage {reached}: stages are asked in order"
        let before = remaining
        advance bin
        random.NextDouble() * before < masses[stage]

    override this.Observe(outcome, stop) = this.ObserveGraded(outcome, stop, 1.0)

    /// Learns that the query was not graded: the coin of its audit said no. Only where `AuditRate` is below 1.
    member _.ObserveUngraded() : unit =
        if not audited then raise (InvalidOperationException "every query is graded where AuditRate is 1")
        round <- round + 1
        reached <- 0
        remaining <- 1.0

    /// Learns from a query that was graded and had the given probability of that, in [AuditRate, 1], known before the query.
    member _.ObserveGraded(outcome: Outcome, stop: int, probability: float) : unit =
        if not (probability >= settings.AuditRate && probability <= 1.0) then
            raise (ArgumentOutOfRangeException(nameof probability, probability, $"expected {settings.AuditRate} to 1"))
        let first = if feedback = Feedback.Returned then stop else 0
        let last = if feedback = Feedback.Full then n - 1 else stop
        if exact then
            Array.blit outcome.Bins 0 path 0 n
            if hasSide then sideStopped <- Reactive.stopStage (sideStop, path)
            variation <- variation + rates.Eta / 8.0
        else
            // Callers that drew a whole policy did not ask stage by stage.
            while reached <= min last (n - 2) do
                advance outcome.Bins[reached]
            if last = n - 1 then
                masses[n - 1] <- remaining
                if hasSide && sideStopped < 0 then sideStopped <- n - 1
        let mutable reaching = 1.0
        for k in 0..last do
            let graded =
                match feedback with
                | Feedback.Full -> probability
                | Feedback.StagesRun -> probability * max 0.0 reaching
                | _ -> probability * masses[k]
            reaching <- reaching - masses[k]
            if k >= first then
                let loss = Outcome.Loss(outcome, k, settings.Range)
                stepLoss[k] <- loss / (graded + rates.Gamma)
                if not exact then
                    // gamma loss o/(o + gamma) is what the estimate lacks in the mean; over o, since it is only seen when graded.
                    let lacks = rates.Gamma * stepLoss[k] / max 1e-12 graded
                    variation <- variation + masses[k] * (0.5 * rates.Eta * stepLoss[k] * stepLoss[k] + lacks)
                stepGraded[k] <- graded
                stepFactor[k] <- exp (-rates.Eta * stepLoss[k])
        index.Update(losses, (if anytime then [||] else weights), path, first, last, stepLoss, stepFactor)
        if hasSide && first <= sideStopped && sideStopped <= last then
            sideLoss <- sideLoss + stepLoss[sideStopped]
            sideWeight <- sideWeight * stepFactor[sideStopped]
        if not anytime then total <- PolicyIndex.Total weights + sideWeight
        if not exact then placeBets outcome first last
        let own = Outcome.Loss(outcome, stop, settings.Range)
        incurred <- incurred + own / probability
        if audited then
            let stakes = NestRates.Stakes rates.Gamma
            for j in 0 .. stakes.Length - 1 do
                ownBets[j] <- ownBets[j] + NestRates.BetUpwards(ownStake stakes[j], own, probability)
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
    /// is observed. 0 before the first query. With audits the learner's own losses are bet on too, upwards, and take the place of
    /// the incurred loss: the least of three sums, each with its slack; 3(N+2) is then the union.
    override _.CertificateA(delta) =
        if not (delta > 0.0 && delta < 1.0) then
            raise (ArgumentOutOfRangeException(nameof delta, delta, "expected a number strictly between 0 and 1"))
        if round = 0 then
            0.0
        elif exact then
            settings.Range * (incurred - leastLoss ())
        else
            let t, stakes = float round, NestRates.Stakes (ratesAt round).Gamma
            let bets = float comparators + (if audited then 1.0 else 0.0)
            let unions = float stakes.Length * bets * (if anytime then t * (t + 1.0) else 1.0)
            let slack stake = log (unions / delta) / stake
            // No loss exceeds 1, whatever the bets say.
            let ownLoss =
                if audited then
                    Array.fold2 (fun least bet stake -> min least (bet + slack (ownStake stake))) t ownBets stakes
                else
                    incurred
            settings.Range * (ownLoss - leastCertified (Array.map slack stakes))

    /// Theorem 16: B (ln N/eta + the observed variation), whose expectation bounds the expected regret of the queries so far against
    /// any comparator. Where losses are small it is near half of Theorem 4, whose D bounds the same sums by their largest
    /// possible value. 0 before the first query.
    member _.RegretBound: float = if round = 0 then 0.0 else settings.Range * (logN / (ratesAt round).Eta + variation)

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
        if not (settings.AuditRate > 0.0 && settings.AuditRate <= 1.0) then
            raise (ArgumentOutOfRangeException("AuditRate", settings.AuditRate, "expected more than 0, at most 1"))
        let audited = settings.AuditRate < 1.0
        let stakes = if settings.Feedback = Feedback.Full && not audited then 0 else (NestRates.Stakes 1.0).Length
        { Settings = settings
          Round = 0
          Losses = Array.zeroCreate (PolicyClass.Size settings.PolicyClass)
          SideLoss = 0.0
          BetLosses = Array.init stakes (fun _ -> Array.zeroCreate (PolicyClass.Size settings.PolicyClass))
          BetSideLosses = Array.zeroCreate stakes
          Incurred = 0.0
          BetIncurred = Array.zeroCreate (if audited then stakes else 0)
          Variation = 0.0
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

    /// Probability, over the draw of `choose`, that the policy for the next query stops at stage bins.Length - 1 when the stages up to it show
    /// these bins: the propensity of the decision. bins: 1 to n of them.
    [<CompiledName "StopProbability">]
    let stopProbability (state: NestState, bins: int[]) : float =
        if bins.Length < 1 || bins.Length > state.Settings.PolicyClass.Stages then
            raise (ArgumentException($"expected 1 to {state.Settings.PolicyClass.Stages} bins, got {bins.Length}", nameof bins))
        (begun state).StopProbability bins

    /// The state after a graded query whose probability of being graded was `probability`, in [AuditRate, 1] (Theorem 15).
    [<CompiledName "ObserveGraded">]
    let observeGraded (state: NestState, outcome: Outcome, stop: int, probability: float) : NestState =
        if stop < 0 || stop >= state.Settings.PolicyClass.Stages then
            raise (ArgumentOutOfRangeException(nameof stop, stop, $"expected 0 .. {state.Settings.PolicyClass.Stages - 1}"))
        let driver = begun state
        driver.ObserveGraded(outcome, stop, probability)
        driver.State

    /// The state after a query that stopped at `stop`. Reads of the outcome only what the feedback shows.
    [<CompiledName "Observe">]
    let observe (state: NestState, outcome: Outcome, stop: int) : NestState = observeGraded (state, outcome, stop, 1.0)

    /// The state after a query that was not graded (Theorem 15).
    [<CompiledName "ObserveUngraded">]
    let observeUngraded (state: NestState) : NestState =
        let driver = NestRun state
        driver.ObserveUngraded()
        driver.State

    /// Theorem 16's bound of the regret so far, from what was observed; see `NestRun.RegretBound`.
    [<CompiledName "RegretBound">]
    let regretBound (state: NestState) : float = (NestRun state).RegretBound

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
              Seed = 0UL
              AuditRate = 1.0 }

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
              Seed = 0UL
              AuditRate = 1.0 }

    /// Draws the policy for the next query from the weights. O(N).
    [<CompiledName "Choose">]
    let choose (state: NestState, random: SplitMix64) : NestChoice = Nest.choose (state, random)

    /// The state after a query whose stages are all graded and at whose stage `stop` the learner answered.
    [<CompiledName "Observe">]
    let observe (state: NestState, outcome: Outcome, stop: int) : NestState = Nest.observe (state, outcome, stop)
