module Reports.Tests.PanelTests

open System
open Expecto
open FsCheck
open OptimalStopping.Reports

[<Tests>]
let tests =
    testList
        "Panel"
        [ test "labels that do not touch stay, touching ones move apart around their middle" {
              Expect.equal (Panel.spread ([| 5.0; 0.0; 9.0 |], 2.0)) [| 5.0; 0.0; 9.0 |] "apart"
              Expect.equal (Panel.spread ([| 1.0; 1.0 |], 2.0)) [| 0.0; 2.0 |] "the same place"
              Expect.equal (Panel.spread ([| 10.0; 0.5; 0.0; 0.25 |], 1.0)) [| 10.0; 1.25; -0.75; 0.25 |] "a pile"
              Expect.equal (Panel.spread ([||], 1.0)) [||] "none"
          }
          testProperty "spread keeps the order and the gap, and moves the labels by nothing on the whole"
          <| fun (wanted: NormalFloat[]) ->
              let wanted = wanted |> Array.map (fun x -> Math.Clamp(x.Get, -1e3, 1e3))
              let placed = Panel.spread (wanted, 1.0)
              let sorted = Array.zip wanted placed |> Array.sortBy snd
              let ordered = sorted |> Array.pairwise |> Array.forall (fun ((w, _), (v, _)) -> w <= v)
              let gaps = sorted |> Array.pairwise |> Array.forall (fun ((_, a), (_, b)) -> b - a >= 1.0 - 1e-6)
              ordered && gaps && abs (Array.sum placed - Array.sum wanted) < 1e-6 * float (wanted.Length + 1) * 1e3 ]
