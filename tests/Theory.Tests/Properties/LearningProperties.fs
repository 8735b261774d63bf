/// Properties of the learners and of their bounds: theory-proofs.md 15 to 27, theory.md section 8. Where a statement holds with
/// probability 1 - delta, delta is so small that a single miss in a test run is a fault.
module Theory.Tests.LearningProperties

open System
open System.Text.Json
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close
open Theory.Tests.Cases
open Theory.Tests.Problems

let private feedbacks = [| Feedback.Full; Feedback.StagesRun; Feedback.Returned |]
let private sides = [| SideExpert.None; SideExpert.PosteriorSampling; SideExpert.Greedy |]
let private sure = 1e-9

let private state seed =
    let random = Random seed
    let n, m = random.Next(1, 5), random.Next(1, 4)
    let policyClass = Problems.policyClass random n m (random.Next(1, 4))
    random, NestTests.warm random policyClass feedbacks[random.Next 3] sides[random.Next 3] (random.Next(0, 2) * 20) (random.Next 8)

let private logN (s: NestSettings) = NestRates.LogComparators(PolicyClass.Size s.PolicyClass, (s.Side <> SideExpert.None))

/// Plays NEST on a chain and hands over the driver, the realised regret (against the best of policy class and side expert) and the
/// expected regret to the policy class after every query.
let private play (model: ChainModel) (settings: NestSettings) horizon seed (visit: NestRun -> float -> float -> int -> unit) =
    let environment = ChainMixture model :> IEnvironment
    let policyClass = settings.PolicyClass
    let driver = Nest.run (Nest.init settings)
    let queries, choices = SplitMix64(uint64 seed), SplitMix64(uint64 seed + 1UL)
    let index, hindsight, values =
        PolicyIndex policyClass, Array.zeroCreate (PolicyClass.Size policyClass), environment.ClassValues policyClass
    let n = environment.Stages
    let outcome = Outcome.Empty n
    let rewards = Array.zeroCreate n
    let mutable side, earned, expected = 0.0, 0.0, 0.0
    for t in 1..horizon do
        driver.Begin choices
        expected <- expected + driver.ExpectedValue(Func<_, _> environment.Value, values)
        environment.Draw(queries, outcome)
        let mutable stop = 0
        while stop < n - 1 && not (driver.Stops(stop, outcome.Bins[stop], choices)) do
            stop <- stop + 1
        for k in 0 .. n - 1 do
            rewards[k] <- Outcome.Reward(outcome, k)
        index.Add(hindsight, outcome.Bins, rewards)
        let best =
            if driver.SidePolicy.Length = 0 then
                Array.max hindsight
            else
                side <- side + rewards[Reactive.stopStage (driver.SidePolicy, outcome.Bins)]
                max side (Array.max hindsight)
        earned <- earned + rewards[stop]
        driver.Observe(outcome, stop)
        visit driver (best - earned) (float t * Array.max values - expected) t

let private settingsFor (model: ChainModel) feedback side horizon =
    { PolicyClass = PolicyClass.Thresholds(model.Means.Length, model.Initial.Length)
      Feedback = feedback
      Side = side
      Horizon = horizon
      Range = Chain.range model
      ContinueCosts = model.ContinueCosts
      Seed = 3UL
      AuditRate = 1.0 }

