/// NEST where only some queries are graded (Theorem 15), and the bound that is observed instead of assumed (Theorem 16).
module Theory.Tests.AuditTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close
open Theory.Tests.Problems

let private feedbacks = [| Feedback.Full; Feedback.StagesRun; Feedback.Returned |]

let private audited policyClass feedback horizon rate = { settings policyClass feedback SideExpert.None horizon with AuditRate = rate }

/// Random states of audited learners, each with the probability with which its next query is graded.
let private states (random: Random) count =
    Seq.init count (fun i ->
        let n, m = random.Next(1, 5), random.Next(1, 4)
        let rate = 0.05 + 0.9 * random.NextDouble()
        let side = [| SideExpert.None; SideExpert.Greedy |][i / 3 % 2]
        let start = { audited (policyClass random n m (random.Next(1, 4))) feedbacks[i % 3] (20 * random.Next 2) rate with Side = side }
        let mutable state = Nest.init start
        for _ in 1 .. random.Next 8 do
            if random.NextDouble() < rate then
                let query = outcome random n m
                let stop = Reactive.stopStage ((Nest.choose (state, SplitMix64(uint64 (random.Next())))).Stop, query.Bins)
                state <- Nest.observeGraded (state, query, stop, rate)
            else
                state <- Nest.observeUngraded state
        state, rate + (1.0 - rate) * random.NextDouble())

/// Whether stage k is graded where the learner stops at `stop` and the coin says yes, and o_k from the definition.
let private graded feedback stop k =
    match feedback with
    | Feedback.Full -> true
    | Feedback.StagesRun -> k <= stop
    | _ -> k = stop

let private probabilityOf feedback (w: float[]) (stops: int[]) p k =
    p * Array.fold2 (fun sum w stop -> if graded feedback stop k then sum + w else sum) 0.0 w stops

let private rates (state: NestState) =
    let s = state.Settings
    let logN = NestRates.LogComparators(PolicyClass.Size s.PolicyClass, (s.Side <> SideExpert.None))
    if s.Horizon > 0 then
        NestRates.TunedAudited(s.Feedback, s.PolicyClass.Stages, logN, s.Horizon, s.AuditRate)
    else
        NestRates.AnytimeAudited(s.Feedback, s.PolicyClass.Stages, logN, state.Round + 1, s.AuditRate)

/// The exact mean, over the policy drawn and the coin, of what `measure` makes of the state after the query.
let private mean (state: NestState) (query: Outcome) p (measure: (int * NestState) voption -> float[]) =
    let w, stops = weights state, stopStages state query.Bins
    let scale factor = Array.map ((*) factor)
    let unseen = scale (1.0 - p) (measure ValueNone)
    stops
    |> Array.distinct
    |> Array.fold
        (fun total stop ->
            let mass = Array.fold2 (fun sum w s -> if s = stop then sum + w else sum) 0.0 w stops
            let seen = measure (ValueSome(stop, Nest.observeGraded (state, query, stop, p)))
            Array.map2 (+) total (scale (p * mass) seen))
        unseen

/// One run of an audited learner: T queries, graded with probability `rate`. `pick` makes the query from the weights and the
/// losses of the policies so far. Gives the regret in expectation over the draws (each given the past), the realised regret
/// and the certificate by query, and Theorem 16's bound.
let private run (settings: NestSettings) horizon (random: SplitMix64) (pick: int -> float[] -> float[] -> Outcome) delta =
    let driver = Nest.run (Nest.init settings)
    let index, n = PolicyIndex settings.PolicyClass, settings.PolicyClass.Stages
    let size = PolicyClass.Size settings.PolicyClass
    let truth: float[] = Array.zeroCreate size
    let mutable expected, incurred, covered = 0.0, 0.0, true
    for t in 0 .. horizon - 1 do
        driver.Begin random
        let w = driver.Probabilities
        let query = pick t w truth
        let loss = Array.init n (fun k -> Outcome.Loss(query, k, settings.Range))
        let before = Array.copy truth
        index.Add(truth, query.Bins, loss)
        for i in 0 .. size - 1 do
            expected <- expected + w[i] * (truth[i] - before[i])
        let mutable stop = 0
        while stop < n - 1 && not (driver.Stops(stop, query.Bins[stop], random)) do
            stop <- stop + 1
        incurred <- incurred + loss[stop]
        if settings.AuditRate = 1.0 || random.NextDouble() < settings.AuditRate then
            driver.ObserveGraded(query, stop, settings.AuditRate)
        else
            driver.ObserveUngraded()
        if delta > 0.0 && settings.Range * (incurred - Array.min truth) > driver.CertificateA delta + 1e-9 then covered <- false
    settings.Range * (expected - Array.min truth), settings.Range * (incurred - Array.min truth), covered, driver

