/// `serve --budget`: requests that choose nothing are answered within a mean cost.
module Server.Tests.BudgetTests

open System
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Server
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies
open Server.Tests.Servers

let private plans = lazy (CascadePlans(nano.Value, records.Value))
let private store () = PolicyStore(nano.Value, plans.Value, null, 0.01)
let private most = lazy (nano.Value.Stages |> Seq.sumBy _.Cost)

[<Tests>]
let tests =
    testList
        "Budget"
        [ test "on recorded queries the mean cost comes to the budget and the excess stays below its bound, also when queries become harder" {
              let data = plans.Value.View
              let last = data.Stages - 1
              let hard =
                  [| for q in 0 .. data.Queries - 1 do
                         if data.Confidence[q * data.Stages] < 0.5 then q |]
              let random = Random 3
              for budget in [ 1.5; 2.5; 5.0 ] do
                  let keeper = BudgetKeeper(store (), budget, most.Value, 2000L)
                  let bound = Budget.excessBound keeper.State.Settings
                  let mutable quality = 0.0
                  for t in 1..6000 do
                      let q = if t <= 3000 then random.Next data.Queries else hard[random.Next hard.Length]
                      let struct (cost, stage) = Replay.query (keeper.Choose().Policy, data, q)
                      quality <- quality + data.Quality[q * data.Stages + stage]
                      keeper.Observe cost
                      Expect.isLessThanOrEqual keeper.State.Excess bound "at every time"
                  let mean = keeper.State.Spent / 6000.0
                  Expect.isLessThan mean (budget + bound / 6000.0) "no more"
                  Expect.isGreaterThan mean (0.8 * budget) "and not much less, since more quality is to be had"
                  printfn
                      "budget %.1f: mean cost %.3f, quality %.3f, price at the end %.4f"
                      budget
                      mean
                      (quality / 6000.0)
                      keeper.State.Price
              Expect.isGreaterThan
                  (data.MeanCost([| 0 .. data.Queries - 1 |], last))
                  5.0
                  "the largest alone costs more than every budget here"
          }
          test "a budget below the cheapest answer is refused, with what is needed" {
              try
                  BudgetKeeper(store (), 0.5, most.Value, 100L) |> ignore
                  failtest "no fault"
              with :? ToolkitException as error ->
                  Expect.stringContains error.Message "budget: expected at least 1" "message"
          }
          test "a server with a budget says its price and what was spent; a request with a price of its own is not counted" {
              serving (local ()) (ServeOptions(Port = 0, Budget = 3.0)) (fun _ client ->
                  let spent () = metric client "toolkit_budget_excess" ""
                  let ask extra = json (post client "v1/chat/completions" (chat "nano" "add 12+34=" extra))
                  let reply = (ask "").GetProperty "toolkit"
                  Expect.equal (reply.GetProperty("policy").GetString()) "budget" "policy"
                  let cost = reply.GetProperty("cost").GetDouble()
                  Expect.floatClose Accuracy.medium (spent ()) (cost - 3.0) "the excess"
                  let before = spent ()
                  ask ",\"lambda\":0.5" |> ignore
                  Expect.equal (spent ()) before "not counted"
                  Expect.isGreaterThanOrEqual (metric client "toolkit_budget_price" "") 0.0 "price")
          } ]
