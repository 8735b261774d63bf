/// Theorem 17: a price of cost that follows a budget.
module Theory.Tests.Learning.BudgetTests

open System
open Expecto
open OptimalStopping.Theory

/// Kinds of queries: quality of two stages on each; the second is asked after the first and costs more.
type private World = { Quality: struct (float * float)[]; Costs: struct (float * float) }

let private draw (random: Random) =
    { Quality = Array.init (2 + random.Next 5) (fun _ -> struct (float (random.Next 5) / 4.0, float (random.Next 5) / 4.0))
      Costs = struct (float (1 + random.Next 4) / 4.0, float (1 + random.Next 12) / 4.0) }

/// Whether a plan for the price goes on to the second stage; exact, as the kind is seen.
let private goesOn (world: World) (price: float) (kind: int) =
    let struct (first, second) = world.Quality[kind]
    let struct (_, more) = world.Costs
    second - first > price * more

let private outcome (world: World) (price: float) (kind: int) =
    let struct (first, second) = world.Quality[kind]
    let struct (least, more) = world.Costs
    if goesOn world price kind then struct (second, least + more) else struct (first, least)

/// Best mean quality of a mixture of policies within the budget, by duality: the least over prices of best value plus price times budget.
let private best (world: World) (budget: float) =
    let prices =
        [| 0.0
           for kind in 0 .. world.Quality.Length - 1 do
               let struct (first, second) = world.Quality[kind]
               let struct (_, more) = world.Costs
               if second > first then (second - first) / more |]
    prices
    |> Array.map (fun price ->
        let value =
            Array.init world.Quality.Length (fun kind -> let struct (q, c) = outcome world price kind in q - price * c) |> Array.average
        value + price * budget)
    |> Array.min

let private settingsFor (world: World) (budget: float) (start: float) (horizon: int64) =
    let struct (least, more) = world.Costs
    Budget.settings (budget, least + more, 1.0 / more, min start (1.0 / more), horizon)

[<Tests>]
let tests =
    testList
        "Budget"
        [ test "Theorem 17(a): the excess never passes its bound, whatever the queries, also against an adversary that sees the price" {
              let random = Random 5
              let mutable closest = infinity
              for _ in 1..300 do
                  let mostCost = 0.25 * float (1 + random.Next 40)
                  let budget = mostCost * (0.05 + 0.9 * random.NextDouble())
                  let ceiling = 0.1 + random.NextDouble()
                  let settings = Budget.settings (budget, mostCost, ceiling, ceiling * random.NextDouble(), int64 (1 + random.Next 400))
                  let bound = Budget.excessBound settings
                  let greedy = random.Next 2 = 0
                  let mutable state = Budget.start settings
                  for _ in 1..500 do
                      let most = if state.Price >= ceiling then budget else mostCost
                      let cost = if greedy then most else most * float (random.Next 3) / 2.0
                      state <- Budget.observe (state, cost)
                      Expect.isLessThanOrEqual state.Excess (bound + 1e-9) $"{settings}"
                      closest <- min closest (bound - state.Excess)
              // The bound bites: an adversary comes within one query of it.
              Expect.isLessThan closest 10.0 "near the bound"
          }
          test "Theorem 17(b): 2,000 runs lose no more against the best mixture within the budget than the bound, on average" {
              let random = Random 6
              let horizon, runs = 400, 2000
              for _ in 1..12 do
                  let world = draw random
                  let struct (least, more) = world.Costs
                  let budget = least + more * (0.1 + 0.8 * random.NextDouble())
                  let settings = settingsFor world budget (if random.Next 2 = 0 then 0.0 else 0.3) (int64 horizon)
                  let target = best world budget
                  let losses =
                      Array.init runs (fun _ ->
                          let mutable state, quality = Budget.start settings, 0.0
                          for _ in 1..horizon do
                              let struct (q, cost) = outcome world state.Price (random.Next world.Quality.Length)
                              quality <- quality + q
                              state <- Budget.observe (state, cost)
                          Expect.isLessThanOrEqual state.Excess (Budget.excessBound settings + 1e-9) "the budget"
                          float horizon * target - quality)
                  let mean = Array.average losses
                  let error = sqrt ((losses |> Array.averageBy (fun x -> (x - mean) ** 2.0)) / float runs)
                  let bound = Budget.regretBound (settings, int64 horizon, 0.0)
                  Expect.isLessThan mean (bound + 4.0 * error) $"{world}, budget {budget}"
          }
          test "the price moves with what is spent, never below nothing; settings outside their domains are refused" {
              let settings = Budget.settings (2.0, 10.0, 0.5, 0.1, 100L)
              Expect.floatClose Accuracy.high settings.Step (0.5 / 100.0) "step"
              let up = Budget.observe (Budget.start settings, 10.0)
              Expect.floatClose Accuracy.high up.Price (0.1 + 8.0 * settings.Step) "dearer"
              Expect.floatClose Accuracy.high up.Excess 8.0 "spent more"
              let mutable state = up
              for _ in 1..100 do
                  state <- Budget.observe (state, 0.0)
              Expect.equal state.Price 0.0 "not below nothing"
              for wrong in
                  [ fun () -> Budget.settings (0.0, 1.0, 1.0, 0.0, 1L)
                    fun () -> Budget.settings (2.0, 1.0, 1.0, 0.0, 1L)
                    fun () -> Budget.settings (1.0, 1.0, 0.0, 0.0, 1L)
                    fun () -> Budget.settings (1.0, 1.0, 1.0, 2.0, 1L)
                    fun () -> Budget.settings (1.0, 1.0, 1.0, nan, 1L)
                    fun () -> Budget.settings (1.0, 1.0, 1.0, 0.0, 0L) ] do
                  Expect.throwsT<ArgumentOutOfRangeException> (wrong >> ignore) "settings"
              for cost in [ -1.0; nan; infinity ] do
                  Expect.throwsT<ArgumentOutOfRangeException> (fun () -> Budget.observe (up, cost) |> ignore) "cost"
          } ]
