module Theory.Tests.PolicyClassTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.PolicyClass"
        [ testCase "sizes and policies of the threshold and interval policy classes"
          <| fun () ->
              let policyClass = PolicyClass.Thresholds(3, 2)
              Expect.equal (PolicyClass.Size policyClass) 9 "(m+1)^(n-1)"
              // Number 5 = 1 * 3 + 2: threshold 1 at stage 0, 2 (never stop) at stage 1.
              Expect.equal (PolicyClass.Policy(policyClass, 5)) (Reactive.fromThresholds ([| 1; 2 |], 2)) "policy 5"
              Expect.equal (PolicyClass.Size(PolicyClass.Intervals(4, 10))) (56 * 56 * 56) "intervals"
              Expect.equal (PolicyClass.Size(PolicyClass.ThresholdsAt(8, 5, [| 0; 2; 4; 5 |]))) 16384 "coarse"
              Expect.equal (PolicyClass.Size(PolicyClass.Thresholds(1, 3))) 1 "one stage leaves nothing to choose"

          testCase "masses and updates = policy by policy, 1,000 random policy classes"
          <| fun () ->
              let random = Random 21
              for _ in 1..1000 do
                  let n, m = random.Next(1, 5), random.Next(1, 5)
                  let policyClass =
                      if random.Next 2 = 0 then Problems.policyClass random n m (random.Next(1, 7)) else PolicyClass.Thresholds(n, m)
                  let index, size = PolicyIndex policyClass, PolicyClass.Size policyClass
                  let path = Array.init n (fun _ -> random.Next m)
                  let stops = Array.init size (fun i -> Reactive.stopStage (PolicyClass.Policy(policyClass, i), path))
                  let weights = Array.init size (fun _ -> random.NextDouble())
                  let losses = Array.init size (fun _ -> random.NextDouble())
                  for k in 0 .. n - 2 do
                      let expected = Array.fold2 (fun sum w stop -> if stop = k then sum + w else sum) 0.0 weights stops
                      within 1e-12 (index.Mass(weights, path, k)) expected "mass"
                  let last = random.Next n
                  let first = random.Next(last + 1)
                  let loss, factor = Array.init n (fun _ -> random.NextDouble()), Array.init n (fun _ -> random.NextDouble())
                  let touched stop = stop >= first && stop <= last
                  let expectedLosses = Array.map2 (fun x stop -> if touched stop then x + loss[stop] else x) losses stops
                  let expectedWeights = Array.map2 (fun w stop -> if touched stop then w * factor[stop] else w) weights stops
                  // Bins after `last` must not matter.
                  let hidden = path |> Array.mapi (fun k bin -> if k > last then random.Next m else bin)
                  index.Update(losses, weights, hidden, first, last, loss, factor)
                  Expect.equal losses expectedLosses "losses"
                  Expect.equal weights expectedWeights "weights"

          testCase "bad policy classes are rejected"
          <| fun () ->
              rejects (fun () -> PolicyClass.Create(3, 2, [||]) |> ignore) "no rules"
              rejects (fun () -> PolicyClass.Create(3, 2, [| [| true |] |]) |> ignore) "rule of the wrong width"
              rejects (fun () -> PolicyClass.Intervals(8, 10) |> ignore) "56^7 policies"
              rejects (fun () -> PolicyClass.ThresholdsAt(3, 2, [| 3 |]) |> ignore) "threshold above m" ]
