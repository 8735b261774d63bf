/// The wire format against the protocol's published shapes, and everything that is refused.
module Server.Tests.ProtocolTests

open System
open System.Net.Http
open System.Text
open System.Text.Json
open System.Threading.Tasks
open Expecto
open OptimalStopping.Server
open Server.Tests.Servers

// Keys and JSON types of the published reference (https://platform.openai.com/docs/api-reference), as "key:type" with
// "?" for null allowed.
let private completion = [ "id:String"; "object:String"; "created:Number"; "model:String"; "choices:Array"; "usage:Object" ]
let private chatChoice = [ "index:Number"; "message:Object"; "logprobs:Object?"; "finish_reason:String" ]
let private legacyChoice = [ "index:Number"; "text:String"; "logprobs:Object?"; "finish_reason:String" ]
let private message = [ "role:String"; "content:String"; "refusal:String?" ]
let private usage = [ "prompt_tokens:Number"; "completion_tokens:Number"; "total_tokens:Number" ]
let private chatToken = [ "token:String"; "logprob:Number"; "bytes:Array"; "top_logprobs:Array" ]
let private legacyLogprobs = [ "tokens:Array"; "token_logprobs:Array"; "top_logprobs:Array"; "text_offset:Array" ]
let private chunk = [ "id:String"; "object:String"; "created:Number"; "model:String"; "choices:Array" ]
let private chunkChoice = [ "index:Number"; "delta:Object"; "logprobs:Object?"; "finish_reason:String?" ]
let private model = [ "id:String"; "object:String"; "created:Number"; "owned_by:String" ]
let private error = [ "message:String"; "type:String"; "param:String?"; "code:String?" ]

let private shaped (name: string) (shape: string list) (value: JsonElement) =
    for entry in shape do
        let key, kind = entry.Split(':')[0], entry.Split(':')[1]
        let found, field = value.TryGetProperty key
        Expect.isTrue found $"{name}.{key} in {value}"
        let actual = string field.ValueKind
        Expect.isTrue (actual = kind.TrimEnd '?' || (kind.EndsWith '?' && actual = "Null")) $"{name}.{key} is {kind}, got {actual}"

let private p (name: string) (value: JsonElement) = value.GetProperty name
let private str (value: JsonElement) = value.GetString() |> nonNull
let private items (value: JsonElement) = [ for item in value.EnumerateArray() -> item ]

let private refused (client: HttpClient) (code: int) (parameter: string | null) (says: string) (path: string) (body: string) =
    let response = post client path body
    Expect.equal (int response.StatusCode) code $"{body} gave {text response}"
    let fault = p "error" (json response)
    shaped "error" error fault
    Expect.stringContains (str (p "message" fault)) says body
    Expect.equal ((p "param" fault).GetString()) parameter $"param of {body}"

