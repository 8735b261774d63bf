module Reports.Tests.LabelsTests

open Expecto
open OxyPlot
open OptimalStopping.Reports

let private area = OxyRect(0.0, 0.0, 100.0, 100.0)
let private size = OxySize(20.0, 8.0)

[<Tests>]
let tests =
    testList
        "Labels"
        [ test "a free label goes to the lower right of its point, close by" {
              let box = Labels.place (ScreenPoint(50.0, 50.0), size, area, [||])
              Expect.isTrue (box.Left > 50.0 && box.Left < 56.0 && box.Top > 50.0 && box.Top < 56.0) (string box)
          }
          test "it avoids a line below, and the edge on the right" {
              let below = Labels.sample ([| ScreenPoint(0.0, 56.0); ScreenPoint(100.0, 56.0) |], 1.0)
              let box = Labels.place (ScreenPoint(95.0, 50.0), size, area, below)
              Expect.isTrue (box.Right <= 100.0 && box.Bottom < 56.0) (string box)
          }
          test "where everything is taken it takes the emptiest place" {
              let wall =
                  [| for x in 0.0..2.0..100.0 do
                         for y in 0.0..2.0..100.0 do
                             if x > 50.0 || y > 50.0 then ScreenPoint(x, y) |]
              let box = Labels.place (ScreenPoint(50.0, 50.0), size, area, wall)
              Expect.isTrue (box.Right <= 52.0 && box.Bottom <= 52.0) (string box)
          }
          test "a label that fits nowhere is still drawn" {
              let box = Labels.place (ScreenPoint(5.0, 5.0), OxySize(300.0, 8.0), area, [||])
              Expect.equal box.Width 300.0 "its own size"
          }
          test "only a far label has a line, from beside its point to the nearest place of the box" {
              let anchor = ScreenPoint(50.0, 50.0)
              Expect.isEmpty (Labels.leader (anchor, OxyRect(55.0, 52.0, 20.0, 8.0))) "near"
              let line = Labels.leader (anchor, OxyRect(60.0, 40.0, 20.0, 20.0))
              Expect.equal line [| ScreenPoint(53.5, 50.0); ScreenPoint(60.0, 50.0) |] "far"
          }
          test "a line is sampled in steps, with its ends" {
              let points = Labels.sample ([| ScreenPoint(0.0, 0.0); ScreenPoint(10.0, 0.0); ScreenPoint(10.0, 5.0) |], 2.0)
              Expect.equal (points[0], Array.last points) (ScreenPoint(0.0, 0.0), ScreenPoint(10.0, 5.0)) "ends"
              Expect.equal points.Length 9 "5 and 3 steps"
              Expect.isTrue (points |> Array.pairwise |> Array.forall (fun (a, b) -> a.DistanceTo b <= 2.0)) "steps"
              Expect.isEmpty (Labels.sample ([||], 2.0)) "nothing"
          } ]
