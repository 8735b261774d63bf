module Theory.Tests.SamplingTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

[<Tests>]
let tests =
    testList
        "Examples.Posterior sampling"
        [ testCase "with much data a posterior sample's plan is the true plan; with none it varies"
          <| fun () ->
              let random = Random 61
              for _ in 1..50 do
                  let model = ChainTests.randomChain random 3 3
                  let plan = Chain.plan model
                  // Exact expected counts of 10^9 visits per cell.
                  let size = 1e9
                  let counts =
                      { First = Array.create 3 size
                        Transitions = model.Kernels |> Array.map (Array.map (Array.map (fun p -> size * p)))
                        Visits = Array.init 2 (fun _ -> Array.create 3 size)
                        Grades = Array.init 3 (fun _ -> Array.create 3 size)
                        Sums = model.Means |> Array.map (Array.map (fun x -> size * x))
                        Squares = model.Means |> Array.map (Array.map (fun x -> size * x)) }
                  let clear = plan.D |> Array.forall (Array.forall (fun d -> abs d > 1e-3))
                  if clear then
                      Expect.equal
                          (TabularPlan.posteriorSample (counts, model.ContinueCosts, SplitMix64(uint64 (random.Next()))))
                          (Chain.policy plan)
                          "sample"
                      Expect.equal (TabularPlan.greedy (counts, model.ContinueCosts)) (Chain.policy plan) "mean"
              let none, source = TabularCounts.Create(3, 3), SplitMix64 2UL
              let distinct = Array.init 50 (fun _ -> TabularPlan.posteriorSample (none, [| 0.1; 0.1 |], source)) |> Array.distinct
              Expect.isTrue (distinct.Length > 10) $"{distinct.Length} distinct plans"

          testCase "one cell's stopping frequency is the posterior probability that stopping is better"
          <| fun () ->
              // One bin, two stages: stop iff Beta(a, b) >= Beta(c, d) - cost. With cost 0 and Beta(1,1) against Beta(3,1):
              // P(X >= Y) = 1 - E Y = 1/4.
              let counts = TabularCounts.Create(2, 1)
              counts.Grades[1][0] <- 2.0
              counts.Sums[1][0] <- 2.0
              let source, draws = SplitMix64 9UL, 40000
              let stops =
                  Seq.init draws (fun _ -> (TabularPlan.posteriorSample (counts, [| 0.0 |], source)).[0].[0]) |> Seq.filter id |> Seq.length
              within (5.0 * sqrt (0.1875 / float draws)) (float stops / float draws) 0.25 "frequency"

          testCase "Dirichlet rows: with a single observed transition, the continuation value has distribution Beta(2, 1)"
          <| fun () ->
              // Bins 0, 1; qualities known almost surely (mean 0 in bin 0, mean 1 in bin 1 of stage 2); Q = P(bin 1 | s) - cost has distribution
              // Beta(2, 1) after one transition 0 -> 1, so P(Q >= x) = 1 - x^2. The first stage's mean is pinned at x = 1/2.
              let counts = TabularCounts.Create(2, 2)
              let pin k s mean =
                  counts.Grades[k][s] <- 1e12
                  counts.Sums[k][s] <- 1e12 * mean
              pin 0 0 0.5
              pin 1 0 0.0
              pin 1 1 1.0
              counts.Transitions[0].[0].[1] <- 1.0
              counts.Visits[0][0] <- 1.0
              let source, draws = SplitMix64 10UL, 40000
              let goes =
                  Seq.init draws (fun _ -> (TabularPlan.posteriorSample (counts, [| 0.0 |], source)).[0].[0])
                  |> Seq.filter not
                  |> Seq.length
              within (5.0 * sqrt (0.1875 / float draws)) (float goes / float draws) 0.75 "frequency"

          testCase "greedy uses posterior means"
          <| fun () ->
              let counts = TabularCounts.Create(2, 1)
              counts.Grades[0][0] <- 2.0 // mean (1+1)/(2+2) = 1/2
              counts.Sums[0][0] <- 1.0
              counts.Grades[1][0] <- 1.0 // mean (1+1)/(1+2) = 2/3
              counts.Sums[1][0] <- 1.0
              Expect.equal (TabularPlan.greedy (counts, [| 0.16 |])) [| [| false |] |] "2/3 - .16 > 1/2"
              Expect.equal (TabularPlan.greedy (counts, [| 0.17 |])) [| [| true |] |] "2/3 - .17 < 1/2"
              rejects (fun () -> TabularPlan.greedy (counts, [||]) |> ignore) "costs"

          testCase "UCB1 tries every depth, then follows its index"
          <| fun () ->
              let o = { Bins = [| 0; 0; 0 |]; Qualities = [| 0.2; 0.9; 0.3 |]; Costs = [| 0.0; 0.0; 0.0 |] }
              let mutable state = Ucb1.init (3, 1.0)
              let plays =
                  Array.init 3000 (fun _ ->
                      let k = Ucb1.choose state
                      state <- Ucb1.observe (state, o, k)
                      k)
              Expect.equal plays[..2] [| 0; 1; 2 |] "each once"
              // Each bad depth has at most 8 ln T / gap^2 + 1 + pi^2/3 plays in expectation; the sequence here is deterministic.
              Expect.isTrue (state.Plays[0] <= 8.0 * log 3000.0 / 0.49 + 4.3) $"{state.Plays[0]}"
              Expect.isTrue (state.Plays[2] <= 8.0 * log 3000.0 / 0.36 + 4.3) $"{state.Plays[2]}"
              Expect.isTrue (state.Plays[0] >= 5.0) "explores"
              within 1e-9 (state.Losses[1]) (0.1 * state.Plays.[1]) "losses" ]
