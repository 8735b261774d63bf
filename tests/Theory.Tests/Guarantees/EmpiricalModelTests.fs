module Theory.Tests.EmpiricalModelTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// Records of `queries` random rows; bins differ in number by stage.
let private randomRecords (random: Random) n queries =
    let binCounts = Array.init n (fun _ -> 1 + random.Next 3)
    { Bins = Array.init queries (fun _ -> binCounts |> Array.map random.Next)
      Qualities = Array.init queries (fun _ -> Array.init n (fun _ -> random.NextDouble()))
      Costs = Array.init queries (fun _ -> Array.init n (fun _ -> random.NextDouble()))
      BinCounts = binCounts }

[<Tests>]
let tests =
    testList
        "Examples.EmpiricalModel"
        [ testCase "plug-in tables by hand"
          <| fun () ->
              let records =
                  { Bins = [| [| 0; 1 |]; [| 0; 0 |]; [| 2; 1 |]; [| 2; 1 |] |]
                    Qualities = [| [| 0.0; 1.0 |]; [| 0.5; 0.0 |]; [| 1.0; 1.0 |]; [| 0.5; 0.4 |] |]
                    Costs = [| [| 1.0; 2.0 |]; [| 1.0; 4.0 |]; [| 3.0; 2.0 |]; [| 1.0; 2.0 |] |]
                    BinCounts = [| 3; 2 |] }
              let model = EmpiricalModel.jump records
              allWithin 1e-15 model.Costs [| 1.5; 2.5 |] "mean costs"
              // Bin 1 was never seen: the overall mean and the overall distribution.
              allWithin 1e-15 model.Means[0] [| 0.25; 0.5; 0.75 |] "means of stage 0"
              allWithin 1e-15 model.Means[1] [| 0.0; 0.8 |] "means of stage 1"
              allWithin 1e-15 model.Entry[0] [| 0.5; 0.0; 0.5 |] "distribution of stage 0"
              Expect.equal model.Kernels[0].[1] [| [| 0.5; 0.5 |]; [| 0.25; 0.75 |]; [| 0.0; 1.0 |] |] "kernel"
              Expect.equal (EmpiricalModel.counts records) [| [| 2L; 0L; 2L |]; [| 1L; 3L |] |] "counts"
              let chain = EmpiricalModel.chain (records, 0.1)
              allWithin 1e-15 chain.ContinueCosts [| 0.25 |] "lambda c"
              Expect.equal chain.Kernels[0].[0] [| 0.5; 0.5; 0.0 |] "widened"
              Chain.validate chain
              Jump.validate model

          testCase
              "two stages, quality a function of the bin, are Markov: a plan earns what it guarantees on its own records, 300 random ones"
          <| fun () ->
              let random = Random 71
              for _ in 1..300 do
                  let records, lambda = randomRecords random 2 (1 + random.Next 30), 0.5 * random.NextDouble()
                  // With equal costs on all queries, mean costs are no simplification.
                  let quality = records.BinCounts |> Array.map (fun bins -> Array.init bins (fun _ -> random.NextDouble()))
                  let records =
                      { records with
                          Costs = records.Costs |> Array.map (fun _ -> records.Costs[0])
                          Qualities = records.Bins |> Array.map (Array.mapi (fun k s -> quality[k].[s])) }
                  let model = EmpiricalModel.jump records
                  let jump = Jump.plan (model, lambda)
                  within 1e-12 (EmpiricalModel.replayJump (records, jump, lambda)).Value jump.Outcome.Value "jump"
                  let chain = EmpiricalModel.chain (records, lambda)
                  let plan = Chain.plan chain
                  let guaranteed = Chain.optimalValue chain - lambda * records.Costs[0].[0]
                  let recall = Recall.plan (model, lambda)
                  within 1e-12 (EmpiricalModel.replayRecall (records, recall, lambda)).Value recall.Outcome.Value "recall"
                  within 1e-12 (EmpiricalModel.replayChain (records, Chain.policy plan, lambda)).Value guaranteed "chain"

          testCase "a recall plan answers with its best stage so far, on records where each path is one query"
          <| fun () ->
              // One query, two stages, the first better: recall keeps it after a look at the second that the plan is made to take.
              let records =
                  { Bins = [| [| 0; 0 |]; [| 0; 1 |] |]
                    Qualities = [| [| 0.6; 0.0 |]; [| 0.6; 1.0 |] |]
                    Costs = [| [| 1.0; 1.0 |]; [| 1.0; 1.0 |] |]
                    BinCounts = [| 1; 2 |] }
              let plan = Recall.plan (EmpiricalModel.jump records, 0.01)
              let earned = EmpiricalModel.replayRecall (records, plan, 0.01)
              within 1e-15 earned.Quality 0.8 "quality: 0.6 kept once, 1 found once"
              within 1e-15 earned.Cost 2.0 "cost"
              within 1e-15 earned.Value plan.Outcome.Value "as guaranteed"

          testCase "bad records are rejected"
          <| fun () ->
              let good = randomRecords (Random 1) 2 3
              rejects (fun () -> EmpiricalModel.counts { good with Bins = [||] } |> ignore) "no query"
              rejects (fun () -> EmpiricalModel.counts { good with BinCounts = [| 0; 0 |] } |> ignore) "bin out of range"
              rejects (fun () -> EmpiricalModel.jump { good with Costs = good.Costs[1..] } |> ignore) "rows"
              rejects
                  (fun () -> EmpiricalModel.jump { good with Qualities = good.Qualities |> Array.map (Array.take 1) } |> ignore)
                  "stages" ]
