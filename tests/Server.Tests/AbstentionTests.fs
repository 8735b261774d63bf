/// A policy that says "not sure": what the clients of the server and of IChatClient see of it.
module Server.Tests.AbstentionTests

open System
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open System.Threading
open Expecto
open Microsoft.Extensions.AI
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Chat
open OptimalStopping.Server
open Server.Tests.Servers

/// A policy of the nano cascade that abstains, as its file says, with every stage's threshold replaced.
let private policyWith (threshold: JsonNode) =
    use folder = new Support.RandomCheckpoint.TemporaryFolder()
    let path = folder.File "policy.json"
    let options = CalibrationOptions(0.3, 0.1, MaxRisk = 0.3, Family = PolicyRegistry.Recall)
    PolicyCalibration.Run(nonNull nano.Value.CalibrationTrace, options).Save path
    let root = nonNull (JsonNode.Parse(File.ReadAllText path))
    let thresholds = (nonNull ((nonNull root["abstain"])["thresholds"])).AsArray()
    for k in 0 .. thresholds.Count - 1 do
        thresholds[k] <- threshold.DeepClone()
    File.WriteAllText(path, root.ToJsonString())
    PolicyFile.Load path

let private never = lazy (policyWith (nonNull (JsonValue.Create "inf")))
let private always = lazy (policyWith (JsonValue.Create 0.0))

let private serving (policy: PolicyFile) (action: Net.Http.HttpClient -> unit) =
    let server = CascadeServer.StartAsync(local (), null, policy, 0.01, options).GetAwaiter().GetResult()
    try
        use client = new Net.Http.HttpClient(BaseAddress = server.Address)
        action client
    finally
        server.DisposeAsync().AsTask().Wait()

let private question = "sub 8388-6714="

/// The first choice of a response.
let private firstChoice (response: JsonElement) : JsonElement = response.GetProperty("choices").Item 0

let private isNullAt (key: string) (element: JsonElement) = (element.GetProperty key).ValueKind = JsonValueKind.Null

[<Tests>]
let tests =
    testList
        "Abstention"
        [ test "a withheld answer: no content, a refusal, a normal end, and the toolkit's keys say why" {
              serving never.Value (fun client ->
                  let response = json (post client "v1/chat/completions" (chat nano.Value.Name question ""))
                  let choice = firstChoice response
                  let message, toolkit = choice.GetProperty "message", response.GetProperty "toolkit"
                  Expect.isTrue (isNullAt "content" message) "no content"
                  Expect.equal ((message.GetProperty "refusal").GetString()) Abstention.NotSure "refusal"
                  Expect.equal ((choice.GetProperty "finish_reason").GetString()) "stop" "the clients of the protocol know it"
                  Expect.isTrue ((toolkit.GetProperty "abstained").GetBoolean()) "abstained"
                  Expect.isGreaterThan ((toolkit.GetProperty "cost").GetDouble()) 0.0 "what was asked has its cost"
                  let grade = $"""{{"id":"{(response.GetProperty "id").GetString()}","quality":1}}"""
                  Expect.equal (int (post client "v1/toolkit/feedback" grade).StatusCode) 404 "nothing to grade"
                  let stream = events (post client "v1/chat/completions" (chat nano.Value.Name question ""","stream":true"""))
                  let deltas =
                      [ for event in stream do
                            if event <> "[DONE]" then
                                match (JsonDocument.Parse event).RootElement.GetProperty "choices" with
                                | choices when choices.GetArrayLength() > 0 -> choices[0].GetProperty "delta"
                                | _ -> () ]
                  let texts =
                      [ for delta in deltas do
                            match delta.TryGetProperty "content" with
                            | true, text when text.GetString() <> "" -> text.GetString()
                            | _ -> () ]
                  Expect.isEmpty texts "nothing of the answer in the stream"
                  Expect.equal ((Seq.last deltas).GetProperty("refusal").GetString()) Abstention.NotSure "refusal in the stream"
                  let whole = json (post client "v1/completions" $"""{{"model":"{nano.Value.Name}","prompt":"{question}"}}""")
                  Expect.equal ((firstChoice whole).GetProperty("text").GetString()) "" "no text"
                  Thread.Sleep 400
                  Expect.equal (metric client "toolkit_abstentions_total" "") 3.0 "counted")
          }
          test "an answer that is sure enough is given as ever" {
              serving always.Value (fun client ->
                  let response = json (post client "v1/chat/completions" (chat nano.Value.Name question ""))
                  let message = (firstChoice response).GetProperty "message"
                  Expect.isGreaterThan (string (message.GetProperty("content").GetString())).Length 0 "content"
                  Expect.isTrue (isNullAt "refusal" message) "no refusal"
                  Expect.isFalse ((response.GetProperty "toolkit").GetProperty("abstained").GetBoolean()) "abstained")
          }
          test "IChatClient: no text, and the property says why" {
              for policy, withheld in [ never.Value, true; always.Value, false ] do
                  use client = new CascadeChatClient(AdaptiveCascade.From(local (), policy))
                  let answer = client.GetResponseAsync([ ChatMessage(ChatRole.User, question) ]).Result
                  let properties = nonNull answer.AdditionalProperties
                  Expect.equal (properties[CascadeChatClient.AbstainedKey] :?> bool) withheld "abstained"
                  Expect.equal (answer.Text = "") withheld "text"
          } ]
