/// What providers do that no specification says: each behaviour with what the client sees and what the metrics say. The
/// table of docs/server.md is written from this list.
module Server.Tests.ProviderTests

open System
open System.IO
open System.Text.Json
open System.Threading.Tasks
open Expecto
open Microsoft.AspNetCore.Http
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Tokenization
open OptimalStopping.Server
open Support
open Server.Tests.MockProvider
open Server.Tests.Servers

/// What the client sees: the answer of the stage itself, or that of the next stage after a failure of this kind, whose
/// message holds these words.
type private Seen =
    | Own of text: string
    | Next of kind: string * words: string

type private Behaviour = { Name: string; Script: Script; Settings: OpenAiSettings -> OpenAiSettings; Chat: ChatMode; Seen: Seen }

let private behaviour name seen script = { Name = name; Script = script; Settings = id; Chat = ChatMode.None; Seen = seen }

let private with' change b = { b with Settings = change }

let private answer = Own "4 is it"

let private invalid words = Next("invalid_response", words)

let private legacy (text: string) (tokens: string) (finish: string) =
    $"""{{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{{"index":0,"text":{JsonSerializer.Serialize text},"logprobs":{tokens},"finish_reason":{finish}}}]}}"""

let private completions (s: OpenAiSettings) = OpenAiSettings(s.Url, s.Model, Api = OpenAiApi.Completions)

/// Answers well if the request is as this says, else 400.
let private ifRequest (fits: JsonElement -> bool) : Script =
    fun context body number ->
        if fits body then
            good context body number
        else
            refuse 400 [] """{"error":{"message":"unexpected request","param":"max_tokens"}}""" context body number

let private has (body: JsonElement) (key: string) = fst (body.TryGetProperty key)