[<Tests>]
let tests =
    testSequenced (
        testList
            "Protocol"
            [ test "shapes of answers, whole and streamed, and of models" {
                  serving (local ()) options (fun _ client ->
                      let whole =
                          json (post client "v1/chat/completions" (chat "nano" "add 12+34=" ""","logprobs":true,"top_logprobs":3"""))
                      shaped "completion" completion whole
                      Expect.equal (str (p "object" whole)) "chat.completion" "object"
                      let choice = (p "choices" whole)[0]
                      shaped "choice" chatChoice choice
                      shaped "message" message (p "message" choice)
                      shaped "usage" usage (p "usage" whole)
                      let tokens = items (p "content" (p "logprobs" choice))
                      for token in tokens do
                          shaped "token" chatToken token
                          Expect.equal (p "top_logprobs" token).ValueKind JsonValueKind.Array "top"
                          Expect.equal ((p "top_logprobs" token).GetArrayLength()) 3 "as many as asked for"
                      Expect.equal
                          (String.Concat [ for t in tokens -> str (p "token" t) ])
                          (str (p "content" (p "message" choice)))
                          "tokens are the text"
                      let stages = items (p "stages" (p "usage" whole))
                      Expect.equal
                          (stages |> List.sumBy (fun s -> (p "completion_tokens" s).GetInt32()))
                          ((p "completion_tokens" (p "usage" whole)).GetInt32())
                          "usage is the sum over stages"

                      let chunks =
                          events (
                              post
                                  client
                                  "v1/chat/completions"
                                  (chat "nano" "add 12+34=" ""","stream":true,"stream_options":{"include_usage":true}""")
                          )
                      Expect.equal (List.last chunks) "[DONE]" "end"
                      let parsed = [ for c in chunks[.. chunks.Length - 2] -> JsonDocument.Parse(c).RootElement ]
                      for c in parsed do
                          shaped "chunk" chunk c
                          Expect.equal (str (p "object" c)) "chat.completion.chunk" "object"
                          for choice in items (p "choices" c) do
                              shaped "chunk choice" chunkChoice choice
                      Expect.equal (parsed |> List.map (fun c -> str (p "id" c)) |> List.distinct |> List.length) 1 "one id"
                      let first = (p "choices" parsed[0])[0]
                      Expect.equal (str (p "role" (p "delta" first))) "assistant" "the first chunk names the role"
                      let content =
                          String.Concat
                              [ for c in parsed do
                                    for choice in items (p "choices" c) do
                                        match (p "delta" choice).TryGetProperty "content" with
                                        | true, content -> str content
                                        | _ -> () ]
                      Expect.equal content (str (p "content" (p "message" choice))) "the stream is the answer"
                      let last = List.last parsed
                      Expect.equal ((p "choices" last).GetArrayLength()) 0 "the usage stands alone"
                      shaped "usage" usage (p "usage" last)
                      Expect.isTrue
                          (parsed[.. parsed.Length - 2] |> List.forall (fun c -> (p "usage" c).ValueKind = JsonValueKind.Null))
                          "null before"

                      let legacy = json (post client "v1/completions" """{"model":"nano","prompt":"add 12+34=","logprobs":2}""")
                      shaped "completion" completion legacy
                      Expect.equal (str (p "object" legacy)) "text_completion" "object"
                      let choice = (p "choices" legacy)[0]
                      shaped "choice" legacyChoice choice
                      let logprobs = p "logprobs" choice
                      shaped "logprobs" legacyLogprobs logprobs
                      Expect.equal (String.Concat [ for t in items (p "tokens" logprobs) -> str t ]) (str (p "text" choice)) "tokens"

                      let list = json (get client "v1/models")
                      Expect.equal (str (p "object" list)) "list" "list"
                      for m in items (p "data" list) do
                          shaped "model" model m
                      Expect.equal
                          [ for m in items (p "data" list) -> str (p "id" m) ]
                          [ "nano"; "nano-1"; "nano-2"; "nano-3"; "nano-4" ]
                          "models"
                      shaped "model" model (json (get client "v1/models/nano-2")))
              }
              test "an echo scores the prompt: the same log-probabilities as writing it" {
                  serving (local ()) options (fun _ client ->
                      let written = json (post client "v1/completions" """{"model":"nano-3","prompt":"sort 312=","logprobs":1}""")
                      let choice = (p "choices" written)[0]
                      let text = str (p "text" choice)
                      let scored =
                          json (
                              post
                                  client
                                  "v1/completions"
                                  $"""{{"model":"nano-3","prompt":"sort 312={text}","logprobs":1,"echo":true,"max_tokens":0,"prompt_logprobs":1}}"""
                          )
                      let echoed = (p "choices" scored)[0]
                      Expect.equal (str (p "text" echoed)) ("sort 312=" + text) "text"
                      let values list =
                          [ for v in items (p "token_logprobs" (p "logprobs" list)) ->
                                if v.ValueKind = JsonValueKind.Null then nan else v.GetDouble() ]
                      let own, echo = values choice, (values echoed)
                      Expect.isTrue (Double.IsNaN echo[0]) "nothing before the first"
                      for a, b in List.zip own (echo |> List.skip 9) do
                          Expect.floatClose Accuracy.medium b a "log-probability"
                      for entry in items (p "prompt_logprobs" echoed) |> List.skip 9 do
                          Expect.equal
                              ((Seq.head (entry.EnumerateObject())).Value.GetProperty("rank").GetInt32())
                              1
                              "greedy: every token is the likeliest")
              }
              test "what is refused, with status, place and words" {
                  serving (local ()) options (fun _ client ->
                      let bad = refused client 400
                      let chats = "v1/chat/completions"
                      let message = ""","messages":[{"role":"user","content":"x"}]"""
                      bad null "body: expected JSON" chats "{"
                      bad null "body: expected a JSON object" chats "[]"
                      bad "model" "expected the name of a model" chats """{"messages":[]}"""
                      bad "messages" "at least one message" chats """{"model":"nano","messages":[]}"""
                      bad "messages[0].role" "got 'robot'" chats """{"model":"nano","messages":[{"role":"robot","content":"x"}]}"""
                      bad
                          "messages[0].content"
                          "of the type 'text'"
                          chats
                          """{"model":"nano","messages":[{"role":"user","content":[{"type":"image_url"}]}]}"""
                      bad
                          null
                          "no chat template"
                          chats
                          """{"model":"nano","messages":[{"role":"system","content":"x"},{"role":"user","content":"x"}]}"""
                      bad null "prompt:1: expected a character of the cascade's alphabet" chats (chat "nano" "Ü" "")
                      bad null "expected at least one character" chats (chat "nano" "" "")
                      for key, value in
                          [ "tool_choice", "\"required\""
                            "modalities", "[\"text\",\"audio\"]"
                            "repetition_penalty", "1.1"
                            "guided_json", "{\"type\":\"object\"}"
                            "stop_token_ids", "[1]"
                            "suffix", "\"x\""
                            "min_tokens", "5"
                            "presence_penalty", "1" ] do
                          bad key key chats ("{\"model\":\"nano\",\"" + key + "\":" + value + message + "}")
                      bad "n" "one choice" chats ("{\"model\":\"nano\",\"n\":2" + message + "}")
                      bad "tools[0]" "with a name" chats ("{\"model\":\"nano\",\"tools\":[{}]" + message + "}")
                      for model in [ "nano"; "nano-2" ] do
                          bad
                              "tools"
                              "expected a stage that can honour it, got none"
                              chats
                              ("{\"model\":\""
                               + model
                               + "\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
                               + message
                               + "}")
                          bad
                              "response_format"
                              "expected a stage that can honour it, got none"
                              chats
                              ("{\"model\":\"" + model + "\",\"response_format\":{\"type\":\"json_object\"}" + message + "}")
                      bad
                          "response_format"
                          "json_schema"
                          chats
                          ("{\"model\":\"nano\",\"response_format\":{\"type\":\"xml\"}" + message + "}")
                      bad "lambda" "one of its stages" chats ("{\"model\":\"nano-1\",\"lambda\":1" + message + "}")
                      bad "stop" "not empty" chats ("{\"model\":\"nano\",\"stop\":\"\"" + message + "}")
                      bad "metadata" "an object" chats ("{\"model\":\"nano\",\"metadata\":7" + message + "}")
                      bad
                          "messages[0].tool_call_id"
                          "expected the id"
                          chats
                          """{"model":"nano","messages":[{"role":"tool","content":"x"}]}"""
                      bad "tools" "chat/completions only" "v1/completions" """{"model":"nano","prompt":"x","tools":[]}"""
                      bad "temperature" "from 0 to 2" chats ("{\"model\":\"nano\",\"temperature\":3" + message + "}")
                      bad "lambda" "from 0" chats ("{\"model\":\"nano\",\"lambda\":-1" + message + "}")
                      bad "quality_target" "got both" chats ("{\"model\":\"nano\",\"lambda\":1,\"quality_target\":0.5" + message + "}")
                      bad
                          "quality_target"
                          "what calibration expects at any price"
                          chats
                          ("{\"model\":\"nano\",\"quality_target\":1" + message + "}")
                      bad "top_logprobs" "logprobs: true" chats ("{\"model\":\"nano\",\"top_logprobs\":1" + message + "}")
                      bad "stream_options" "stream: true" chats ("{\"model\":\"nano\",\"stream_options\":{}" + message + "}")
                      for stop in [ "\"\""; "[\"a\",\"\"]" ] do
                          bad "stop" "a text that is not empty" chats ("{\"model\":\"nano\",\"stop\":" + stop + message + "}")
                      bad "stop" "at most 4" chats ("{\"model\":\"nano\",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]" + message + "}")
                      bad "max_tokens" "of at least 1" chats ("{\"model\":\"nano\",\"max_tokens\":0" + message + "}")
                      bad "echo" "expected a stage" "v1/completions" """{"model":"nano","prompt":"x","echo":true}"""
                      bad "prompt" "one text" "v1/completions" """{"model":"nano","prompt":["a","b"]}"""
                      refused client 404 "model" "nano-1, nano-2" chats (chat "gpt-4" "x" "")
                      refused client 404 null "no such place" "v1/embeddings" "{}"
                      refused client 404 "id" "ungraded responses" "v1/toolkit/feedback" """{"id":"chatcmpl-none","quality":1}"""
                      refused client 400 "quality" "from 0 to 1" "v1/toolkit/feedback" """{"id":"x","quality":2}"""
                      Expect.equal (int (get client "v1/chat/completions").StatusCode) 405 "method"
                      let plain =
                          client
                              .PostAsync("v1/chat/completions", new StringContent(chat "nano" "x" "", Encoding.UTF8, "text/plain"))
                              .Result
                      Expect.equal (int plain.StatusCode) 415 "a form of another site cannot post"
                      let ignored =
                          json (post client chats (chat "nano" "add 1+1=" ""","temperature":0.7,"seed":3,"frequency_penalty":null"""))
                      Expect.equal
                          [ for name in items (p "ignored" (p "toolkit" ignored)) -> str name ]
                          [ "temperature"; "seed" ]
                          "what changes nothing is named")
              }
              test "keys, limits of size, security headers" {
                  serving (local ()) (ServeOptions(Port = 0, Keys = [| "one"; "two" |], BodyLimit = 300L)) (fun _ client ->
                      Expect.equal (int (get client "healthz").StatusCode) 200 "health needs no key"
                      use head = new HttpRequestMessage(HttpMethod.Head, "healthz")
                      Expect.equal (int (client.Send head).StatusCode) 200 "HEAD"
                      for path in [ "v1/models"; "metrics"; "metrics/"; "Metrics" ] do
                          Expect.equal (int (get client path).StatusCode) 401 path
                      refused client 401 null "got none" "v1/chat/completions" (chat "nano" "x" "")
                      client.DefaultRequestHeaders.Authorization <- Headers.AuthenticationHeaderValue("Bearer", "three")
                      refused client 401 null "got another" "v1/chat/completions" (chat "nano" "x" "")
                      client.DefaultRequestHeaders.Authorization <- Headers.AuthenticationHeaderValue("Bearer", "two")
                      Expect.equal (int (post client "v1/chat/completions" (chat "nano" "add 1+1=" "")).StatusCode) 200 "known"
                      Expect.equal (int (post client "v1/chat/completions" (chat "nano" (String('1', 400)) "")).StatusCode) 413 "too large"
                      let page = get client ""
                      Expect.stringContains (text page) "page.js" "the page"
                      Expect.stringContains (Seq.head (page.Headers.GetValues "Content-Security-Policy")) "default-src 'none'" "policy"
                      for path in [ "../configs/nano.yaml"; "%2e%2e/configs/nano.yaml"; "page.cs" ] do
                          Expect.equal (int (get client path).StatusCode) 404 path)
              }
              test "a full queue refuses with 429 and says when to come again; those who wait are served" {
                  serving (local ()) (ServeOptions(Port = 0, Concurrency = 1, Queue = 2)) (fun _ client ->
                      let asked =
                          [| for _ in 1..40 ->
                                 client.PostAsync(
                                     "v1/chat/completions",
                                     new StringContent(chat "nano" "mul 47*6=" ""","lambda":0""", Encoding.UTF8, "application/json")
                                 ) |]
                      let answers = Task.WhenAll(asked).Result
                      let codes = answers |> Array.countBy (fun r -> int r.StatusCode) |> Map.ofArray
                      Expect.equal (Map.keys codes |> Seq.toList |> List.sort) [ 200; 429 ] "served or refused"
                      for r in answers do
                          if int r.StatusCode = 429 then
                              Expect.isGreaterThanOrEqual (r.Headers.RetryAfter |> nonNull).Delta.Value.TotalSeconds 1.0 "Retry-After"
                              Expect.equal (str (p "code" (p "error" (json r)))) "rate_limit_exceeded" "code"
                      Expect.equal (int (metric client "toolkit_requests_total" "status=\"429\"")) codes[429] "the metrics say so")
              }
              test "lambda and target of quality choose; the metrics count" {
                  serving (local ()) options (fun _ client ->
                      let ask more = p "toolkit" (json (post client "v1/chat/completions" (chat "nano" "mul 47*6=" more)))
                      let dear, cheap = ask ""","lambda":0""", ask ""","lambda":1000"""
                      Expect.isGreaterThan ((p "cost" dear).GetDouble()) ((p "cost" cheap).GetDouble()) "a price of cost lowers it"
                      Expect.equal (str (p "stage" cheap)) "nano-1" "the cheapest"
                      Expect.equal (str (p "policy" (ask ""","quality_target":0.9"""))) "quality_target" "policy"
                      let turns = items (p "turns" dear)
                      Expect.equal
                          (turns |> List.sumBy (fun t -> (p "cost" t).GetDouble()))
                          ((p "cost" dear).GetDouble())
                          "cost is the sum of the turns"
                      Expect.equal (metric client "toolkit_stops_total" "") 3.0 "stops"
                      Expect.isGreaterThan (metric client "toolkit_cost_total" "") 0.0 "cost"
                      Expect.equal (metric client "toolkit_overhead_seconds_count" "") 3.0 "overhead"
                      for name in
                          [ "toolkit_stage_answers_total"
                            "toolkit_tokens_total"
                            "toolkit_confidence_count"
                            "toolkit_quality_guarantee"
                            "toolkit_queue_wait_seconds_count" ] do
                          Expect.isGreaterThan (metric client name "") 0.0 name)
              }
              test "a stream on which a stage is slow to begin: comments first, then the whole answer or the error" {
                  serving (local ()) (ServeOptions(Port = 0, KeepAlive = TimeSpan.FromTicks 1L)) (fun _ client ->
                      let content prompt =
                          String.Concat
                              [ for c in
                                    events (post client "v1/completions" $"""{{"model":"nano-4","prompt":"{prompt}","stream":true}}""") do
                                    if c <> "[DONE]" then
                                        for choice in items (p "choices" (JsonDocument.Parse(c).RootElement)) -> str (p "text" choice) ]
                      let first = (p "choices" (json (post client "v1/completions" """{"model":"nano-4","prompt":"mul 47*6="}"""))).[0]
                      let whole = str (p "text" first)
                      let raw = ResizeArray<string>()
                      for _ in 1..10 do
                          let response = post client "v1/completions" """{"model":"nano-4","prompt":"mul 47*6=","stream":true}"""
                          raw.Add(text response)
                      Expect.isTrue (raw |> Seq.exists (fun t -> t.Contains ": still at it")) "a comment"
                      Expect.isTrue (raw |> Seq.forall (fun t -> t.EndsWith "data: [DONE]\n\n")) "to the end"
                      Expect.equal (content "mul 47*6=") whole "the answer"
                      let fault = text (post client "v1/completions" """{"model":"nano-4","prompt":"Ü","stream":true}""")
                      Expect.stringContains
                          fault
                          "expected a character of the cascade's alphabet"
                          "an error, as a status or inside the stream"
                      Expect.equal (metric client "toolkit_requests_total" "status=\"500\"") 0.0 "no failure of the server")
              }
              test "events tell the climb: stages, tokens, confidence against threshold" {
                  serving (local ()) options (fun _ client ->
                      let chunks =
                          [ for c in
                                events (
                                    post
                                        client
                                        "v1/chat/completions"
                                        (chat "nano" "add 963+447=" ""","stream":true,"toolkit_events":true""")
                                ) do
                                if c <> "[DONE]" then JsonDocument.Parse(c).RootElement ]
                      let told =
                          [ for c in chunks do
                                match c.TryGetProperty "toolkit_event" with
                                | true, e -> e
                                | _ -> () ]
                      let kinds kind = told |> List.filter (fun e -> str (p "kind" e) = kind)
                      let toolkit =
                          chunks
                          |> List.pick (fun c ->
                              match c.TryGetProperty "toolkit" with
                              | true, t -> Some t
                              | _ -> None)
                      let turns = items (p "turns" toolkit)
                      Expect.equal [ for e in kinds "stage_answered" -> str (p "stage" e) ] [ for t in turns -> str (p "stage" t) ] "turns"
                      for e in kinds "stage_answered" do
                          let own =
                              String.Concat
                                  [ for t in kinds "token" do
                                        if str (p "stage" t) = str (p "stage" e) then str (p "text" t) ]
                          Expect.equal own (str (p "text" e)) "tokens"
                          let stopped = str (p "stage" e) = str (p "stage" toolkit)
                          match (p "threshold" e).ValueKind with
                          | JsonValueKind.Null -> Expect.isFalse stopped "goes on at any confidence"
                          | _ ->
                              Expect.equal
                                  ((p "confidence" e).GetDouble() >= (p "threshold" e).GetDouble() - 0.005)
                                  stopped
                                  "confidence against threshold")
              } ]
    )