[<Tests>]
let tests =
    testList
        "Examples.Audits"
        [ testCase "over draw and coin an estimated loss is loss o/(o + gamma), o with the audit's probability, 300 random states"
          <| fun () ->
              let random = Random 41
              for state, p in states random 300 do
                  let s = state.Settings
                  let query = outcome random s.PolicyClass.Stages s.PolicyClass.Bins
                  let w, stops = weights state, stopStages state query.Bins
                  let before = losses state
                  let grown =
                      mean state query p (function
                          | ValueNone -> Array.map2 (-) (losses (Nest.observeUngraded state)) before
                          | ValueSome(_, after) -> Array.map2 (-) (losses after) before)
                  let expected =
                      stops
                      |> Array.map (fun k ->
                          let o = probabilityOf s.Feedback w stops p k
                          Outcome.Loss(query, k, range) * o / (o + (rates state).Gamma))
                  allWithin 1e-9 grown expected $"{s.Feedback}"

          testCase "over draw and coin every bet is fair: the policies' downwards, the learner's own upwards, 300 random states"
          <| fun () ->
              let random = Random 42
              for state, p in states random 300 do
                  let s = state.Settings
                  let query = outcome random s.PolicyClass.Stages s.PolicyClass.Bins
                  let w, stops = weights state, stopStages state query.Bins
                  let stakes = NestRates.Stakes (rates state).Gamma
                  let hasSide = s.Side <> SideExpert.None
                  let bets (x: NestState) j = if hasSide then Array.append x.BetLosses[j] [| x.BetSideLosses[j] |] else x.BetLosses[j]
                  for j in 0..2 do
                      let factors =
                          mean state query p (function
                              | ValueNone -> stops |> Array.map (fun k -> 1.0 / (1.0 + stakes[j] * Outcome.Loss(query, k, range)))
                              | ValueSome(stop, after) ->
                                  Array.map2 (-) (bets after j) (bets state j)
                                  |> Array.mapi (fun i counted ->
                                      let loss = Outcome.Loss(query, stops[i], range)
                                      if graded s.Feedback stop stops[i] then
                                          exp (stakes[j] * (counted - loss))
                                      else
                                          1.0 / (1.0 + stakes[j] * loss)))
                      allWithin 1e-9 factors (Array.create w.Length 1.0) $"{s.Feedback}, stake {j}"
                      // The own loss is that of the stage drawn; given the stage the coin alone decides.
                      let stake = min stakes[j] (s.AuditRate / 2.0)
                      for stop in Array.distinct stops do
                          let own = Outcome.Loss(query, stop, range)
                          let counted = (Nest.observeGraded (state, query, stop, p)).BetIncurred[j] - state.BetIncurred[j]
                          within 1e-9 (p * exp (stake * (own - counted)) + (1.0 - p) * exp (stake * own)) 1.0 "own"

          testCase "a probability of 1 is NEST without audits; an ungraded query leaves all but the count of queries"
          <| fun () ->
              let random = Random 43
              for feedback in feedbacks do
                  let start = Nest.init (audited (policyClass random 3 3 3) feedback 40 0.3)
                  let query = outcome random 3 3
                  Expect.equal (Nest.observeUngraded start) { start with Round = 1 } "ungraded"
                  let plain = Nest.init { start.Settings with AuditRate = 1.0 }
                  Expect.equal plain.BetIncurred [||] "no own bets"
                  Expect.throws (fun () -> Nest.observeUngraded plain |> ignore) "nothing goes ungraded at rate 1"
                  rejects (fun () -> Nest.observeGraded (start, query, 1, 0.29) |> ignore) "below the rate"
                  rejects (fun () -> Nest.observeGraded (start, query, 1, 1.01) |> ignore) "above 1"
                  for bad in [ 0.0; -0.1; 1.1; nan ] do
                      rejects (fun () -> Nest.init { start.Settings with AuditRate = bad } |> ignore) $"rate {bad}"
                  let rates = NestRates.TunedAudited(feedback, 3, 2.0, 100, 1.0)
                  Expect.equal rates (NestRates.Tuned(feedback, 3, 2.0, 100)) "tuned at 1"
                  Expect.equal (NestRates.AnytimeAudited(feedback, 3, 2.0, 9, 1.0)) (NestRates.Anytime(feedback, 3, 2.0, 9)) "anytime at 1"

          testCase "certificate A with audits by its formula"
          <| fun () ->
              let random = Random 44
              for state, _ in states random 100 do
                  if state.Round > 0 then
                      let s = state.Settings
                      let t, delta = float state.Round, 0.1
                      let rates = if s.Horizon > 0 then rates state else rates { state with Round = state.Round - 1 }
                      let stakes = NestRates.Stakes rates.Gamma
                      let bets = losses { state with Losses = state.BetLosses[0]; SideLoss = state.BetSideLosses[0] }
                      let union = 3.0 * float (bets.Length + 1) * (if s.Horizon = 0 then t * (t + 1.0) else 1.0)
                      let own =
                          Array.map2
                              (fun (bet: float) stake -> let a = min stake (s.AuditRate / 2.0) in bet + log (union / delta) / a)
                              state.BetIncurred
                              stakes
                      let floor i =
                          Seq.max (
                              seq {
                                  for j in 0..2 ->
                                      (losses { state with Losses = state.BetLosses[j]; SideLoss = state.BetSideLosses[j] })[i]
                                      - log (union / delta) / stakes[j]
                              }
                          )
                      let least = Seq.min (Seq.init bets.Length floor)
                      within 1e-9 (Nest.certificateA (state, delta)) (s.Range * (min t (Array.min own) - least)) "formula"

          testCase "certificate A covers 2,000 audited runs against an adaptive adversary, at every query (one-sided test)"
          <| fun () ->
              let n, m, horizon, delta, runs = 3, 2, 120, 0.1, 2000
              let thresholds = PolicyClass.Thresholds(n, m)
              let index = PolicyIndex thresholds
              let missed = Array.zeroCreate 3
              for i in 0 .. runs - 1 do
                  let random = Random i
                  let feedback = feedbacks[i % 3]
                  let settings = audited thresholds feedback (if i % 2 = 0 then horizon else 0) ([| 0.05; 0.2; 0.6 |][i / 3 % 3])
                  // Of three queries the one on which the learner's mix loses most against the leader.
                  let worst _ (w: float[]) (truth: float[]) =
                      let leader = truth |> Array.indexed |> Array.minBy snd |> fst
                      let harm (o: Outcome) =
                          let step: float[] = Array.zeroCreate truth.Length
                          index.Add(step, o.Bins, Array.init n (fun k -> Outcome.Loss(o, k, range)))
                          PolicyIndex.Dot(w[.. truth.Length - 1], step) - step[leader]
                      Seq.init 3 (fun _ -> { outcome random n m with Qualities = Array.init n (fun _ -> float (random.Next 2)) })
                      |> Seq.maxBy harm
                  let _, _, covered, _ = run settings horizon (SplitMix64(uint64 i)) worst delta
                  if not covered then missed[i % 3] <- missed[i % 3] + 1
              let all = Array.sum missed
              Expect.isLessThanOrEqual (float all) (float runs * delta + 3.0 * sqrt (float runs * delta * (1.0 - delta))) $"missed {missed}"

          testCase "2,000 audited runs on hard instances: mean regret within Theorem 15 and within Theorem 16's mean (one-sided test)"
          <| fun () ->
              let n, m, horizon, runs = 3, 2, 200, 2000
              let thresholds = PolicyClass.Thresholds(n, m)
              let logN = log (float (PolicyClass.Size thresholds))
              for feedback in feedbacks do
                  for rate in [ 0.05; 0.2; 1.0 ] do
                      let mutable total, squares, observed = 0.0, 0.0, 0.0
                      for i in 1 .. runs / 9 do
                          // A fixed sequence, chosen before the run: one stage is good in each half, and it changes.
                          let draws = Random(i % 7)
                          let queries =
                              Array.init horizon (fun t ->
                                  let good = if t < horizon / 2 then i % n else (i + 1) % n
                                  { outcome draws n m with
                                      Qualities =
                                          Array.init n (fun k ->
                                              if draws.NextDouble() < (if k = good then 0.75 else 0.35) then 1.0 else 0.0) })
                          let expected, _, _, driver =
                              run (audited thresholds feedback horizon rate) horizon (SplitMix64(uint64 i)) (fun t _ _ -> queries[t]) 0.0
                          total <- total + expected
                          squares <- squares + expected * expected
                          observed <- observed + driver.RegretBound
                      let count = float (runs / 9)
                      let regret = total / count
                      let error = sqrt (max 0.0 (squares / count - regret * regret) / count)
                      let bound = (Regret.nestAudited (feedback, n, logN, horizon, range, rate)).Value
                      Expect.isLessThan (regret - 3.0 * error) bound $"{feedback}, {rate}: Theorem 15"
                      Expect.isLessThan (regret - 3.0 * error) (observed / count) $"{feedback}, {rate}: Theorem 16"
                      if feedback <> Feedback.Full || rate < 1.0 then
                          let whole = range * 2.0 * sqrt (NestRates.Depth(feedback, n, float horizon) * float horizon * logN / rate)
                          Expect.isLessThan (observed / count) (0.95 * whole) $"{feedback}, {rate}: observed below assumed"

          testCase "Theorem 16's bound by its formula: over draw and coin the observed terms have the means that the theorem needs"
          <| fun () ->
              let random = Random 45
              for state, p in states random 200 do
                  let s = state.Settings
                  let query = outcome random s.PolicyClass.Stages s.PolicyClass.Bins
                  let w, stops = weights state, stopStages state query.Bins
                  let r = rates state
                  let grown =
                      mean state query p (function
                          | ValueNone -> [| (Nest.observeUngraded state).Variation - state.Variation |]
                          | ValueSome(_, after) -> [| after.Variation - state.Variation |])
                  let expected =
                      Array.fold2
                          (fun sum weight k ->
                              let o, loss = probabilityOf s.Feedback w stops p k, Outcome.Loss(query, k, range)
                              let square, lacks = loss * loss * o / ((o + r.Gamma) * (o + r.Gamma)), loss * r.Gamma / (o + r.Gamma)
                              sum + weight * (0.5 * r.Eta * square + lacks))
                          0.0
                          w
                          stops
                  within 1e-9 grown[0] expected $"{s.Feedback}"
                  if s.Horizon > 0 && state.Round > 0 then
                      let logN = NestRates.LogComparators(PolicyClass.Size s.PolicyClass, (s.Side <> SideExpert.None))
                      within 1e-9 (Nest.regretBound state) (range * (logN / r.Eta + state.Variation)) "formula"

          testCase "Theorem 15's bounds: by hand, by the number of audits alone, above the lower bound"
          <| fun () ->
              let at horizon rate = (Regret.nestAudited (Feedback.Returned, 4, log 216.0, horizon, 1.3, rate)).Value
              within 1e-9 (at 100_000 0.05) (2.6 * sqrt (4.0 * 100_000.0 * log 216.0 / 0.05)) "by hand"
              within 1e-12 (at 100_000 0.2 / 100_000.0) (at 1_000_000 0.02 / 1_000_000.0) "per query, 20,000 audits each"
              let full = (Regret.nestAudited (Feedback.Full, 4, log 216.0, 100_000, 1.3, 0.25)).Value
              within 1e-9 full (2.6 * 2.0 * sqrt (100_000.0 * log 216.0)) "all stages of audited queries"
              Expect.equal (at 100_000 1.0) (Regret.nest (Feedback.Returned, 4, log 216.0, 100_000, 1.3)).Value "rate 1"
              Expect.equal (Regret.lowerBoundAudited (4, 1000, 1.0)) (Regret.lowerBound (4, 1000)) "lower bound at rate 1"
              within 1e-12 (Regret.lowerBoundAudited (4, 30_000, 0.01)) (sqrt (3.0 * 30_000.0 / 0.01) / 64.0) "lower bound"
              Expect.equal (Regret.lowerBoundAudited (4, 200, 0.01)) 0.0 "fewer audits than stages"
              for rate in [ 0.01; 0.1; 1.0 ] do
                  for t in [ 1; 300; 1_000_000 ] do
                      let upper = (Regret.nestAudited (Feedback.StagesRun, 4, log 125.0, t, 1.0, rate)).Value
                      Expect.isLessThanOrEqual (Regret.lowerBoundAudited (4, t, rate)) upper $"{rate}, {t}"
              rejects (fun () -> Regret.nestAudited (Feedback.Full, 2, 1.0, 10, 1.0, 0.0) |> ignore) "no audits"
              rejects (fun () -> Regret.lowerBoundAudited (2, 10, 1.1) |> ignore) "rate above 1"

          testCase "regret by share of queries graded: the structured instance, n = 4, m = 5, T = 10,000"
          <| fun () ->
              let environment = ChainMixture(Instances.structured (4, 5, 7UL)) :> IEnvironment
              let thresholds = PolicyClass.Thresholds(4, 5)
              let values, horizon = environment.ClassValues thresholds, 10_000
              let regret rate =
                  [ for seed in 1..4 do
                        let settings =
                            { PolicyClass = thresholds
                              Feedback = Feedback.StagesRun
                              Side = SideExpert.None
                              Horizon = horizon
                              Range = environment.Range
                              ContinueCosts = environment.ContinueCosts
                              Seed = 1UL
                              AuditRate = rate }
                        let driver = Nest.run (Nest.init settings)
                        let random, outcome = SplitMix64(uint64 seed), Outcome.Empty 4
                        let mutable total = 0.0
                        for _ in 1..horizon do
                            driver.Begin random
                            total <- total + Array.max values - driver.ExpectedValue(Func<_, _> environment.Value, values)
                            environment.Draw(random, outcome)
                            let mutable stop = 0
                            while stop < 3 && not (driver.Stops(stop, outcome.Bins[stop], random)) do
                                stop <- stop + 1
                            if random.NextDouble() < rate then driver.ObserveGraded(outcome, stop, rate)
                            elif rate < 1.0 then driver.ObserveUngraded()
                        total, driver.RegretBound ]
                  |> fun runs -> List.averageBy fst runs, List.averageBy snd runs
              let shares = [ 0.01; 0.05; 0.2; 1.0 ]
              let measured, observed = shares |> List.map regret |> List.unzip
              let bounds =
                  shares
                  |> List.map (fun rate ->
                      (Regret.nestAudited (Feedback.StagesRun, 4, log (float values.Length), horizon, environment.Range, rate)).Value)
              let shown =
                  List.zip shares (List.zip3 measured bounds observed)
                  |> List.map (fun (s, (m, b, o)) -> $"%g{100.0 * s}%%: %.0f{m} (Theorem 15 %.0f{b}, Theorem 16 %.0f{o})")
              printfn "Regret of 10,000 queries by share graded: %s" (String.Join(", ", shown))
              List.iter2 (fun m b -> Expect.isLessThan m b "within the bound") measured bounds
              List.iter2 (fun m o -> Expect.isLessThan m o "within the observed bound") measured observed
              Expect.isLessThan observed[3] (0.7 * bounds[3]) "what is observed is far below what is assumed"
              Expect.isGreaterThan measured[0] measured[3] "grades help"
              Expect.isLessThan measured[2] (2.0 * measured[3]) "a fifth of the grades costs less than twice the regret" ]