let private behaviours =
    [ behaviour "a stream with log-probabilities and usage" answer good
      behaviour
          "the end token reported beside empty content"
          answer
          (stream [ piece "4 is it"; chunk (content "") [ token "<|im_end|>" -0.2 [] ] "stop"; usage ])
      behaviour
          "special tokens among the log-probabilities, not in the content"
          answer
          (stream
              [ chunk (content "4 is it") [ token "<|im_start|>" -0.1 []; token "4 is it" -0.1 []; token "<|im_end|>" -0.1 [] ] null; last ])
      behaviour
          "a character that spans tokens, as bytes"
          (Own "é!")
          (stream
              [ chunk
                    (content "")
                    [ """{"token":"\ufffd","logprob":-0.1,"bytes":[195],"top_logprobs":[{"token":"\ufffd","logprob":-0.1,"bytes":[195]}]}""" ]
                    null
                chunk
                    (content "é")
                    [ """{"token":"\ufffd","logprob":-0.2,"bytes":[169],"top_logprobs":[{"token":"\ufffd","logprob":-0.2,"bytes":[169]},{"token":"\ufffd","logprob":-4,"bytes":[170]}]}""" ]
                    null
                piece "!"
                last ])
      behaviour
          "a character that spans tokens, as text like bytes:\\xc3"
          (Own "é")
          (stream
              [ chunk
                    (content "é")
                    [ """{"token":"bytes:\\xc3","logprob":-0.1,"top_logprobs":[]}"""
                      """{"token":"bytes:\\xa9","logprob":-0.1,"top_logprobs":[]}""" ]
                    null
                last ])
      behaviour
          "thinking in reasoning_content, with log-probabilities of its own"
          answer
          (stream [ chunk """{"reasoning_content":"hmm"}""" [ token "hmm" -5.0 [] ] null; piece "4 is it"; last ])
      behaviour
          "thinking inside the content"
          answer
          (stream [ piece "<thi"; piece "nk>so"; piece "</think>"; piece "\n\n4 is"; piece " it"; last ])
      behaviour
          "the other shape of log-probabilities on /completions (llama.cpp)"
          answer
          (stream [ legacy "4 is it" ("{\"content\":[" + token "4 is it" -0.1 [] + "]}") "null"; legacy "" "null" "\"stop\"" ])
      |> with' completions
      behaviour
          "/completions as OpenAI defined it"
          answer
          (stream
              [ legacy
                    "4 is it"
                    """{"tokens":["4"," is it"],"token_logprobs":[-0.1,-0.2],"top_logprobs":[{"4":-0.1},{" is it":-0.2}]}"""
                    "null"
                legacy "" "null" "\"stop\"" ])
      |> with' completions
      behaviour
          "one JSON object where a stream was asked for"
          answer
          (raw
              "application/json"
              ("{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"4 is it\"},\"logprobs\":{\"content\":["
               + token "4 is it" -0.1 []
               + "]},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}"))
      behaviour "no usage chunk" answer (stream [ piece "4 is it"; last ])
      behaviour
          "comments, other events and empty data between the chunks"
          answer
          (raw "text/event-stream" (": hi\n\n" + event (piece "4 is it") + "event: ping\ndata:\n\n" + event last + "data: [DONE]\n\n"))
      behaviour
          "lines that end in CR LF, and no [DONE]"
          answer
          (raw "text/event-stream" ((event (piece "4 is it") + event last).Replace("\n", "\r\n")))
      behaviour "null where text is expected" answer (stream [ chunk """{"role":null,"content":null}""" [] null; piece "4 is it"; last ])
      behaviour
          "finish_reason twice, and unknown keys"
          answer
          (stream [ piece "4 is it"; last; last.Replace("{\"id\"", "{\"x_extra\":[1],\"id\"") ])
      behaviour
          "a server that knows max_tokens only"
          answer
          (ifRequest (fun body -> has body "max_tokens" && not (has body "max_completion_tokens")))
      behaviour
          "a server that knows max_completion_tokens only (limit_key)"
          answer
          (ifRequest (fun body -> not (has body "max_tokens") && has body "max_completion_tokens"))
      |> with' (fun s -> OpenAiSettings(s.Url, s.Model, LimitKey = "max_completion_tokens"))
      { behaviour
            "a chat template that is to be told not to think (chat: direct)"
            answer
            (ifRequest (fun body ->
                has body "chat_template_kwargs"
                && not (body.GetProperty("chat_template_kwargs").GetProperty("enable_thinking").GetBoolean()))) with
          Chat = ChatMode.Direct }
      behaviour "429 with Retry-After: 0, then an answer" answer (first 1 (refuse 429 [ "Retry-After", "0" ] "{}") good)
      behaviour "503 twice, then an answer" answer (first 2 (refuse 503 [] "overloaded") good)
      behaviour "a connection that breaks once" answer (first 1 (cut [ piece "4" ]) good)
      behaviour "an error event before any text, then an answer" answer (first 1 (stream [ """{"error":{"message":"warming up"}}""" ]) good)
      behaviour "no log-probabilities, and confidence from the text" answer (stream [ chunk (content "4 is it") [] null; last ])
      |> with' (fun s -> OpenAiSettings(s.Url, s.Model, Confidence = ConfidenceSource.Text))
      behaviour "no log-probabilities, and confidence from samples" answer (stream [ chunk (content "4 is it") [] null; last ])
      |> with' (fun s -> OpenAiSettings(s.Url, s.Model, Confidence = ConfidenceSource.Samples, Samples = 3))
      behaviour "no log-probabilities, and a stage that judges itself" answer (stream [ chunk (content "4 is it") [] null; last ])
      |> with' (fun s -> OpenAiSettings(s.Url, s.Model, Confidence = ConfidenceSource.Judge))

      behaviour
          "no log-probabilities where confidence needs them"
          (invalid "expected log-probabilities of each token")
          (stream [ chunk (content "4") [] null; last ])
      behaviour
          "log-probability 0 for every token (speculation switched on)"
          (invalid "got 0 for 8 tokens in a row")
          (stream ([ for c in "24 is it" -> chunk (content (string c)) [ token (string c) 0.0 [] ] null ] @ [ last ]))
      behaviour "a log-probability above 0" (invalid "at most 0") (stream [ chunk (content "4") [ token "4" 0.5 [] ] null; last ])
      behaviour
          "probabilities that sum to more than 1"
          (invalid "sum to at most 1")
          (stream [ chunk (content "4") [ token "4" -0.1 [ "5", -0.1 ] ] null; last ])
      behaviour
          "a log-probability that is text"
          (invalid "expected a number as logprob")
          (stream [ chunk (content "4") [ """{"token":"4","logprob":"-0.1"}""" ] null; last ])
      behaviour "a stream without events" (invalid "got none") (raw "text/event-stream" "")
      behaviour "only [DONE]" (invalid "none of its events") (raw "text/event-stream" "data: [DONE]\n\n")
      behaviour "a page of HTML with status 200" (invalid "It works!") (raw "text/html" "<html>It works!</html>")
      behaviour "choices that are a number" (invalid "as choices, got '7'") (stream [ """{"choices":7}""" ])
      behaviour "an event that is no JSON" (invalid "got 'oops'") (stream [ "oops" ])
      behaviour "an empty answer" (invalid "got an empty one") (stream [ last ])
      behaviour "finish_reason tool_calls without a tool" (invalid "got 'tool_calls'") (stream [ piece "4"; chunk "{}" [] "tool_calls" ])
      behaviour "text without end" (invalid "expected at most") (endless (event (piece "and so on")))
      behaviour "a line without end" (invalid "bytes, got more") (endless (String('x', 65536)))
      behaviour
          "an error event after text"
          (Next("refused", "out of memory"))
          (stream [ piece "4"; """{"error":{"message":"out of memory","type":"server_error"}}""" ])
      behaviour "a connection that always breaks inside the answer" (Next("connection_lost", "broken connection")) (cut [ piece "4" ])
      behaviour
          "an end of the stream without finish_reason"
          (Next("connection_lost", "got the end of the stream"))
          (raw "text/event-stream" (event (piece "4")))
      behaviour "the provider's content filter" (Next("filtered", "content_filter")) (stream [ piece "4"; chunk "{}" [] "content_filter" ])
      behaviour
          "a refusal by the model"
          (Next("filtered", "I cannot help"))
          (stream [ chunk """{"refusal":"I cannot help with that."}""" [] null; last ])
      behaviour
          "400 for what the user sent"
          (Next("rejected", "maximum context length"))
          (refuse
              400
              []
              """{"error":{"message":"This model's maximum context length is 4096 tokens","param":"messages","code":"context_length_exceeded"}}""")
      behaviour
          "400 for a parameter of the stage's own"
          (Next("refused", "Unsupported parameter: 'max_tokens'"))
          (refuse
              400
              []
              """{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model.","param":"max_tokens"}}""")
      behaviour
          "401 that repeats the key"
          (Next("refused", "Incorrect API key provided: ***"))
          (refuse 401 [] """{"error":{"message":"Incorrect API key provided: sk-abcdefghijkl."}}""")
      behaviour
          "404 for the model"
          (Next("refused", "model `q` does not exist"))
          (refuse 404 [] """{"error":{"message":"The model `q` does not exist."}}""")
      behaviour
          "429 with Retry-After: 60: not waited for"
          (Next("refused", "status 429: slow down"))
          (refuse 429 [ "Retry-After", "60" ] """{"error":"slow down"}""")
      behaviour "500 with a text" (Next("refused", "CUDA error")) (refuse 500 [] "CUDA error: device-side assert")
      |> with' (fun s -> OpenAiSettings(s.Url, s.Model, Retries = 0))
      behaviour
          "a redirect, which is not followed with the key"
          (Next("refused", "status 302"))
          (refuse 302 [ "Location", "http://elsewhere.example/" ] "")
      behaviour "no reply" (Next("timeout", "within 0.4 s")) (fun context _ _ -> Task.Delay(60_000, context.RequestAborted))
      |> with' (fun s -> OpenAiSettings(s.Url, s.Model, TimeoutSeconds = 0.4))
      behaviour "a stream that stops and stays open" (Next("timeout", "within 0.4 s")) (hang [ piece "4" ])
      |> with' (fun s -> OpenAiSettings(s.Url, s.Model, TimeoutSeconds = 0.4)) ]

/// A cascade file of two remote stages, with a limit of 64 tokens.
let cascadeFile =
    lazy
        (TraceFiles.withText
            "name: remote\ntasks: jsonl\ndata: { path: q.jsonl, prompt: q, reference: a, grading: exact }\nbackend: openai\nstages:\n  - { name: m1, url: 'http://h/v1', model: q, cost: 1 }\n  - { name: m2, url: 'http://h/v1', model: q, cost: 2 }\nmax_tokens: 64\nrecall: false\ncalibration_queries: 100\ntest_queries: 100\n"
            CascadeFile.Load)

/// A stage of that file behind a provider.
let stageAt (k: int) (chat: ChatMode) (settings: OpenAiSettings) =
    let stage = CascadeStage($"m{k}", "", float k, Backend = "openai", Settings = settings)
    new OpenAiStage(StageContext("test", stage, 64, chat), "sk-abcdefghijkl") :> IStage

let private calibration = lazy (SyntheticRecords.make 2 CascadeRecords.Calibration 200 1 SyntheticRecords.lawful)

/// Serves the two stages; at this price of cost the second is asked only where the first fails.
let servingStages (lambda: float) (stages: IStage list) (action: Net.Http.HttpClient -> 'a) : 'a =
    let cascade = new Cascade(cascadeFile.Value, List.toArray stages)
    let server = CascadeServer.StartAsync(cascade, calibration.Value, null, lambda, options).GetAwaiter().GetResult()
    try
        use client = new Net.Http.HttpClient(BaseAddress = server.Address, Timeout = TimeSpan.FromSeconds 30.0)
        action client
    finally
        server.DisposeAsync().AsTask().Wait()

/// Asks the first stage, and the second where the first is not more likely right than wrong.
let stopAboveHalf =
    { new OptimalStopping.Theory.Policies.IStoppingPolicy with
        member _.Stages = 2
        member _.Decide o =
            let last = o.Last
            if last < 0 then OptimalStopping.Theory.Policies.Decision.GoTo 0
            elif last = 1 || o.Confidence[0] > 0.5 then OptimalStopping.Theory.Policies.Decision.StopWith last
            else OptimalStopping.Theory.Policies.Decision.GoTo 1 }

let second = stream [ piece "second"; last; usage ]

let choice (response: JsonElement) = response.GetProperty("choices")[0]

let contentOf (response: JsonElement) = (choice response).GetProperty("message").GetProperty("content").GetString() |> nonNull

let streamed (client: Net.Http.HttpClient) (body: string) : string =
    String.Concat
        [ for e in events (post client "v1/chat/completions" body) do
              if e <> "[DONE]" then
                  for choice in (JsonDocument.Parse(e).RootElement.GetProperty "choices").EnumerateArray() do
                      match choice.GetProperty("delta").TryGetProperty "content" with
                      | true, text -> text.GetString() |> nonNull
                      | _ -> () ]

let private check (b: Behaviour) =
    use provider = new MockProvider(b.Script)
    use other = new MockProvider(second)
    let stages () =
        [ stageAt 1 b.Chat (b.Settings(OpenAiSettings(provider.Url, "q"))); stageAt 2 ChatMode.None (OpenAiSettings(other.Url, "q")) ]
    let expected, kind =
        match b.Seen with
        | Own text -> text, None
        | Next(kind, _) -> "second", Some kind
    servingStages 1000.0 (stages ()) (fun client ->
        let watch = Diagnostics.Stopwatch.StartNew()
        let response = post client "v1/chat/completions" (chat "remote" "2+2?" "")
        Expect.equal (int response.StatusCode) 200 (text response)
        let whole = json response
        Expect.equal (contentOf whole) expected "text"
        Expect.isLessThan watch.Elapsed.TotalSeconds 10.0 "nothing is waited for that long"
        let failures = [ for f in (whole.GetProperty "toolkit").GetProperty("failures").EnumerateArray() -> f ]
        match b.Seen with
        | Own _ -> Expect.isEmpty failures $"{whole}"
        | Next(kind, words) ->
            Expect.equal (failures[0].GetProperty("kind").GetString()) kind $"{failures[0]}"
            Expect.stringContains (failures[0].GetProperty("message").GetString() |> nonNull) words "the upstream's own words"
        Expect.isFalse (string whole |> _.Contains("sk-abc")) "no key in what the client sees"
        let label = kind |> Option.map (fun k -> $"kind=\"{k}\"") |> Option.defaultValue "kind="
        Expect.equal (metric client "toolkit_stage_failures_total" label) (if kind.IsNone then 0.0 else 1.0) "the metrics"
        Expect.isGreaterThan (metric client "toolkit_tokens_total" "kind=\"prompt\"") 0.0 "input is never free"
        if kind.IsNone then
            Expect.equal (streamed client (chat "remote" "2+2?" ""","stream":true""")) expected "the deltas joined are the text")

/// The row of docs/server.md.
let private row (b: Behaviour) =
    let seen, metric =
        match b.Seen with
        | Own text -> $"`{text}`", "none"
        | Next(kind, words) -> $"the next stage's answer; in `toolkit.failures`: \"... {words} ...\"", $"`{kind}`"
    $"| {b.Name} | {seen} | {metric} |"

let private documented = test "every behaviour stands in docs/server.md with what the client sees" {
    let path = repositoryFile "docs/server.md"
    let page = File.ReadAllText path
    let head = "| a provider that sends | the client sees | `toolkit_stage_failures_total{kind}` |\n|---|---|---|\n"
    let table = head + String.Join("\n", behaviours |> List.map row) + "\n"
    if Environment.GetEnvironmentVariable "TOOLKIT_WRITE_BEHAVIOURS" = "1" then
        let start = page.IndexOf(head, StringComparison.Ordinal)
        let finish = page.IndexOf("\n\n", start, StringComparison.Ordinal) + 1
        File.WriteAllText(path, page.Substring(0, start) + table + page.Substring finish)
    else
        Expect.isTrue (page.Contains table) "TOOLKIT_WRITE_BEHAVIOURS=1 writes the table"
}

let private ask (stage: IStage) (request: StageRequest) = stage.AnswerAsync(request).AsTask().GetAwaiter().GetResult()

let private failure (action: unit -> unit) : StageException =
    try
        action ()
        failtest "no failure"
    with :? StageException as e ->
        e

let private question = StageRequest(StagePrompt.FromQuestion "2+2?")

[<Tests>]
let tests =
    testSequenced (
        testList
            "Providers"
            [ testList "Behaviours" [ for b in behaviours -> test b.Name { check b } ]
              documented
              test "a live stream that breaks ends in an error, not in another stage's text" {
                  use early =
                      new MockProvider(
                          stream [ chunk (content "first of all") [ token "first of all" -6.0 [ "f", -6.0 ] ] null; last; usage ]
                      )
                  use late = new MockProvider(cut [ piece "alpha"; piece " beta" ])
                  let settings (p: MockProvider) = OpenAiSettings(p.Url, "q", Retries = 0)
                  // At no price of cost every stage is asked, and the last one's answer is final, so it is streamed live.
                  servingStages 0.0 [ stageAt 1 ChatMode.None (settings early); stageAt 2 ChatMode.None (settings late) ] (fun client ->
                      let all = events (post client "v1/chat/completions" (chat "remote" "2+2?" ""","stream":true"""))
                      if all |> List.exists (fun e -> e.Contains "alpha") then
                          Expect.isFalse (all |> List.exists (fun e -> e.Contains "first")) "no text of the earlier stage"
                          Expect.isFalse (all |> List.exists (fun e -> e.Contains "\"finish_reason\":\"stop\"")) "no good end"
                          Expect.stringContains (List.last all) "\"error\"" "an error chunk ends it"
                          Expect.stringContains (List.last all) "broken connection" "with what happened"
                      else
                          failtest $"the last stage was to be streamed live: {all}")
              }
              test "an answer that was cut short does not end the climb" {
                  let cutShort = stream [ piece "4 is"; chunk "{}" [] "length"; usage ]
                  use early = new MockProvider(cutShort)
                  use late = new MockProvider(second)
                  let stages () =
                      [ stageAt 1 ChatMode.None (OpenAiSettings(early.Url, "q")); stageAt 2 ChatMode.None (OpenAiSettings(late.Url, "q")) ]
                  let cascade = new Cascade(cascadeFile.Value, List.toArray (stages ()))
                  let adaptive = AdaptiveCascade(cascade, (fun _ _ -> 0.99), stopAboveHalf)
                  let result = adaptive.AnswerAsync(question).AsTask().Result
                  Expect.equal [ for t in result.Turns -> t.Stage, t.Confidence ] [ 0, 0.0; 1, 0.99 ] "climbs on"
                  // A stop text cuts as well, unless the server says that the model ended.
                  let stopped = ask (cascade.Stages[1]) (StageRequest(StagePrompt.FromQuestion "2+2?", Stop = [| "x" |]))
                  Expect.isFalse stopped.IsWhole "not known to be whole"
              }
              test "no more alternatives than asked for; none unasked" {
                  use provider = new MockProvider(good)
                  let stage = stageAt 1 ChatMode.None (OpenAiSettings(provider.Url, "q"))
                  for count in [ 0; 1; 2 ] do
                      let reply = ask stage (StageRequest(StagePrompt.FromQuestion "2+2?", Alternatives = count))
                      for t in reply.Tokens do
                          Expect.equal t.Alternatives.Count count "alternatives"
              }
              test "features: the margin is over other tokens, also where characters span tokens" {
                  let spanning = (behaviours |> List.find (fun b -> b.Name.EndsWith "as bytes")).Script
                  use provider = new MockProvider(spanning)
                  let reply = ask (stageAt 1 ChatMode.None (OpenAiSettings(provider.Url, "q"))) question
                  Expect.isGreaterThan reply.Features.MinMargin 1.0 "the token is no rival of itself"
                  Expect.equal (String.Concat [ for t in reply.Tokens -> t.Text ]) reply.Text "tokens"
              }
              test "thinking does not count towards confidence" {
                  use provider =
                      new MockProvider(stream [ chunk """{"reasoning_content":"hm"}""" [ token "hm" -9.0 [] ] null; piece "4"; last ])
                  let reply = ask (stageAt 1 ChatMode.None (OpenAiSettings(provider.Url, "q"))) question
                  Expect.equal reply.Features.MinLogProbability -0.1 "of the answer only"
              }
              test "a hung stage is left alone after some failures, however slowly they come; then one request tries it" {
                  use provider = new MockProvider(first 2 (fun context _ _ -> Task.Delay(60_000, context.RequestAborted)) good)
                  let stage =
                      stageAt 1 ChatMode.None (OpenAiSettings(provider.Url, "q", TimeoutSeconds = 0.3, BreakAfter = 2, BreakSeconds = 0.5))
                  Expect.equal (failure (fun () -> ask stage question |> ignore)).Kind "timeout" "first"
                  Expect.equal (failure (fun () -> ask stage question |> ignore)).Kind "timeout" "second"
                  let watch = Diagnostics.Stopwatch.StartNew()
                  let left = failure (fun () -> ask stage question |> ignore)
                  Expect.equal left.Kind "open_circuit" "third"
                  Expect.stringContains left.Message "(timeout)" "and why"
                  Expect.isLessThan watch.Elapsed.TotalSeconds 0.2 "at once"
                  Threading.Thread.Sleep 600
                  Expect.equal (ask stage question).Text "4 is it" "tried again"
                  Expect.equal (ask stage question).Text "4 is it" "closed"
              }
              test "waiting for a place counts towards the timeout and is not the stage's failure" {
                  use provider = new MockProvider(fun context _ _ -> Task.Delay(60_000, context.RequestAborted))
                  let stage =
                      stageAt 1 ChatMode.None (OpenAiSettings(provider.Url, "q", TimeoutSeconds = 0.5, Concurrency = 1, BreakAfter = 100))
                  let watch = Diagnostics.Stopwatch.StartNew()
                  let kinds =
                      Task.WhenAll [| for _ in 1..4 -> Task.Run(fun () -> (failure (fun () -> ask stage question |> ignore)).Kind) |]
                      |> _.Result
                  Expect.isLessThan watch.Elapsed.TotalSeconds 3.0 "all at once, not one after another"
                  Expect.contains kinds "timeout" "the one that was asked"
                  Expect.contains kinds "overloaded" "those that waited"
              }
              test "what servers say they score, they score: verification by echo, prompt_logprobs or a grammar" {
                  // llama.cpp takes echo and prompt_logprobs, ignores them and answers 200.
                  let ignoring =
                      raw
                          "application/json"
                          """{"choices":[{"index":0,"text":"x","logprobs":{"tokens":["x"],"token_logprobs":[-0.1]},"finish_reason":"length"}]}"""
                  use provider = new MockProvider(ignoring)
                  for verification in [ OpenAiVerification.Echo; OpenAiVerification.PromptLogprobs ] do
                      let stage =
                          stageAt
                              1
                              ChatMode.None
                              (OpenAiSettings(provider.Url, "q", Api = OpenAiApi.Completions, Verification = verification))
                      let e =
                          failure (fun () ->
                              stage.VerifyAsync(question, [| StageToken(-1, "4", nan) |]).AsTask().GetAwaiter().GetResult() |> ignore)
                      Expect.stringContains e.Message "the server ignores" $"{verification}"
                  let forced: Script =
                      fun context body _ ->
                          Expect.equal (body.GetProperty("grammar").GetString()) "root ::= \"4 \\\"is\\\"\"" "the draft as a grammar"
                          raw
                              "application/json"
                              ("{\"choices\":[{\"index\":0,\"message\":{\"content\":\"4 \\\"is\\\"\"},\"logprobs\":{\"content\":["
                               + token "4" -0.1 []
                               + ","
                               + token " \"is\"" -3.0 [ " it", -0.2 ]
                               + "]},\"finish_reason\":\"stop\"}]}")
                              context
                              body
                              0
                  use llama = new MockProvider(forced)
                  let stage = stageAt 1 ChatMode.None (OpenAiSettings(llama.Url, "q", Verification = OpenAiVerification.Grammar))
                  let verdict = stage.VerifyAsync(question, [| StageToken(-1, "4 \"is\"", nan) |]).AsTask().Result
                  Expect.equal (Seq.toList verdict.LogProbabilities, verdict.Accepted) ([ -0.1; -3.0 ], 1) "scored"
              }
              test "an address with a password, a key or a query is refused, and not repeated" {
                  let faults = [ "http://user:secret1@h/v1"; "http://h/v1?api-key=secret1"; "https://h/v1?sig=secret1" ]
                  for url in faults do
                      let text =
                          $"name: t\nbackend: openai\nstages:\n  - {{ name: a, url: '{url}', model: q, cost: 1 }}\n  - {{ name: b, url: 'http://h/v1', model: q, cost: 2 }}\nmax_tokens: 64\ncalibration_queries: 100\ntest_queries: 100\n"
                      let message =
                          try
                              TraceFiles.withText text CascadeFile.Load |> ignore
                              "no fault"
                          with :? OptimalStopping.Runtime.ToolkitException as e ->
                              e.Message
                      Expect.stringContains message "key 'stages[0].url': expected an address without" url
                      Expect.isFalse (message.Contains "secret1") "not repeated"
              } ]
    )
