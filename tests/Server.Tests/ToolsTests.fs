/// Tools and JSON: passed on to stages behind servers, streamed back, written by local stages with Qwen's template, and
/// refused where no stage can give them.
module Server.Tests.ToolsTests

open System
open System.Net.Http
open System.Text.Json
open Expecto
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Tokenization
open OptimalStopping.Server
open Server.Tests.MockProvider
open Server.Tests.ProviderTests
open Server.Tests.Servers

let private tools =
    """[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]"""

let private withTools = ",\"tools\":" + tools + ",\"tool_choice\":\"auto\",\"parallel_tool_calls\":false"

let private call (index: int) (id: string) (name: string) (arguments: string) =
    let head = if id = "" then "" else $"\"id\":\"{id}\",\"type\":\"function\","
    let named = if name = "" then "" else $"\"name\":\"{name}\","
    $"""{{"tool_calls":[{{"index":{index},{head}"function":{{{named}"arguments":{JsonSerializer.Serialize arguments}}}}}]}}"""

/// Two calls in pieces, with the log-probabilities of the first one's arguments.
let private calling (city: string) =
    stream
        [ chunk """{"role":"assistant","content":null}""" [] null
          chunk (call 0 "call_a" "weather" "") [] null
          chunk (call 0 "" "" ("{\"city\":")) [ token "{\"city\":" -0.1 [] ] null
          chunk (call 0 "" "" ($"\"{city}\"}}")) [ token city -0.3 [] ] null
          chunk (call 1 "call_b" "weather" """{"city":"Rome"}""") [] null
          chunk "{}" [] "tool_calls"
          usage ]

let private settings (p: MockProvider) = OpenAiSettings(p.Url, "q", Retries = 0)

let private two (early: MockProvider) (late: MockProvider) =
    [ stageAt 1 ChatMode.None (settings early); stageAt 2 ChatMode.None (settings late) ]

let private property (path: string list) (root: JsonElement) = List.fold (fun (e: JsonElement) (key: string) -> e.GetProperty key) root path

let private request (model: string) (more: string) = chat model "The weather in Oslo and Rome?" more

/// The calls of a message, as (id, name, arguments).
let private callsOf (message: JsonElement) =
    [ for c in (message.GetProperty "tool_calls").EnumerateArray() ->
          string (c.GetProperty "id"), string (property [ "function"; "name" ] c), string (property [ "function"; "arguments" ] c) ]

let private both = [ "call_a", "weather", """{"city":"Oslo"}"""; "call_b", "weather", """{"city":"Rome"}""" ]

