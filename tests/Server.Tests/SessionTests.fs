/// `serve --sessions`: a conversation stays with the stage that answered it.
module Server.Tests.SessionTests

open System
open System.Net.Http
open System.Text
open Expecto
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Server
open OptimalStopping.Theory.Policies
open Server.Tests.Servers

/// A clock that stands until it is moved.
type private Clock() =
    inherit TimeProvider()
    let mutable now = 0L
    member _.Move(span: TimeSpan) = now <- now + span.Ticks
    override _.TimestampFrequency = TimeSpan.TicksPerSecond
    override _.GetTimestamp() = now

let private question = "add 12+34="

/// The stages that were asked, and the kind of policy that decided.
let private turns (client: HttpClient) (header: string) (more: string) =
    use request = new HttpRequestMessage(HttpMethod.Post, "v1/chat/completions")
    request.Content <- new StringContent(chat "nano" question more, Encoding.UTF8, "application/json")
    if header <> "" then request.Headers.Add("X-Toolkit-Session", header)
    let answer = (json (client.SendAsync(request).GetAwaiter().GetResult())).GetProperty "toolkit"
    [ for t in (answer.GetProperty "turns").EnumerateArray() -> (t.GetProperty "stage").GetString() ],
    (answer.GetProperty "policy").GetString()

let private dear = ",\"lambda\":0" // cost counts for nothing
let private cheap = ",\"lambda\":1000" // the first stage is enough

[<Tests>]
let tests =
    testSequenced (
        testList
            "Sessions"
            [ test "the next turn begins at the stage that answered, whatever names the conversation; others begin as before" {
                  serving (local ()) (ServeOptions(Port = 0, Sessions = 10)) (fun _ client ->
                      Expect.equal (fst (turns client "" cheap)) [ "nano-1" ] "without a session"
                      for header, name in [ "a", ""; "", ",\"prompt_cache_key\":\"b\""; "", ",\"user\":\"c\"" ] do
                          let answered = List.last (fst (turns client header (dear + name)))
                          Expect.notEqual answered "nano-1" "a later stage answers where cost counts for nothing"
                          Expect.equal (turns client header (cheap + name)) ([ answered ], "session") "it stays"
                          Expect.equal (turns client "another" (cheap + name)) ([ "nano-1" ], "lambda") "the header comes first"
                      Expect.equal (fst (turns client "" (cheap + ",\"user\":\"d\""))) [ "nano-1" ] "another conversation")
              }
              test "without the option every turn begins where the policy says" {
                  serving (local ()) options (fun _ client ->
                      turns client "a" dear |> ignore
                      Expect.equal (fst (turns client "a" cheap)) [ "nano-1" ] "not remembered")
              }
              test "clients with different credentials do not share a conversation" {
                  serving (local ()) (ServeOptions(Port = 0, Sessions = 10, Keys = [| "one"; "two" |])) (fun _ client ->
                      let by (key: string) more =
                          client.DefaultRequestHeaders.Authorization <- Headers.AuthenticationHeaderValue("Bearer", key)
                          fst (turns client "a" more)
                      let answered = List.last (by "one" dear)
                      Expect.equal (by "two" cheap) [ "nano-1" ] "the other client's own"
                      Expect.equal (by "one" cheap) [ answered ] "its own")
              }
              test "memory is bounded, the one unused for longest gives way, and an idle one is forgotten" {
                  let clock = Clock()
                  let sessions = SessionStages(2, TimeSpan.FromMinutes 10.0, clock)
                  let key (name: string) = SessionStages.Key(name, null)
                  sessions.Keep(key "a", 1)
                  sessions.Keep(key "b", 2)
                  sessions.Keep(key "a", 3)
                  sessions.Keep(key "c", 1)
                  Expect.equal [ for n in [ "a"; "b"; "c" ] -> sessions.Find(key n) ] [ 3; -1; 1 ] "b was used before a"
                  clock.Move(TimeSpan.FromMinutes 9.0)
                  sessions.Keep(key "a", 3)
                  clock.Move(TimeSpan.FromMinutes 2.0)
                  Expect.equal [ for n in [ "a"; "c" ] -> sessions.Find(key n) ] [ 3; -1 ] "c is idle"
                  for i in 1..1000 do
                      sessions.Keep(key (string i), 1)
                  Expect.equal sessions.Count 2 "bounded"
                  Expect.notEqual (SessionStages.Key("ab", "c")) (SessionStages.Key("b", "ca")) "no two read as one"
              }
              test "a policy that begins later decides from there on as it does after stages that failed" {
                  let plan =
                      { new IStoppingPolicy with
                          member _.Stages = 3
                          member _.Decide o =
                              if o.Last < 0 then Decision.GoTo 0
                              elif o.Last = 2 || o.Confidence[o.Last] > 0.5 then Decision.StopWith o.Last
                              else Decision.GoTo(o.Last + 1) }
                  let decide (ran: uint32) (confidence: float[]) =
                      let labels, context: int[] * float[] = [| -1; -1; -1 |], [||]
                      LaterStart(plan, 1).Decide(Observation(ran, confidence, labels, context))
                  Expect.equal (decide 0u [| nan; nan; nan |]) (Decision.GoTo 1) "begins there"
                  Expect.equal (decide 2u [| nan; 0.9; nan |]) (Decision.StopWith 1) "stops when sure"
                  Expect.equal (decide 2u [| nan; 0.1; nan |]) (Decision.GoTo 2) "climbs when not"
              } ]
    )
