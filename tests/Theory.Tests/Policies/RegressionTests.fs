module Theory.Tests.RegressionTests

open System
open Expecto
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies
open Theory.Tests

/// Three columns, one after the other; the first is the constant 1.
let private design (random: Random) rows = Array.init (3 * rows) (fun e -> if e < rows then 1.0 else 4.0 * random.NextDouble() - 1.0)

/// The first row of each of equal folds, and the number of rows.
let private equalFolds rows folds = Array.init (folds + 1) (fun f -> f * rows / folds)

[<Tests>]
let tests =
    testList
        "Examples.Regression"
        [ test "recovers a linear function, held out too" {
              let random = Random 1
              let x = design random 60
              let y = Array.init 60 (fun i -> 0.7 - 2.0 * x[60 + i] + 0.5 * x[120 + i])
              let heldOut = Array.zeroCreate 60
              let beta = RidgeRegression(Array.copy x, 3, equalFolds 60 5, 0.0).Fit(y, heldOut)
              Close.allWithin 1e-6 beta [| 0.7; -2.0; 0.5 |] "coefficients"
              Close.allWithin 1e-6 heldOut y "held-out predictions"
          }

          test "a held-out prediction does not depend on its own fold's targets" {
              let random = Random 2
              let x = design random 50
              let fold i = i / 10
              let y = Array.init 50 (fun _ -> random.NextDouble())
              let predict (y: float[]) =
                  let heldOut = Array.zeroCreate 50
                  RidgeRegression(Array.copy x, 3, equalFolds 50 5, 1.0).Fit(y, heldOut) |> ignore
                  heldOut
              let changed = y |> Array.mapi (fun i v -> if fold i = 2 then 1.0 - v else v)
              let before, after = predict y, predict changed
              for i in 0..49 do
                  if fold i = 2 then Close.within 1e-9 after[i] before[i] "own fold"
              Expect.notEqual after before "other folds do see the change"
          }

          test "a heavy penalty shrinks to the mean, a constant column is switched off" {
              let random = Random 3
              let x = design random 40
              for i in 0..39 do
                  x[80 + i] <- 5.0
              let y = Array.init 40 (fun _ -> random.NextDouble())
              let heldOut = Array.zeroCreate 40
              let beta = RidgeRegression(Array.copy x, 3, equalFolds 40 4, 1e9).Fit(y, heldOut)
              Close.allWithin 1e-6 beta [| Array.average y; 0.0; 0.0 |] "coefficients"
          }

          test "the confidence scale is monotone, gives ties their middle rank, and has an inverse" {
              let scale = ConfidenceScale.Fit [| 0.1; 0.5; 0.5; 0.5; nan; 0.9 |]
              Close.within 1e-12 (scale.Rank 0.5) 0.5 "three of five tie in the middle"
              Close.within 1e-12 (scale.Rank 0.0) 0.1 "below all"
              Close.within 1e-12 (scale.Rank 1.0) 0.9 "above all"
              let ranks = Array.init 101 (fun i -> scale.Rank(float i / 100.0))
              Expect.equal ranks (Array.sort ranks) "monotone"
              Close.within 1e-12 (scale.Confidence(scale.Rank 0.7)) 0.7 "inverse"
              Expect.equal ((ConfidenceScale.Fit [| nan |]).Rank 0.3) 0.5 "nothing seen"
          }

          test "states: counts, successors first, and the window forgets the earliest" {
              Expect.equal (StateSpace(4, ActionSet.Recall, 4)).Count 16 "all sets"
              Expect.equal (StateSpace(4, ActionSet.Chain, 4)).Count 5 "prefixes"
              Expect.equal (StateSpace(10, ActionSet.Jump, 2)).Count 56 "sets of at most two of ten"
              for actions in [ ActionSet.Chain; ActionSet.Jump; ActionSet.Recall ] do
                  let space = StateSpace(6, actions, 3)
                  for state in 0 .. space.Count - 1 do
                      for next in space.Next state do
                          Expect.isTrue (space.After(state, next) < state) "a successor comes before"
              let space = StateSpace(6, ActionSet.Recall, 3)
              Expect.equal (space.Members(space.IndexOf 0b101110u)) [| 2; 3; 5 |] "the latest three"
          } ]