[<Tests>]
let tests =
    testSequenced (
        testList
            "Tools"
            [ test "tools go to the server as they came, its calls come back, and their log-probabilities are the confidence" {
                  use early = new MockProvider(calling "Oslo")
                  use late = new MockProvider(second)
                  servingStages 1000.0 (two early late) (fun client ->
                      let whole = json (post client "v1/chat/completions" (request "remote" withTools))
                      let message = (choice whole).GetProperty "message"
                      Expect.equal (callsOf message) both "calls"
                      Expect.equal (message.GetProperty("content").ValueKind) JsonValueKind.Null "nothing was said"
                      Expect.equal (string ((choice whole).GetProperty "finish_reason")) "tool_calls" "end"
                      let sent = early.Bodies[0]
                      Expect.equal ((sent.GetProperty "tools").GetRawText()) tools "as it came"
                      Expect.equal (string (sent.GetProperty "tool_choice")) "auto" "choice"
                      Expect.isFalse ((sent.GetProperty "parallel_tool_calls").GetBoolean()) "parallel"
                      let alone = json (post client "v1/chat/completions" (request "m1" withTools))
                      let features = alone.GetProperty "signals"
                      Expect.floatClose
                          Accuracy.high
                          ((features.GetProperty "sum_log_probability").GetDouble())
                          -0.4
                          "the arguments' tokens"
                      Expect.equal late.Requests 0 "sure enough at this price")
              }
              test "streamed: the deltas joined are the calls, and each call's first piece has its id and name" {
                  use early = new MockProvider(calling "Oslo")
                  use late = new MockProvider(second)
                  servingStages 1000.0 (two early late) (fun client ->
                      for model in [ "remote"; "m1" ] do
                          let pieces =
                              [ for e in events (post client "v1/chat/completions" (request model (withTools + ",\"stream\":true"))) do
                                    if e <> "[DONE]" then
                                        for c in (JsonDocument.Parse(e).RootElement.GetProperty "choices").EnumerateArray() do
                                            match (c.GetProperty "delta").TryGetProperty "tool_calls" with
                                            | true, calls -> yield! calls.EnumerateArray()
                                            | _ -> () ]
                          let joined =
                              pieces
                              |> List.groupBy (fun p -> (p.GetProperty "index").GetInt32())
                              |> List.map (fun (_, own) ->
                                  string (own.Head.GetProperty "id"),
                                  string (property [ "function"; "name" ] own.Head),
                                  String.Concat [ for p in own -> string (property [ "function"; "arguments" ] p) ])
                          Expect.equal joined both model)
              }
              test "a call of a tool that does not exist, or without what it requires, is not an answer to stop at" {
                  for wrong in
                      [ call 0 "c" "wether" """{"city":"Oslo"}"""
                        call 0 "c" "weather" """{"town":"Oslo"}"""
                        call 0 "c" "weather" """{"city":"Os""" ] do
                      use early = new MockProvider(stream [ chunk wrong [ token "x" -0.01 [] ] null; chunk "{}" [] "tool_calls"; usage ])
                      use late = new MockProvider(calling "Oslo")
                      let cascade = new Cascade(cascadeFile.Value, List.toArray (two early late))
                      let form = AnswerForm(Tools = [| for t in JsonDocument.Parse(tools).RootElement.EnumerateArray() -> t |])
                      let answer =
                          AdaptiveCascade(cascade, (fun _ _ -> 0.9), stopAboveHalf)
                              .AnswerAsync(StageRequest(StagePrompt.FromQuestion "Weather?", Form = form))
                              .AsTask()
                              .Result
                      Expect.equal [ for t in answer.Turns -> t.Confidence ] [ 0.0; 0.9 ] wrong
                      Expect.equal answer.Chosen.Reply.ToolCalls.Count 2 "the later stage's calls"
              }
              test "results of tools and earlier thinking go on to the server" {
                  use early = new MockProvider(good)
                  use late = new MockProvider(second)
                  servingStages 1000.0 (two early late) (fun client ->
                      let messages =
                          """[{"role":"user","content":"Weather in Oslo?"},{"role":"assistant","content":null,"reasoning_content":"look it up","tool_calls":[{"id":"call_a","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]},{"role":"tool","tool_call_id":"call_a","content":"rain"}]"""
                      let body = $"""{{"model":"remote","messages":{messages}{withTools}}}"""
                      let whole = json (post client "v1/chat/completions" body)
                      Expect.equal (contentOf whole) "4 is it" "answered"
                      let sent = [ for m in (early.Bodies[0].GetProperty "messages").EnumerateArray() -> m ]
                      Expect.equal (callsOf sent[1]) [ "call_a", "weather", """{"city":"Oslo"}""" ] "the call"
                      Expect.equal (string (sent[1].GetProperty "reasoning_content")) "look it up" "the thinking"
                      Expect.equal
                          (string (sent[2].GetProperty "tool_call_id"), string (sent[2].GetProperty "content"))
                          ("call_a", "rain")
                          "result")
              }
              test "JSON: passed on, and an answer that is none, or lacks a key, does not end the climb" {
                  let answering (text: string) = stream [ piece text; last; usage ]
                  let schema =
                      ""","response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object","required":["n"]}}}"""
                  use early = new MockProvider(answering """{"m":1}""")
                  use late = new MockProvider(answering """{"n":4}""")
                  servingStages 0.001 (two early late) (fun client ->
                      let whole = json (post client "v1/chat/completions" (chat "remote" "2+2?" schema))
                      Expect.equal (string (property [ "response_format"; "type" ] early.Bodies[0])) "json_schema" "as it came"
                      Expect.equal (contentOf whole) """{"n":4}""" "the answer with the key"
                      let turns =
                          [ for t in (property [ "toolkit"; "turns" ] whole).EnumerateArray() -> (t.GetProperty "confidence").GetDouble() ]
                      Expect.equal turns[0] 0.0 "without the key it cannot be right")
              }
              test "a stage that cannot is passed over; a server that refuses tools too" {
                  use early = new MockProvider(refuse 400 [] """{"error":{"message":"tools are not supported","param":"tools"}}""")
                  use late = new MockProvider(calling "Oslo")
                  servingStages 1000.0 (two early late) (fun client ->
                      let whole = json (post client "v1/chat/completions" (request "remote" withTools))
                      Expect.equal (callsOf ((choice whole).GetProperty "message")) both "the next stage's calls"
                      let failure = (property [ "toolkit"; "failures" ] whole).EnumerateArray() |> Seq.head
                      Expect.stringContains (string (failure.GetProperty "message")) "tools are not supported" "its own words")
                  let plain = OpenAiSettings(early.Url, "q", Api = OpenAiApi.Completions)
                  servingStages 1000.0 [ stageAt 1 ChatMode.None plain; stageAt 2 ChatMode.None (settings late) ] (fun client ->
                      let before = early.Requests
                      let whole = json (post client "v1/chat/completions" (request "remote" withTools))
                      Expect.equal (callsOf ((choice whole).GetProperty "message")) both "the only stage that can"
                      Expect.equal early.Requests before "the other was not asked"
                      let refused = post client "v1/chat/completions" (request "m1" withTools)
                      Expect.equal (int refused.StatusCode) 400 "by itself it is refused"
                      Expect.equal (string (property [ "error"; "param" ] (json refused))) "tools" "param")
              }
              test "what a Qwen model writes as calls is taken out of its text; a block that is no call stays" {
                  let split (text: string) =
                      let struct (said, calls) = WrittenToolCalls.Split text
                      said, [ for c in calls -> c.Name, c.Arguments ]
                  Expect.equal
                      (split
                          "Let me look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>\n<tool_call>\n{\"name\":\"now\",\"arguments\":{}}\n</tool_call>")
                      ("Let me look.", [ "weather", "{\"city\": \"Oslo\"}"; "now", "{}" ])
                      "two calls"
                  for text in
                      [ "plain"
                        "<tool_call>\nnot json\n</tool_call>"
                        "<tool_call>{\"name\":\"f\"}</tool_call>"
                        "<tool_call>{\"name\":\"f\",\"arguments\":{}}"
                        "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call> and more" ] do
                      Expect.equal (split text) (text, []) text
              }
              test "a local stage reads tools and their results through its chat template, and is free to answer without them" {
                  use cascade = Cascade.Load(CascadeFile.Load(repositoryFile "configs/miniature.yaml"))
                  let stage = cascade.Stages[0] :?> LocalStage
                  let described = [| for t in JsonDocument.Parse(tools).RootElement.EnumerateArray() -> t |]
                  let prompt =
                      StagePrompt.FromMessages
                          [| StageMessage("user", "What is the capital of Norway?")
                             StageMessage("assistant", "", ToolCalls = [| ToolCall("c", "weather", """{"city":"Oslo"}""") |])
                             StageMessage("tool", "rain", ToolCallId = "c") |]
                  let read = (stage.Tokenizer :?> QwenTokenizer).Decode(ReadOnlySpan(stage.Encode(prompt, described)), keepSpecial = true)
                  for part in
                      [ "<tools>\n{\"type\": \"function\""
                        "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>"
                        "<tool_response>\nrain\n</tool_response>" ] do
                      Expect.stringContains read part "the template's words"
                  let asked (form: AnswerForm) = StageRequest(prompt, Form = form)
                  let choice (json: string) = Nullable(JsonDocument.Parse(json).RootElement)
                  let can form = (stage :> IStage).CanAnswer(asked form)
                  Expect.isTrue (can (AnswerForm(Tools = described, ToolChoice = choice "\"auto\""))) "auto"
                  Expect.isFalse (can (AnswerForm(Tools = described, ToolChoice = choice "\"required\""))) "nothing forces a call"
                  Expect.isFalse (can (AnswerForm(ResponseFormat = choice """{"type":"json_object"}"""))) "nor JSON"
                  let records = CascadeRecords.Load(nonNull cascade.File.CalibrationTrace)
                  let server = CascadeServer.StartAsync(cascade.Share(), records, null, 0.01, options).GetAwaiter().GetResult()
                  try
                      use client = new HttpClient(BaseAddress = server.Address)
                      let body more = chat "miniature" "What is the capital of Norway?" more
                      let whole = json (post client "v1/chat/completions" (body withTools))
                      Expect.equal
                          (string ((Server.Tests.ProviderTests.choice whole).GetProperty "finish_reason"))
                          "stop"
                          "answered in words"
                      Expect.equal (streamed client (body (withTools + ",\"stream\":true"))) (contentOf whole) "streamed"
                  finally
                      server.DisposeAsync().AsTask().Wait()
              }
              test
                  "clients that others publish: text, streams, tools, JSON, errors, cancellation (openai 7 and 4, ai-sdk, langchain, llamaindex)" {
                  let answering (text: string) = stream [ piece text; last; usage ]
                  let script: Script =
                      fun context body number ->
                          let messages = [ for m in (body.GetProperty "messages").EnumerateArray() -> m ]
                          let final = List.last messages
                          let answer =
                              if (string (final.GetProperty "content")).Contains "hang" then
                                  hang [ piece "4" ]
                              elif string (final.GetProperty "role") = "tool" then
                                  answering "It rains."
                              elif fst (body.TryGetProperty "tools") then
                                  stream
                                      [ chunk (call 0 "call_a" "weather" "") [] null
                                        chunk (call 0 "" "" """{"city":"Oslo"}""") [ token "Oslo" -0.1 [] ] null
                                        chunk "{}" [] "tool_calls"
                                        usage ]
                              elif fst (body.TryGetProperty "response_format") then
                                  answering """{"n":4}"""
                              else
                                  good
                          answer context body number
                  use early = new MockProvider(script)
                  use late = new MockProvider(script)
                  servingStages 0.01 (two early late) (fun client ->
                      let printed = Support.Node.script "matrix.mjs" [ (nonNull client.BaseAddress).AbsoluteUri ]
                      let held = printed.Split('\n') |> Array.filter (fun line -> line.StartsWith "ok ") |> Array.length
                      Expect.equal held 33 printed)
              }
              test "metadata.dataset is the request's dataset" {
                  let parse (body: string) = OpenAiRequest.Parse(JsonDocument.Parse(body).RootElement, true)
                  let dataset (more: string) = (parse (request "m" more)).Stage.Dataset
                  Expect.equal (dataset ",\"metadata\":{\"dataset\":\"law\",\"x\":\"y\"}") "law" "named"
                  Expect.isNull (dataset ",\"metadata\":{}") "not named"
                  Expect.isNull (dataset "") "nothing"
              } ]
    )
