module Theory.Tests.NestTests

open System
open System.Text.Json
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close
open Theory.Tests.Problems

let private feedbacks = [ Feedback.Full; Feedback.StagesRun; Feedback.Returned ]
let private sides = [ SideExpert.None; SideExpert.PosteriorSampling; SideExpert.Greedy ]

/// A state after a few random queries, so that weights are uneven.
let internal warm (random: Random) policyClass feedback side horizon rounds =
    let source = SplitMix64(uint64 (random.Next()))
    play
        (Nest.init (settings policyClass feedback side horizon))
        rounds
        (fun _ -> outcome random policyClass.Stages policyClass.Bins)
        source
        (fun _ _ _ _ -> ())

let private warmStates (random: Random) count = seq {
    for i in 1..count do
        let n, m = random.Next(1, 5), random.Next(1, 4)
        // A short horizon makes eta large, hence the weights uneven.
        yield
            warm
                random
                (Problems.policyClass random n m (random.Next(1, 4)))
                feedbacks[i % 3]
                sides[i / 3 % 3]
                (random.Next(0, 2) * 20)
                (random.Next 8)
}

let internal rates (state: NestState) =
    let s = state.Settings
    let logN = NestRates.LogComparators(PolicyClass.Size s.PolicyClass, (s.Side <> SideExpert.None))
    if s.Horizon > 0 then
        NestRates.Tuned(s.Feedback, s.PolicyClass.Stages, logN, s.Horizon)
    else
        NestRates.Anytime(s.Feedback, s.PolicyClass.Stages, logN, state.Round + 1)

/// Losses by the bet of stake j, the side expert's last, as `losses` has the learner's own.
let internal betLosses (state: NestState) j =
    if state.Settings.Side = SideExpert.None then
        state.BetLosses[j]
    else
        Array.append state.BetLosses[j] [| state.BetSideLosses[j] |]

/// Whether the reward of stage k is graded where the learner stops at `stop`; of stages run, or of the returned one only.
let internal isGraded feedback stop k = if feedback = Feedback.StagesRun then k <= stop else k = stop

/// o_k from the definition: the probability that the reward of stage k is graded on this path.
let internal gradedProbability (feedback: Feedback) (w: float[]) (stops: int[]) k =
    let mass condition = Array.fold2 (fun sum w stop -> if condition stop then sum + w else sum) 0.0 w stops
    match feedback with
    | Feedback.Full -> 1.0
    | Feedback.StagesRun -> mass (fun stop -> stop >= k)
    | _ -> mass (fun stop -> stop = k)

