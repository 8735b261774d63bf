namespace OptimalStopping.Theory

open System
open System.Numerics

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
    let policies = PolicyClass.size policyClass
    let feedback = settings.Feedback
    let hasSide = settings.Side <> SideExpert.None
    let comparators = policies + (if hasSide then 1 else 0)
    let logN = NestRates.logComparators (policies, hasSide)
    let anytime = settings.Horizon = 0
    let losses = Array.copy initial.Losses
    let bets = initial.BetLosses |> Array.map Array.copy
    let sideBets = Array.copy initial.BetSideLosses
    let counts = TabularCounts.copy initial.Counts
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

    let ratesAt t = if anytime then NestRates.anytime (feedback, n, logN, t) else NestRates.tuned (feedback, n, logN, settings.Horizon)

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
        let stakes = NestRates.stakes rates.Gamma
        for j in 0 .. stakes.Length - 1 do
            for k in first..last do
                stepBet[k] <- NestRates.betLoss (stakes[j], Outcome.loss (outcome, k, settings.Range), stepGraded[k])
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
          Counts = TabularCounts.copy counts }

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
                stepLoss[k] <- Outcome.loss (outcome, k, settings.Range) / (graded + rates.Gamma)
                stepGraded[k] <- graded
                stepFactor[k] <- exp (-rates.Eta * stepLoss[k])
        index.Update(losses, (if anytime then [||] else weights), path, first, last, stepLoss, stepFactor)
        if hasSide && first <= sideStopped && sideStopped <= last then
            sideLoss <- sideLoss + stepLoss[sideStopped]
            sideWeight <- sideWeight * stepFactor[sideStopped]
        if not anytime then total <- PolicyIndex.Total weights + sideWeight
        if feedback <> Feedback.Full then placeBets outcome first last
        incurred <- incurred + Outcome.loss (outcome, stop, settings.Range)
        TabularCounts.record (counts, feedback, outcome, stop)
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
            let t, stakes = float round, NestRates.stakes (ratesAt round).Gamma
            let unions = float stakes.Length * float comparators * (if anytime then t * (t + 1.0) else 1.0)
            settings.Range * (incurred - leastCertified (stakes |> Array.map (fun stake -> log (unions / delta) / stake)))
