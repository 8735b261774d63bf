/// `toolkit bench --serve`: what a load finds out about a server.
module Server.Tests.LoadTests

open System
open System.Threading
open Expecto
open OptimalStopping.Experiments
open Server.Tests.Servers

let private load (settings: LoadSettings) = ServerLoad.RunAsync(settings, null, CancellationToken.None).GetAwaiter().GetResult()

[<Tests>]
let tests =
    testSequenced (
        testList
            "Load"
            [ test "every request is answered, timed and counted, from clients and at a rate" {
                  serving (local ()) options (fun server client ->
                      let settings = LoadSettings(Uri(server.Address, "v1"), "nano", [| "add 12+34="; "sort 7402=" |], Requests = 12)
                      let before = metric client "toolkit_requests_total" ""
                      let closed = load settings
                      Expect.equal (closed.Requests, closed.Failed) (12, 0) $"{closed}"
                      // A scrape is kept for a moment: what is counted shows up soon, not at once.
                      let counted () = metric client "toolkit_requests_total" "" - before
                      SpinWait.SpinUntil((fun () -> counted () >= 12.0), TimeSpan.FromSeconds 10.0) |> ignore
                      Expect.equal (counted ()) 12.0 "the server counts the same"
                      Expect.isTrue
                          (0.0 < closed.FirstToken.P50
                           && closed.FirstToken.P50 <= closed.FirstToken.P99
                           && closed.FirstToken.P50 <= closed.Whole.P50)
                          $"{closed}"
                      Expect.isGreaterThan closed.TokensPerSecond closed.RequestsPerSecond "several tokens an answer"
                      Expect.isEmpty closed.Errors "no fault"
                      let opened = load (LoadSettings(settings.Url, "nano", settings.Prompts, Requests = 10, Rate = 40.0))
                      Expect.equal opened.Failed 0 $"{opened}"
                      // The sum of ten waits with mean 1/40: below 0.05 or above 1 hardly ever, and the same each time.
                      Expect.isGreaterThan opened.Seconds 0.05 "they come at their times")
              }
              test "what goes wrong is counted by its kind, and the rest goes on" {
                  serving (local ()) options (fun server _ ->
                      let wrong = load (LoadSettings(Uri(server.Address, "v1"), "none", [| "x" |], Requests = 5))
                      Expect.equal wrong.Failed 5 "another model's name"
                      Expect.equal [ for f in wrong.Errors -> f.Key, f.Value ] [ "status 404", 5 ] "the fault"
                      Expect.isTrue (Double.IsNaN wrong.FirstToken.P50) "no time")
                  let dead = load (LoadSettings(Uri "http://127.0.0.1:9/v1", "m", [| "x" |], Requests = 3))
                  Expect.equal [ for f in dead.Errors -> f.Key, f.Value ] [ "the connection broke", 3 ] "nobody there"
              } ]
    )
