module Theory.Tests.Policies.CascadeRouterTests

open System
open System.Numerics
open Expecto
open OptimalStopping.Theory.Policies
open Theory.Tests.SyntheticCascade

/// A cascade with answers, null confidences and missing stages.
let private untidy n count seed =
    let data, random = continuous n count seed, Random seed
    let cost, confidence, quality = Array.copy data.Cost, Array.copy data.Confidence, Array.copy data.Quality
    for q in 0 .. count - 1 do
        for k in 0 .. n - 1 do
            if random.Next 6 = 0 then confidence[q * n + k] <- nan
            if random.Next 8 = 0 && k <> q % n then
                cost[q * n + k] <- nan
                quality[q * n + k] <- nan
                confidence[q * n + k] <- nan
    RecordedCascade.Create(count, n, cost, confidence, quality, Array.init (count * n) (fun _ -> random.Next 3), 0, [||])

let private known (estimates: RouterEstimates) (data: RecordedCascade) ran q =
    let n = data.Stages
    let quality = Array.zeroCreate<float> n
    let worth = Array.zeroCreate<float>(RouterEstimates.Supermodels(n, ran))
    let answer = if data.HasAnswers then ReadOnlySpan(data.Answer, q * n, n) else ReadOnlySpan<int>.Empty
    estimates.Fill(ran, ReadOnlySpan(data.Confidence, q * n, n), answer, ReadOnlySpan<float>.Empty, Span<float> quality, Span<float> worth)
    quality, worth

[<Tests>]
let tests =
    testList
        "Examples.CascadeRouter"
        [ test "the decision is the best supermodel by brute force" {
              let data = untidy 4 400 3
              let estimates = RouterEstimates.Fit(data, allRows data)
              let lambdas = [| 0.01; 0.03; 0.02; 0.05 |]
              let router = CascadeRouter(estimates, lambdas)
              for q in 0..60 do
                  for ran in 0u .. 15u do
                      let quality, worth = known estimates data ran q
                      let last = 31 - BitOperations.LeadingZeroCount ran
                      let lambda = lambdas[min 3 (BitOperations.PopCount ran)]
                      let later = [ last + 1 .. 3 ]
                      let value (extra: int list) =
                          let bits = extra |> List.sumBy (fun k -> 1 <<< (k - last - 1))
                          worth[bits] - lambda * List.sumBy (fun k -> estimates.Cost[k]) extra
                      let rec subsets =
                          function
                          | [] -> [ [] ]
                          | k :: rest -> let s = subsets rest in s @ List.map (fun x -> k :: x) s
                      let all = subsets later |> List.filter (fun s -> ran > 0u || not s.IsEmpty)
                      let best = all |> List.map value |> List.max
                      let decision =
                          (router :> IStoppingPolicy)
                              .Decide(
                                  Observation(
                                      ran,
                                      ReadOnlySpan(data.Confidence, q * 4, 4),
                                      ReadOnlySpan(data.Answer, q * 4, 4),
                                      ReadOnlySpan<float>.Empty
                                  )
                              )
                      if decision.Stop then
                          Expect.isTrue (value [] > best - 1e-7) "stopping is best"
                          Expect.equal
                              quality[decision.Stage]
                              (Seq.max
                                  [ for k in 0..3 do
                                        if ran &&& (1u <<< k) <> 0u then quality[k] ])
                              "the best answer"
                      else
                          let mine = all |> List.filter (fun s -> not s.IsEmpty && List.head s = decision.Stage)
                          Expect.isTrue ((mine |> List.map value |> List.max) > best - 1e-7) "the first stage of a best supermodel"
          }
          test "a larger supermodel is worth no less, and never more than certainty allows" {
              let data = continuous 4 300 5
              let estimates = RouterEstimates.Fit(data, allRows data)
              for q in 0..40 do
                  for ran in 1u .. 7u do
                      let quality, worth = known estimates data ran q
                      for b in 1 .. worth.Length - 1 do
                          Expect.isGreaterThanOrEqual worth[b] worth[b &&& (b - 1)] "grows"
                      Expect.isTrue (quality |> Array.forall (fun p -> p >= 0.0 && p <= 1.0)) "probabilities"
          }
          test "what all stages showed is known without error: stopping is worth the best prediction" {
              let data = continuous 3 300 7
              let estimates = RouterEstimates.Fit(data, allRows data)
              for q in 0..40 do
                  let quality, worth = known estimates data 7u q
                  Expect.isTrue (abs (worth[0] - Array.max quality) < 1e-5) "worth"
          }
          test "a dear price asks one stage, and sharing a memory changes nothing" {
              let data = untidy 4 600 11
              let train, test = [| 0..299 |], [| 300..599 |]
              let family = CascadeRouting.fit (data, train, [| 10.0; 0.1; 0.03; 0.01; 0.001; 0.0 |])
              Expect.isGreaterThan family.Policies.Length 1 "points"
              let together = FamilyReplay.run (family.Policies, data, test, 20)
              for policy, outcome in Array.zip family.Policies together do
                  Expect.equal outcome (GroupedOutcome.Replay(policy, data, test, 20)) "same outcome"
              let dear = CascadeRouter((family.Policies[0] :?> CascadeRouter).Estimates, Array.create 4 1e6)
              let one = Replay.run (dear, data, test)
              Expect.isTrue (Array.forall2 (fun q c -> Double.IsNaN data.Cost[q * 4] || c = data.Cost[q * 4]) test one.Cost) "the cheapest"
          }
          test "no confidence, no query and too many stages" {
              let n, count = 3, 40
              let silent =
                  RecordedCascade.Create(
                      count,
                      n,
                      Array.init (count * n) (fun i -> float (1 + i % n)),
                      Array.create (count * n) nan,
                      Array.init (count * n) (fun i -> float ((i / 3 + i) % 2))
                  )
              let family = CascadeRouting.fit (silent, allRows silent, [| 1.0; 0.1; 0.0 |])
              for policy in family.Policies do
                  Replay.run (policy, silent, allRows silent) |> ignore
              Expect.throwsT<ArgumentException>
                  (fun () -> CascadeRouting.fit (continuous 7 20 1, [| 0..19 |], [| 0.1 |]) |> ignore)
                  "seven stages"
              Expect.throwsT<ArgumentException>
                  (fun () -> CascadeRouter(RouterEstimates.Fit(silent, allRows silent), [| 1.0 |]) |> ignore)
                  "prices"
          } ]