[<Tests>]
let tests =
    testList
        "Examples.Nest"
        [ testCase "property 16: weights are prior * exp(-eta L) normalised, whatever constant is added to every L"
          <| fun () ->
              let random = Random 31
              for state in warmStates random 300 do
                  let size = PolicyClass.Size state.Settings.PolicyClass
                  let side = state.Settings.Side <> SideExpert.None
                  let prior =
                      Array.init (losses state).Length (fun i ->
                          if not side then 1.0 / float size
                          elif i < size then 0.5 / float size
                          else 0.5)
                  let raw = Array.map2 (fun p l -> p * exp (-(rates state).Eta * l)) prior (losses state)
                  allWithin 1e-12 (weights state) (raw |> Array.map (fun x -> x / Array.sum raw)) "weights"
                  within 1e-12 (Array.sum (Nest.weights state)) 1.0 "sum"
                  let shifted = { state with Losses = state.Losses |> Array.map (fun x -> x + 1234.5); SideLoss = state.SideLoss + 1234.5 }
                  allWithin 1e-9 (Nest.weights shifted) (Nest.weights state) "shifted"

          testCase "the side expert draws anew for every query, and the same for the same one"
          <| fun () ->
              let random = Random 36
              let state = warm random (Problems.policyClass random 3 3 2) Feedback.StagesRun SideExpert.PosteriorSampling 20 6
              let policies = [ for round in 1..40 -> Nest.sidePolicy { state with Round = round } ]
              Expect.isGreaterThan (List.distinct policies).Length 3 "rounds differ"
              Expect.equal [ for round in 1..40 -> Nest.sidePolicy { state with Round = round } ] policies "and repeat"
              let reseeded = { state with Settings = { state.Settings with Seed = 8UL } }
              Expect.notEqual [ for round in 1..40 -> Nest.sidePolicy { reseeded with Round = round } ] policies "seeds differ"

          testCase "property 16: the weight of a duplicated policy splits evenly"
          <| fun () ->
              let random = Random 32
              for feedback in feedbacks do
                  let twin = [| true; false; true |]
                  let policyClass = PolicyClass.Create(2, 3, [| [| false; true; true |]; twin; [| false; false; true |]; twin |])
                  let w = Nest.weights (warm random policyClass feedback SideExpert.None 20 10)
                  Expect.equal w[1] w[3] "twins"
                  Expect.isTrue (abs (w[1] - w[0]) > 1e-6) "not all weights are equal"

          testCase "property 17: averaged over the policy drawn, an estimated loss is loss * o/(o + gamma), 300 random states"
          <| fun () ->
              let random = Random 33
              for state in warmStates random 300 do
                  let feedback, n = state.Settings.Feedback, state.Settings.PolicyClass.Stages
                  let query = outcome random n state.Settings.PolicyClass.Bins
                  let w, stops = weights state, stopStages state query.Bins
                  let mean = Array.zeroCreate w.Length
                  for stop in Array.distinct stops do
                      let probability = gradedProbability Feedback.Returned w stops stop
                      let after = losses (Nest.observe (state, query, stop))
                      Array.iteri2 (fun i a b -> mean[i] <- mean[i] + probability * (a - b)) after (losses state)
                  let expected =
                      stops
                      |> Array.map (fun k ->
                          let o = gradedProbability feedback w stops k
                          Outcome.Loss(query, k, range) * o / (o + (rates state).Gamma))
                  allWithin 1e-9 mean expected $"{feedback}"

          testCase "bet losses: what is graded counts loss + ln((1 + a loss/o)/(1 + a loss))/a, 300 random states"
          <| fun () ->
              let random = Random 33
              for state in warmStates random 300 do
                  let feedback, n = state.Settings.Feedback, state.Settings.PolicyClass.Stages
                  let query = outcome random n state.Settings.PolicyClass.Bins
                  let w, stops = weights state, stopStages state query.Bins
                  let stop = stops[random.Next stops.Length]
                  let next = Nest.observe (state, query, stop)
                  if feedback = Feedback.Full then
                      Expect.equal (next.BetLosses, next.BetSideLosses) ([||], [||]) "nothing is estimated"
                  else
                      Expect.equal next.BetLosses.Length 3 "three stakes"
                      for j in 0..2 do
                          let stake = 2.0 * (rates state).Gamma * [| 1.0; 4.0; 16.0 |][j]
                          let expected =
                              stops
                              |> Array.map (fun k ->
                                  let o, loss = gradedProbability feedback w stops k, Outcome.Loss(query, k, range)
                                  if isGraded feedback stop k then
                                      loss + log ((1.0 + stake * loss / o) / (1.0 + stake * loss)) / stake
                                  else
                                      0.0)
                          allWithin 1e-9 (Array.map2 (-) (betLosses next j) (betLosses state j)) expected $"{feedback}, stake {j}"

          testCase "certificate A is at most the one of implicit exploration with the same stakes, at every t"
          <| fun () ->
              let n, m, horizon, delta = 3, 3, 150, 0.1
              for run in 1..24 do
                  let random = Random run
                  let feedback, limit = feedbacks[1 + run % 2], (run / 2 % 2) * horizon
                  let start = Nest.init (settings (PolicyClass.Thresholds(n, m)) feedback sides[run / 4 % 3] limit)
                  let explored = Array.init 3 (fun _ -> Array.zeroCreate (weights start).Length)
                  play start horizon (fun _ -> outcome random n m) (SplitMix64(uint64 run)) (fun state o stop next ->
                      let w, stops, gamma = weights state, stopStages state o.Bins, (rates state).Gamma
                      let stakes = NestRates.Stakes gamma
                      let slack =
                          stakes
                          |> Array.map (fun stake ->
                              log (3.0 * float w.Length * (if limit = 0 then float next.Round * float (next.Round + 1) else 1.0) / delta)
                              / stake)
                      for j in 0..2 do
                          stops
                          |> Array.iteri (fun i k ->
                              if isGraded feedback stop k then
                                  explored[j].[i] <-
                                      explored[j].[i]
                                      + Outcome.Loss(o, k, range) / (gradedProbability feedback w stops k + stakes[j] / 2.0))
                      let least = Array.min (Array.init w.Length (fun i -> Array.max (Array.init 3 (fun j -> explored[j].[i] - slack[j]))))
                      let old, bet = range * (next.Incurred - least), Nest.certificateA (next, delta)
                      Expect.isTrue (bet <= old + 1e-9) $"run {run}, t = {next.Round}: {bet} <= {old}")
                  |> ignore

          testCase "property 18: an update touches exactly the policies it may, and never looks at what was not seen"
          <| fun () ->
              let random = Random 34
              for state in warmStates random 300 do
                  let feedback, n, m = state.Settings.Feedback, state.Settings.PolicyClass.Stages, state.Settings.PolicyClass.Bins
                  let query = outcome random n m
                  let stops = stopStages state query.Bins
                  let stop = stops[random.Next stops.Length]
                  let next = Nest.observe (state, query, stop)
                  Array.iteri2
                      (fun i before after ->
                          let graded =
                              match feedback with
                              | Feedback.Full -> true
                              | Feedback.StagesRun -> stops[i] <= stop
                              | _ -> stops[i] = stop
                          Expect.equal (after > before) graded $"{feedback}: policy {i} stops at {stops[i]}, the query at {stop}")
                      (losses state)
                      (losses next)
                  if feedback <> Feedback.Full then
                      let other = outcome random n m
                      let splice (seen: 'a[]) (unseen: 'a[]) = Array.append seen[..stop] unseen[stop + 1 ..]
                      let altered =
                          { Bins = splice query.Bins other.Bins
                            Qualities =
                              if feedback = Feedback.StagesRun then
                                  splice query.Qualities other.Qualities
                              else
                                  other.Qualities |> Array.mapi (fun k q -> if k = stop then query.Qualities[k] else q)
                            Costs = splice query.Costs other.Costs }
                      Expect.equal (Nest.observe (state, altered, stop)) next "unseen futures"

          testCase "property 19: Hedge's regret is within B sqrt(T lnN / 2) on adversarial sequences"
          <| fun () ->
              let random = Random 35
              let n, m, horizon = 3, 2, 400
              let outcomes = Array.init 12 (fun _ -> outcome random n m)
              // Outcomes whose rewards are 0 or 1 and oppose each other are the worst.
              let sharp =
                  [| for bins in [ [| 0; 0; 0 |]; [| 0; 1; 0 |]; [| 1; 0; 0 |]; [| 1; 1; 1 |] ] do
                         for good in 0 .. n - 1 do
                             { Bins = bins
                               Qualities = Array.init n (fun k -> if k = good then 1.0 else 0.0)
                               Costs = [| 0.0; 0.15; 0.3 |] } |]
              for side in [ SideExpert.None; SideExpert.Greedy ] do
                  let start = Nest.init (settings (PolicyClass.Thresholds(n, m)) Feedback.Full side horizon)
                  let expectedLoss state (o: Outcome) =
                      Array.fold2 (fun sum w k -> sum + w * Outcome.Loss(o, k, range)) 0.0 (weights state) (stopStages state o.Bins)
                  let adversaries: (string * (NestState -> int -> Outcome)) list =
                      [ "random", (fun _ _ -> outcomes[random.Next outcomes.Length])
                        "alternating", (fun _ t -> sharp[t % sharp.Length])
                        "switching once", (fun _ t -> if t < horizon / 2 then sharp[0] else sharp[2])
                        "greedy",
                        (fun state _ ->
                            sharp
                            |> Array.maxBy (fun o ->
                                let leader = losses state |> Array.indexed |> Array.minBy snd |> fst
                                expectedLoss state o - Outcome.Loss(o, (stopStages state o.Bins)[leader], range))) ]
                  for name, adversary in adversaries do
                      let mutable state, incurred = start, 0.0
                      for t in 0 .. horizon - 1 do
                          let o = adversary state t
                          incurred <- incurred + expectedLoss state o
                          state <- Nest.observe (state, o, n - 1)
                      let regret = range * (incurred - Array.min (losses state))
                      let logN = NestRates.LogComparators(9, (side <> SideExpert.None))
                      let bound = (Regret.nest (Feedback.Full, n, logN, horizon, range)).Value
                      Expect.isTrue (regret <= bound) $"{name}, {side}: {regret} <= {bound}"
                      if name = "greedy" then Expect.isTrue (regret > 0.05 * bound) $"the adversary bites: {regret} of {bound}"

          testCase "property 20: the exponential-weights inequality holds on every run"
          <| fun () ->
              let random = Random 36
              for run in 1..60 do
                  let n, m, horizon = random.Next(2, 5), random.Next(1, 4), 60
                  let feedback, side = feedbacks[run % 3], sides[run / 3 % 3]
                  let policyClass = Problems.policyClass random n m 3
                  let mutable mixed, squared = 0.0, 0.0
                  let final =
                      play
                          (Nest.init (settings policyClass feedback side horizon))
                          horizon
                          (fun _ -> outcome random n m)
                          (SplitMix64(uint64 run))
                          (fun state _ _ next ->
                              Array.iteri2
                                  (fun i before after ->
                                      let x, w = after - before, (weights state).[i]
                                      mixed <- mixed + w * x
                                      squared <- squared + w * x * x)
                                  (losses state)
                                  (losses next))
                  let eta = (rates final).Eta
                  let logN = NestRates.LogComparators(PolicyClass.Size policyClass, (side <> SideExpert.None))
                  Expect.isTrue (mixed - Array.min (losses final) <= logN / eta + eta / 2.0 * squared + 1e-9) $"run {run}, {feedback}"

          testCase "the driver agrees with the pure functions, and stops with the weights' distribution"
          <| fun () ->
              let random = Random 37
              for state in warmStates random 60 do
                  let driver, source = Nest.run state, SplitMix64 5UL
                  let mutable value = state
                  let n, m = state.Settings.PolicyClass.Stages, state.Settings.PolicyClass.Bins
                  for _ in 1..20 do
                      let query = outcome random n m
                      driver.Begin source
                      let mutable stop = 0
                      while stop < n - 1 && not (driver.Stops(stop, query.Bins[stop], source)) do
                          stop <- stop + 1
                      driver.Observe(query, stop)
                      value <- Nest.observe (value, query, stop)
                  allWithin 1e-7 driver.State.Losses value.Losses "losses"
                  within 1e-7 driver.State.SideLoss value.SideLoss "side loss"
                  Expect.equal driver.State.Counts value.Counts "counts"
              // Stage by stage against the whole policy: both frequencies, within 5 standard errors.
              let state = warm random (PolicyClass.Thresholds(4, 3)) Feedback.StagesRun SideExpert.Greedy 20 10
              let path, draws, source = [| 1; 2; 0; 1 |], 20000, SplitMix64 6UL
              let distribution = Array.init 4 (gradedProbability Feedback.Returned (weights state) (stopStages state path))
              let driver = Nest.run state
              let stepwise =
                  Array.init draws (fun _ ->
                      driver.Begin source
                      let mutable stop = 0
                      while stop < 3 && not (driver.Stops(stop, path[stop], source)) do
                          stop <- stop + 1
                      stop)
              let whole = Array.init 4000 (fun _ -> Reactive.stopStage ((Nest.choose (state, source)).Stop, path))
              for stops in [ stepwise; whole ] do
                  for k in 0..3 do
                      let frequency = (stops |> Array.filter ((=) k) |> Array.length |> float) / float stops.Length
                      within
                          (5.0 * sqrt (distribution[k] * (1.0 - distribution[k]) / float stops.Length) + 1e-12)
                          frequency
                          distribution[k]
                          $"stage {k}"

          testCase "a state survives JSON"
          <| fun () ->
              for state in warmStates (Random 38) 20 do
                  let back = JsonSerializer.Deserialize<NestState>(JsonSerializer.Serialize state)
                  Expect.equal (box back) (box state) "round trip"

          testCase "property 22: certificate A covers at all t and stays below Theorem 5, random and adversarial"
          <| fun () ->
              let n, m, horizon, delta, runs = 3, 3, 300, 0.1, 40
              for feedback, limit in [ Feedback.StagesRun, horizon; Feedback.Returned, horizon; Feedback.StagesRun, 0 ] do
                  let policyClass = PolicyClass.Thresholds(n, m)
                  let mutable missed, above = 0, 0
                  for run in 1..runs do
                      let random, source = Random run, SplitMix64(uint64 run)
                      let driver = Nest.run (Nest.init (settings policyClass feedback SideExpert.Greedy limit))
                      let truth, index = Array.zeroCreate (PolicyClass.Size policyClass), PolicyIndex policyClass
                      let mutable side, incurred, covered = 0.0, 0.0, true
                      for t in 1..horizon do
                          driver.Begin source
                          // Odd runs are i.i.d.; even runs turn the good stage around half-way.
                          let good =
                              if run % 2 = 1 then random.Next n
                              elif t < horizon / 2 then 0
                              else n - 1
                          let o = { outcome random n m with Qualities = Array.init n (fun k -> if k = good then 1.0 else 0.0) }
                          let mutable stop = 0
                          while stop < n - 1 && not (driver.Stops(stop, o.Bins[stop], source)) do
                              stop <- stop + 1
                          let loss = Array.init n (fun k -> Outcome.Loss(o, k, range))
                          index.Add(truth, o.Bins, loss)
                          side <- side + loss[Reactive.stopStage (driver.SidePolicy, o.Bins)]
                          incurred <- incurred + loss[stop]
                          driver.Observe(o, stop)
                          if range * (incurred - min side (Array.min truth)) > driver.CertificateA delta then covered <- false
                      if not covered then missed <- missed + 1
                      let bound = Regret.nestHighProbability (feedback, n, PolicyClass.Size policyClass, true, horizon, range, delta)
                      if limit > 0 && driver.CertificateA delta > bound.Value then above <- above + 1
                  // P(Bin(40, .1) > 15) < 1e-5; with 4 delta = .4, P(Bin(40, .4) > 32) < 1e-6.
                  Expect.isTrue (missed <= 15) $"{feedback}: {missed} of {runs} missed"
                  Expect.isTrue (above <= 32) $"{feedback}: {above} of {runs} above Theorem 5"

          testCase "under full feedback certificate A is the realised regret"
          <| fun () ->
              let random = Random 39
              let mutable incurred, truth = 0.0, Array.zeroCreate 9
              let final =
                  play
                      (Nest.init (settings (PolicyClass.Thresholds(3, 2)) Feedback.Full SideExpert.None 50))
                      50
                      (fun _ -> outcome random 3 2)
                      (SplitMix64 1UL)
                      (fun state o stop _ ->
                          incurred <- incurred + Outcome.Loss(o, stop, range)
                          stopStages state o.Bins |> Array.iteri (fun i k -> truth[i] <- truth[i] + Outcome.Loss(o, k, range)))
              within 1e-9 (Nest.certificateA (final, 0.05)) (range * (incurred - Array.min truth)) "regret"

          testCase "bad settings are rejected"
          <| fun () ->
              let good = settings (PolicyClass.Thresholds(3, 2)) Feedback.StagesRun SideExpert.None 10
              rejects (fun () -> Nest.init { good with Horizon = -1 } |> ignore) "negative horizon"
              rejects (fun () -> Nest.init { good with Range = 0.5 } |> ignore) "range below 1"
              rejects (fun () -> Nest.init { good with ContinueCosts = [| 0.1 |] } |> ignore) "costs"
              rejects (fun () -> Nest.observe (Nest.init good, outcome (Random 1) 3 2, 3) |> ignore) "stage 3 of 3" ]