[<Tests>]
let tests =
    testList
        "Properties.Learning"
        [ property 500 "P15 chain lemma: sum W_k/(W_>=k + gamma) <= min(n, ln(1 + 1/gamma))"
          <| fun (Distributions(w, _)) (Unit g) ->
              let n, gamma = float w.Length, 1e-5 + g
              let reaching = Array.scanBack (+) w 0.0
              atMost
                  1e-9
                  (Seq.sum (seq { for k in 0 .. w.Length - 1 -> w[k] / (reaching[k] + gamma) }))
                  (min n (log (1.0 + 1.0 / gamma)))
                  "chain"
              atMost 1e-9 (w |> Array.sumBy (fun x -> x / (x + gamma))) n "returned"

          property 200 "P16 weights sum to 1 and ignore a constant added to every loss"
          <| fun (Seed seed) ->
              let _, state = state seed
              within 1e-12 (Array.sum (Nest.weights state)) 1.0 "sum"
              let shifted = { state with Losses = state.Losses |> Array.map (fun x -> x + 777.0); SideLoss = state.SideLoss + 777.0 }
              allWithin 1e-9 (Nest.weights shifted) (Nest.weights state) "shifted"

          property 100 "P16b a duplicated policy's weight splits, the side expert's stays"
          <| fun (Seed seed) ->
              let random = Random seed
              let rule () = Array.init 3 (fun _ -> random.Next 2 = 0)
              let a, b = rule (), rule ()
              let weights (rules: bool[][]) =
                  Nest.weights (NestTests.warm (Random seed) (PolicyClass.Create(2, 3, rules)) Feedback.StagesRun SideExpert.Greedy 20 0)
              allWithin 1e-12 (weights [| a; b; b |]) [| 1.0 / 6.0; 1.0 / 6.0; 1.0 / 6.0; 0.5 |] "prior"
              let twins =
                  Nest.weights (
                      NestTests.warm (Random seed) (PolicyClass.Create(2, 3, [| a; b; b |])) Feedback.StagesRun SideExpert.Greedy 20 9
                  )
              Expect.equal twins[1] twins[2] "twins"

          property 150 "P17 over the policy drawn, an estimated loss has mean loss o/(o + gamma)"
          <| fun (Seed seed) ->
              let random, state = state seed
              let feedback, n = state.Settings.Feedback, state.Settings.PolicyClass.Stages
              let query = outcome random n state.Settings.PolicyClass.Bins
              let w, stops = weights state, stopStages state query.Bins
              let mean = Array.zeroCreate w.Length
              for stop in Array.distinct stops do
                  let probability = NestTests.gradedProbability Feedback.Returned w stops stop
                  Array.iteri2
                      (fun i a b -> mean[i] <- mean[i] + probability * (a - b))
                      (losses (Nest.observe (state, query, stop)))
                      (losses state)
              let expected =
                  stops
                  |> Array.map (fun k ->
                      let o = NestTests.gradedProbability feedback w stops k
                      Outcome.Loss(query, k, range) * o / (o + (NestTests.rates state).Gamma))
              allWithin 1e-9 mean expected $"{feedback}"

          property 150 "P18 an update touches exactly the policies that feedback lets it, whatever the unseen future"
          <| fun (Seed seed) ->
              let random, state = state seed
              let n, m = state.Settings.PolicyClass.Stages, state.Settings.PolicyClass.Bins
              let query, other = outcome random n m, outcome random n m
              let stops = stopStages state query.Bins
              let stop = stops[random.Next stops.Length]
              let next = Nest.observe (state, query, stop)
              Array.iteri2
                  (fun i before after ->
                      let graded =
                          match state.Settings.Feedback with
                          | Feedback.Full -> true
                          | Feedback.StagesRun -> stops[i] <= stop
                          | _ -> stops[i] = stop
                      Expect.equal (after > before) graded $"policy {i}")
                  (losses state)
                  (losses next)
              if state.Settings.Feedback <> Feedback.Full then
                  let splice (a: 'a[]) (b: 'a[]) = Array.append a[..stop] b[stop + 1 ..]
                  let altered =
                      { Bins = splice query.Bins other.Bins
                        Qualities = splice query.Qualities other.Qualities
                        Costs = splice query.Costs other.Costs }
                  Expect.equal (Nest.observe (state, altered, stop)) next "unseen"

          property 60 "P19 Hedge: regret <= B sqrt(T ln N / 2) on every sequence"
          <| fun (Seed seed) ->
              let random = Random seed
              let n, m, horizon = random.Next(2, 4), random.Next(1, 4), 60
              let policyClass = PolicyClass.Thresholds(n, m)
              let mutable state, incurred = Hedge.init (policyClass, horizon, range), 0.0
              // The adversary knows the weights: of a few sharp outcomes it takes the one that hurts the mixture most against the leader.
              for _ in 1..horizon do
                  let candidates =
                      Array.init 6 (fun _ ->
                          let good = random.Next n
                          { outcome random n m with Qualities = Array.init n (fun k -> if k = good then 1.0 else 0.0) })
                  let loss (o: Outcome) =
                      Array.fold2 (fun sum w k -> sum + w * Outcome.Loss(o, k, range)) 0.0 (weights state) (stopStages state o.Bins)
                  let leader = losses state |> Array.indexed |> Array.minBy snd |> fst
                  let worst = candidates |> Array.maxBy (fun o -> loss o - Outcome.Loss(o, (stopStages state o.Bins)[leader], range))
                  incurred <- incurred + loss worst
                  state <- Hedge.observe (state, worst, n - 1)
              let bound = Regret.nest (Feedback.Full, n, log (float (PolicyClass.Size policyClass)), horizon, range)
              atMost 1e-9 (range * (incurred - Array.min (losses state))) bound.Value "regret"

          property 60 "P19b anytime Hedge: its bound at every t, T unknown"
          <| fun (Seed seed) ->
              let random = Random seed
              let n, m = 3, 2
              let mutable state, incurred = Hedge.init (PolicyClass.Thresholds(n, m), 0, range), 0.0
              for t in 1..40 do
                  let good = if random.Next 2 = 0 then t % n else random.Next n
                  let o = { outcome random n m with Qualities = Array.init n (fun k -> if k = good then 1.0 else 0.0) }
                  incurred <-
                      incurred
                      + Array.fold2 (fun sum w k -> sum + w * Outcome.Loss(o, k, range)) 0.0 (weights state) (stopStages state o.Bins)
                  state <- Hedge.observe (state, o, n - 1)
                  let bound = 3.0 / (2.0 * sqrt 2.0) * range * sqrt (float t * log 9.0)
                  within
                      1e-9
                      (Regret.nestAnytime (Feedback.Full, n, log 9.0, 1_000_000, range)).Value
                      (bound * sqrt (1e6 / float t))
                      "formula"
                  atMost 1e-9 (range * (incurred - Array.min (losses state))) bound $"t = {t}"

          property 60 "P20 the exponential-weights inequality on every run"
          <| fun (Seed seed) ->
              let random = Random seed
              let policyClass = Problems.policyClass random (random.Next(2, 5)) (random.Next(1, 4)) 3
              let start = Nest.init (settings policyClass feedbacks[random.Next 3] sides[random.Next 3] 30)
              let mutable mixed, squared = 0.0, 0.0
              let final =
                  Problems.play
                      start
                      30
                      (fun _ -> outcome random policyClass.Stages policyClass.Bins)
                      (SplitMix64(uint64 seed))
                      (fun state _ _ next ->
                          Array.iteri2
                              (fun i before after ->
                                  let x, w = after - before, (weights state).[i]
                                  mixed <- mixed + w * x
                                  squared <- squared + w * x * x)
                              (losses state)
                              (losses next))
              let eta = (NestTests.rates final).Eta
              atMost 1e-9 (mixed - Array.min (losses final)) (logN start.Settings / eta + eta / 2.0 * squared) "inequality"

          property 200 "P21 Theorem 5's bound is the sum of its terms, and is cut at B T only"
          <| fun (Seed seed) ->
              let random = Random seed
              let n, policies, side = random.Next(1, 9), float (random.Next(1, 2000)), random.Next 2 = 0
              let t, range, delta = random.Next(1, 10_000_000), 1.0 + 0.25 * float (random.Next 8), random.NextDouble()
              let logN = log policies + (if side then log 2.0 else 0.0)
              for feedback in feedbacks do
                  let found = Regret.nestHighProbability (feedback, n, policies, side, t, range, delta)
                  let deviation = sqrt (float t * log (1.0 / delta) / 2.0)
                  let bound =
                      if feedback = Feedback.Full then
                          sqrt (float t * logN / 2.0) + deviation
                      else
                          let d = if feedback = Feedback.StagesRun && t >= 20 then min (float n) (log (1.0 + float t)) else float n
                          let eta = sqrt (max logN (log 2.0) / (d * float t))
                          (logN + log ((policies + 1.0) / delta)) / eta
                          + 1.36 * eta * d * float t
                          + d * log (1.0 / delta)
                          + (1.0 + d) * deviation
                  within (1e-9 * (1.0 + bound * range)) found.Value (range * min bound (float t)) $"{feedback}"
                  Expect.equal found.Vacuous (bound >= float t) "vacuous"
                  // Before the horizon, of a run tuned for it: D is that of the horizon, not of the query.
                  let now = 1 + random.Next t
                  let at = Regret.nestAt (feedback, n, logN, t, now, range)
                  let eta = (NestRates.Tuned(feedback, n, logN, t)).Eta
                  let perQuery = if feedback = Feedback.Full then 0.125 else NestRates.Depth(feedback, n, float t)
                  let early = logN / eta + eta * perQuery * float now
                  within (1e-9 * (1.0 + range * early)) at.Value (range * min early (float now)) $"{feedback}, before the horizon"

          property 25 "P21b mean regret over seeds within Theorem 4"
          <| fun (Chain model) (Seed seed) ->
              if model.Means.Length > 1 then
                  let feedback, horizon, runs = feedbacks[seed % 3], 200, 8
                  let settings = settingsFor model feedback SideExpert.None horizon
                  let mutable total = 0.0
                  for run in 1..runs do
                      play model settings horizon (seed / 2 + run) (fun _ _ expected t -> if t = horizon then total <- total + expected)
                  let bound = Regret.nest (feedback, model.Means.Length, logN settings, horizon, settings.Range)
                  atMost 1e-9 (total / float runs) bound.Value "Theorem 4"

          property 100 "P22 Certificate A is its formula at every t, S and B, tuned and anytime; a lower delta costs more"
          <| fun (Chain model) (Seed seed) ->
              if model.Means.Length > 1 then
                  let settings = settingsFor model feedbacks[1 + seed % 2] sides[seed / 2 % 3] (if seed / 6 % 2 = 0 then 60 else 0)
                  play model settings 40 seed (fun driver _ _ t ->
                      if t % 8 = 0 then
                          let state, delta = driver.State, 0.07
                          let gamma = (NestTests.rates (if settings.Horizon = 0 then { state with Round = t - 1 } else state)).Gamma
                          let stakes = [| 2.0; 8.0; 32.0 |] |> Array.map ((*) gamma)
                          let count = (NestTests.betLosses state 0).Length
                          let union = 3.0 * float count * (if settings.Horizon = 0 then float t * float (t + 1) else 1.0)
                          let known i =
                              Seq.max (seq { for j in 0..2 -> (NestTests.betLosses state j)[i] - log (union / delta) / stakes[j] })
                          let formula = settings.Range * (state.Incurred - Seq.min (Seq.init count known))
                          within (1e-9 * (1.0 + abs formula)) (driver.CertificateA delta) formula $"t = {t}"
                          Expect.isGreaterThan (driver.CertificateA(delta / 2.0)) formula "delta")

          property 150 "P22b a bet's capital is a martingale: over the policy drawn, its mean factor is 1"
          <| fun (Seed seed) ->
              let random, state = state seed
              let feedback, n = state.Settings.Feedback, state.Settings.PolicyClass.Stages
              if feedback <> Feedback.Full then
                  let query = outcome random n state.Settings.PolicyClass.Bins
                  let w, stops = weights state, stopStages state query.Bins
                  for j in 0..2 do
                      let stake = (NestRates.Stakes (NestTests.rates state).Gamma)[j]
                      let mean = Array.zeroCreate w.Length
                      for stop in Array.distinct stops do
                          let probability = NestTests.gradedProbability Feedback.Returned w stops stop
                          let before, after = NestTests.betLosses state j, NestTests.betLosses (Nest.observe (state, query, stop)) j
                          stops
                          |> Array.iteri (fun i k ->
                              let loss = Outcome.Loss(query, k, range)
                              let factor =
                                  if NestTests.isGraded feedback stop k then
                                      exp (stake * (after[i] - before[i] - loss))
                                  else
                                      1.0 / (1.0 + stake * loss)
                              mean[i] <- mean[i] + probability * factor)
                      allWithin 1e-9 mean (Array.create w.Length 1.0) $"{feedback}, stake {j}"

          property 500 "P22c a bet counts between implicit exploration and loss/o, exactly where o = 1, less for more stake or o"
          <| fun (Unit loss) (Unit o) (Unit a) ->
              let graded, stake = 1e-6 + (1.0 - 1e-6) * o, 1e-4 + 4.0 * a
              let counted = NestRates.BetLoss(stake, loss, graded)
              atMost (1e-9 * counted) (loss / (graded + stake / 2.0)) counted "implicit exploration with gamma = a/2"
              atMost (1e-9 * counted) counted (loss / graded) "unbiased estimate"
              within 1e-12 (NestRates.BetLoss(stake, loss, 1.0)) loss "sure to be graded"
              atMost (1e-9 * counted) (NestRates.BetLoss(1.5 * stake, loss, graded)) counted "stake"
              atMost (1e-9 * counted) (NestRates.BetLoss(stake, loss, min 1.0 (1.5 * graded))) counted "graded"
              let mean = graded * counted
              atMost 1e-9 mean loss "in the mean no more than the loss"
              atMost 1e-9 (loss - mean) (stake / 2.0 * loss * loss * (1.0 / graded - graded)) "and no less than the shortfall of section 6"

          property 300 "P23 klUCB lies between its mean and Hoeffding's bound, and solves kl = e"
          <| fun (Unit p) (Unit x) ->
              let e = 3.0 * x
              let upper = ConfidenceBounds.klUpper (p, e)
              Expect.isTrue (upper >= p && upper <= 1.0) "in [p, 1]"
              atMost 1e-12 upper (p + sqrt (e / 2.0)) "Pinsker"
              // kl(p, .) is steep at 1, so the solution is checked, not the equation.
              if upper - 1e-9 > p then atMost 0.0 (Probability.kl p (upper - 1e-9)) e "no larger than need be"
              if upper + 1e-9 < 1.0 then atMost 0.0 e (Probability.kl p (upper + 1e-9)) "no smaller"

          property 300 "P23b klUCB is monotone in p and in e"
          <| fun (Unit p) (Unit q) (Unit d) (Unit e) ->
              atMost 1e-11 (ConfidenceBounds.klUpper (min p q, d)) (ConfidenceBounds.klUpper (max p q, d)) "in p"
              atMost 1e-11 (ConfidenceBounds.klUpper (p, min d e)) (ConfidenceBounds.klUpper (p, max d e)) "in e"

          property 500 "P24 f -> mean f + psi(var f) is nondecreasing"
          <| fun (Distributions(p, _)) (Seed seed) ->
              let random = Random seed
              let f = p |> Array.map (fun _ -> random.NextDouble())
              let g = f |> Array.map (fun x -> x + (1.0 - x) * random.NextDouble() * float (random.Next 2))
              let samples, iota = 2.0 + float (random.Next 500), 0.1 + 5.0 * random.NextDouble()
              let bound (f: float[]) =
                  let mean = Array.map2 (*) p f |> Array.sum
                  mean + ConfidenceBounds.psi (Array.map2 (fun p x -> p * (x - mean) * (x - mean)) p f |> Array.sum, samples, iota)
              atMost 1e-12 (bound f) (bound g) "monotone"

          property 60 "P24b the incremental optimistic plan equals a fresh one after every query, bit for bit"
          <| fun (Chain model) (Seed seed) ->
              let environment = ChainMixture model :> IEnvironment
              let feedback = feedbacks[seed % 3]
              let driver =
                  TabularLearner.run (
                      TabularLearner.init (TabularRule.OptStop, feedback, environment.Bins, environment.ContinueCosts, 50 * (seed / 3 % 2))
                  )
              let queries, outcome = SplitMix64(uint64 seed), Outcome.Empty environment.Stages
              for t in 1..40 do
                  driver.Begin(SplitMix64 1UL)
                  let state = driver.State
                  let fresh = OptStop.optimisticPlan (state.Counts, environment.ContinueCosts, { Horizon = state.Horizon; Delta = 0.05 })
                  let stop = Array.map2 (Array.map2 (>=)) fresh.Means[.. environment.Stages - 2] fresh.Q
                  Expect.equal driver.Policy stop $"t = {t}"
                  Array.iter2
                      (Array.iter2 (fun w x -> Expect.equal w x "W = max"))
                      fresh.W[.. environment.Stages - 2]
                      (Array.map2 (Array.map2 max) fresh.Means[.. environment.Stages - 2] fresh.Q)
                  environment.Draw(queries, outcome)
                  driver.Observe(outcome, Reactive.stopStage (driver.Policy, outcome.Bins))

          property 100 "P25 Certificate B is its formula, from an optimistic plan made bound by bound"
          <| fun (Chain model) (Seed seed) ->
              let random = Random seed
              let n, m, delta = model.Means.Length, model.Initial.Length, 0.01 + 0.3 * random.NextDouble()
              let counts = OptimisticPlanTests.someCounts random model feedbacks[seed % 3] (1 + random.Next 60)
              let bound (values: float[]) (weights: float[]) cost =
                  let samples = Array.sum weights
                  if samples = 0.0 then
                      1.0 - cost
                  else
                      let mean = (Array.fold2 (fun sum w x -> sum + w * x) 0.0 weights values) / samples
                      let square = (Array.fold2 (fun sum w x -> sum + w * x * x) 0.0 weights values) / samples
                      let iota = log (6.0 * float n * float m * samples * (samples + 1.0) / delta)
                      ConfidenceBounds.optimisticMean (mean, square - mean * mean, samples, iota) - cost
              let mean k s =
                  let samples = counts.Grades[k].[s]
                  if samples = 0.0 then
                      1.0
                  else
                      let average = counts.Sums[k].[s] / samples
                      let iota = log (6.0 * float n * float m * samples * (samples + 1.0) / delta)
                      ConfidenceBounds.optimisticMean (average, counts.Squares[k].[s] / samples - average * average, samples, iota)
              let mutable w = Array.init m (mean (n - 1))
              for k in n - 2 .. -1 .. 0 do
                  let later = w
                  w <- Array.init m (fun s -> max (mean k s) (bound later counts.Transitions[k].[s] model.ContinueCosts[k]))
              let t, rewards, range = Array.sum counts.First, 10.0 * random.NextDouble(), Chain.range model
              let formula =
                  (Array.fold2 (fun sum c x -> sum + c * x) 0.0 counts.First w) - rewards
                  + range * sqrt (t / 2.0 * log (t * (t + 1.0) / delta))
              within 1e-9 (OptStop.certificateB (counts, model.ContinueCosts, rewards, range, delta)) formula "formula"

          property 200 "P26 bounds rise with T, n and m, and per query they fall"
          <| fun (Seed seed) ->
              let random = Random seed
              let n, m, t = random.Next(2, 8), random.Next(2, 12), random.Next(100, 1_000_000)
              let logClassSize n m = SampleComplexity.logThresholdPolicies (n, m) + log 2.0
              let bounds: (int -> int -> int -> RegretBound) list =
                  [ for f in feedbacks do
                        fun n m t -> Regret.nest (f, n, logClassSize n m, t, 1.3)
                        fun n m t -> Regret.nestAnytime (f, n, logClassSize n m, t, 1.3)
                        fun n m t -> Regret.nestHighProbability (f, n, exp (logClassSize n m), true, t, 1.3, 0.05)
                    fun n m t -> Regret.optStop (n, m, t, 1.3)
                    fun n _ t -> Regret.ucb1 (n, t, 1.3) ]
              for bound in bounds do
                  let value n m t = (bound n m t).Value
                  atMost 1e-9 (value n m t) (value n m (2 * t)) "T"
                  atMost 1e-9 (value n m t) (value (n + 1) m t) "n"
                  atMost 1e-9 (value n m t) (value n (m + 1) t) "m"
                  atMost 1e-9 (value n m (2 * t) / 2.0) (value n m t) "per query"
                  Expect.equal (bound n m t).Vacuous (value n m t >= 1.3 * float t) "vacuous"

          property 200 "P26b four times the queries double the bound where D = n"
          <| fun (Seed seed) ->
              let random = Random seed
              let t, logN = random.Next(2000, 1_000_000), 1.0 + 9.0 * random.NextDouble()
              for feedback in feedbacks do
                  let at t = (Regret.nest (feedback, 4, logN, t, 1.3)).Value
                  within 1e-6 (at (4 * t)) (2.0 * at t) $"{feedback}"

          property 200 "P27 lower bounds lie below upper bounds"
          <| fun (Seed seed) ->
              let random = Random seed
              let n, t = random.Next(2, 20), random.Next(1, 10_000_000)
              let logClassSize = SampleComplexity.logThresholdPolicies (n, 4)
              for feedback in feedbacks do
                  let upper = (Regret.nest (feedback, n, logClassSize, t, 1.0)).Value
                  atMost 0.0 (Regret.lowerBound (n, t)) upper "any feedback"
                  if feedback <> Feedback.Full then atMost 0.0 (Regret.lowerBoundReturned (n, t)) upper "returned"
              // With contexts the comparator is the best reactive policy, which OptStop's theorem speaks of.
              let m = random.Next(1, 9)
              atMost 0.0 (Regret.lowerBoundContexts (n, m, m * t / 10)) (Regret.optStop (n, m, m * t / 10, 1.0)).Value "contexts"

          property 200 "P46 UCB1 plays each depth once, then the largest index, the cheapest of equals"
          <| fun (Seed seed) ->
              let random, n = Random seed, 1 + abs seed % 5
              let mutable state = Ucb1.init (n, range)
              for t in 0..40 do
                  let chosen = Ucb1.choose state
                  if t < n then
                      Expect.equal chosen t "each once, in order"
                  else
                      let index k = 1.0 - state.Losses[k] / state.Plays[k] + sqrt (2.0 * log (float t + 1.0) / state.Plays[k])
                      let best = Seq.max (Seq.init n index)
                      Expect.equal chosen (Seq.findIndex (fun k -> index k = best) (seq { 0 .. n - 1 })) $"t = {t}"
                  // Qualities on a grid, and no costs: indices tie often.
                  let o =
                      { Bins = Array.zeroCreate n
                        Qualities = Array.init n (fun _ -> 0.5 * float (random.Next 3))
                        Costs = Array.zeroCreate n }
                  let next = Ucb1.observe (state, o, chosen)
                  within 1e-12 (next.Losses[chosen] - state.Losses[chosen]) ((1.0 - o.Qualities[chosen]) / range) "loss"
                  Expect.equal (Array.sum next.Plays) (float (t + 1)) "plays"
                  state <- next

          property 100 "P47 the masses of all stages are the whole weight"
          <| fun (Seed seed) ->
              let random = Random seed
              let n, m = random.Next(2, 5), random.Next(1, 4)
              let policyClass = Problems.policyClass random n m (random.Next(1, 4))
              let index, path = PolicyIndex policyClass, Array.init n (fun _ -> random.Next m)
              let weights = Array.init (PolicyClass.Size policyClass) (fun _ -> random.NextDouble())
              let last =
                  weights
                  |> Array.indexed
                  |> Array.sumBy (fun (i, w) -> if Reactive.stopStage (PolicyClass.Policy(policyClass, i), path) = n - 1 then w else 0.0)
              within 1e-9 (last + Seq.sum (seq { for k in 0 .. n - 2 -> index.Mass(weights, path, k) })) (Array.sum weights) "total"

          property 60 "P48 learners are values: they survive JSON, and the same state and source choose the same"
          <| fun (Seed seed) ->
              let random, nest = state seed
              let policyClass = nest.Settings.PolicyClass
              let back (x: 'a) : 'a =
                  match JsonSerializer.Deserialize(JsonSerializer.Serialize x, typeof<'a>) with
                  | null -> failtest "JSON null"
                  | it -> unbox it
              let source () = SplitMix64(uint64 seed)
              Expect.equal (Nest.choose (back nest, source ())) (Nest.choose (nest, source ())) "NEST"
              let o = outcome random policyClass.Stages policyClass.Bins
              let costs = Array.create (policyClass.Stages - 1) 0.05
              for rule in Enum.GetValues<TabularRule>() do
                  let learner =
                      TabularLearner.observe (
                          TabularLearner.init (rule, Feedback.Full, policyClass.Bins, costs, 100),
                          o,
                          policyClass.Stages - 1
                      )
                  Expect.equal (TabularLearner.choose (back learner, source ())) (TabularLearner.choose (learner, source ())) $"{rule}"
                  let guard =
                      Guard.observe (
                          Guard.init (TabularLearner.init (rule, Feedback.Full, policyClass.Bins, costs, 100), range, 0.05),
                          o,
                          0,
                          Func<int, float>(fun _ -> 1e9)
                      )
                  Expect.equal (Guard.choose (back guard, source ())) (Guard.choose (guard, source ())) "guarded"
              let ucb = Ucb1.observe (Ucb1.init (policyClass.Stages, range), o, 0)
              Expect.equal (Ucb1.choose (back ucb)) (Ucb1.choose ucb) "UCB1"
              let generator = SplitMix64(uint64 seed)
              generator.NextDouble() |> ignore
              Expect.equal (SplitMix64(generator.State).NextUInt64()) (generator.NextUInt64()) "the source itself"

          property 60 "P49 observing changes no earlier state"
          <| fun (Seed seed) ->
              let random, nest = state seed
              let policyClass = nest.Settings.PolicyClass
              let before = JsonSerializer.Serialize nest
              Nest.observe (nest, outcome random policyClass.Stages policyClass.Bins, random.Next policyClass.Stages) |> ignore
              Nest.choose (nest, SplitMix64 1UL) |> ignore
              Expect.equal (JsonSerializer.Serialize nest) before "unchanged"

          property 40 "P50 Guard: never trips within the allowance, trips at the first check beyond it"
          <| fun (Seed seed) ->
              let random = Random seed
              let n, m = random.Next(2, 4), random.Next(1, 4)
              let heuristic = TabularLearner.init (TabularRule.Greedy, Feedback.StagesRun, m, Array.create (n - 1) 0.05, 0)
              let run allowance =
                  let mutable state = Guard.init (heuristic, range, 0.05)
                  for _ in 1..30 do
                      let o = outcome random n m
                      let stop = Reactive.stopStage (Guard.choose (state, SplitMix64 1UL), o.Bins)
                      state <- Guard.observe (state, o, stop, allowance)
                  state
              let calm = run (Func<int, float>(fun t -> 10.0 * range * float t + 1000.0))
              Expect.isFalse calm.Tripped "generous"
              Expect.equal (calm.Active.Rule, calm.Active.Round) (TabularRule.Greedy, 30) "the heuristic's own state"
              let strict = run (Func<int, float>(fun _ -> -1e9))
              Expect.isTrue strict.Tripped "strict"
              Expect.equal (strict.Active.Rule, strict.Active.Round) (TabularRule.OptStop, 29) "restarted after the first query" ]
