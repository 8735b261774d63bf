/// This server's stages as the remote stages of another cascade: the same decisions, and what happens when one of them fails.
module Server.Tests.RemoteStageTests

open System
open System.Net.Http
open System.Threading
open System.Threading.Tasks
open Expecto
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Server
open OptimalStopping.Runtime.Tasks
open Server.Tests.Servers

/// The must-show asks 300 queries; the suite asks fewer.
let private queries = if isNull (Environment.GetEnvironmentVariable "TOOLKIT_LONG") then 60 else 300

let private prompts (count: int) =
    [ for query, _ in OptimalStopping.Experiments.CascadeQueries.Draw(nano.Value, 7) |> Seq.take count -> query.Prompt ]

let private settings (change: OpenAiSettings -> OpenAiSettings) _ (remote: OpenAiSettings) _ stage = withRemote (change remote) stage

let private decide (cascade: Cascade) (lambda: float) (prompts: string list) =
    let adaptive = AdaptiveCascade.Fit(cascade, records.Value, lambda)
    let answers: AdaptiveAnswer[] = Array.zeroCreate prompts.Length
    Parallel.For(
        0,
        prompts.Length,
        ParallelOptions(MaxDegreeOfParallelism = 4),
        fun i -> answers[i] <- adaptive.AnswerAsync(StageRequest(StagePrompt.FromQuestion prompts[i])).AsTask().GetAwaiter().GetResult()
    )
    |> ignore
    // Costs are not compared: a stage in this process verifies the earlier answer and is charged for its forwards, a remote
    // one writes anew at its full price.
    [ for a in answers -> [ for t in a.Turns -> t.Stage, t.Text, t.Confidence ], a.Chosen.Stage, a.Failures.Count ]

/// The stage's second model misbehaves behind this address.
let private second (url: Uri) (change: OpenAiSettings -> OpenAiSettings) k (remote: OpenAiSettings) _ stage =
    withRemote (if k = 1 then change (OpenAiSettings(url, "nano-2")) else remote) stage

/// Asks a server whose second stage is faulty; the policy that asks every stage in turn is at lambda 0.
let private withFault (url: Uri) (change: OpenAiSettings -> OpenAiSettings) (kind: string) =
    serving (local ()) options (fun upstream _ ->
        let cascade = remote upstream.Address (second url change)
        serving cascade options (fun _ client ->
            client.Timeout <- TimeSpan.FromSeconds 30.0
            let mutable failures = 0
            for prompt in prompts 12 do
                let response = post client "v1/chat/completions" (chat "nano" prompt ""","lambda":0.005""")
                Expect.equal (int response.StatusCode) 200 $"{kind}: {text response}"
                let toolkit = (json response).GetProperty "toolkit"
                let failed = [ for f in toolkit.GetProperty("failures").EnumerateArray() -> f.GetProperty("kind").GetString() |> nonNull ]
                failures <- failures + failed.Length
                for f in failed do
                    Expect.isTrue (f = kind || f = "open_circuit") $"{kind}: got {f}"
                Expect.notEqual (toolkit.GetProperty("stage").GetString()) "nano-2" "another stage answered"
            Expect.isGreaterThan failures 0 $"{kind}: the policy asked the stage"
            Expect.equal (int (metric client "toolkit_stage_failures_total" "stage=\"nano-2\"")) failures "the metrics say so"
            // A request that names the dead stage alone gets a clear error.
            let alone = post client "v1/chat/completions" (chat "nano-2" "add 1+1=" "")
            Expect.isGreaterThanOrEqual (int alone.StatusCode) 500 "status"
            Expect.stringContains (text alone) "stage 'nano-2':" "message"))

[<Tests>]
let tests =
    testSequenced (
        testList
            "RemoteStage"
            [ test "four remote stages decide as four local ones" {
                  serving (local ()) options (fun server _ ->
                      let asked = prompts queries
                      for api in [ OpenAiApi.Chat; OpenAiApi.Completions ] do
                          let far = remote server.Address (settings (fun r -> OpenAiSettings(r.Url, r.Model, Api = api)))
                          Expect.equal
                              (decide far 0.01 asked)
                              (decide (local ()) 0.01 asked)
                              $"{api}: turns, texts, confidences, stage, failures"
                          far.DisposeAsync().AsTask().Wait())
              }
              test "a draft is verified through the server as in this process" {
                  serving (local ()) options (fun server _ ->
                      for verification, api in
                          [ OpenAiVerification.Echo, OpenAiApi.Completions; OpenAiVerification.PromptLogprobs, OpenAiApi.Completions ] do
                          let far =
                              remote
                                  server.Address
                                  (settings (fun r -> OpenAiSettings(r.Url, r.Model, Api = api, Verification = verification)))
                          let near = local ()
                          for prompt in prompts 8 do
                              let request = StageRequest(StagePrompt.FromQuestion prompt)
                              let draft = near.Stages[0].AnswerAsync(request).AsTask().Result
                              let a = far.Stages[2].VerifyAsync(request, draft.Tokens).AsTask().Result
                              let b = near.Stages[2].VerifyAsync(request, draft.Tokens).AsTask().Result
                              Expect.equal (a.Accepted, a.Drafted) (b.Accepted, b.Drafted) $"{verification}: {prompt}"
                              for x, y in Seq.zip a.LogProbabilities b.LogProbabilities do
                                  Expect.floatClose Accuracy.medium x y "log-probability")
              }
              test "the second stage is dead" {
                  // A port that was free a moment ago refuses connections.
                  use gone = saying "text/plain" ""
                  let url = gone.Url
                  (gone :> IDisposable).Dispose()
                  withFault url (fun r -> OpenAiSettings(r.Url, r.Model, Retries = 0)) "unreachable"
              }
              test "the second stage is slow" {
                  use server = slow ()
                  withFault server.Url (fun r -> OpenAiSettings(r.Url, r.Model, TimeoutSeconds = 0.2)) "timeout"
              }
              test "the second stage answers garbage" {
                  let bodies =
                      [ "text/html", "<html>It works!</html>"
                        "text/event-stream", "data: {\"choices\": 7}\n\ndata: [DONE]\n\n"
                        "text/event-stream", "data: \u0000\u0001 not json\n\n" ]
                  for kind, body in bodies do
                      use server = saying kind body
                      withFault server.Url id "invalid_response"
              }
              test "the second stage cuts its stream" {
                  use server = cutting ()
                  withFault server.Url id "connection_lost"
                  Expect.isGreaterThan server.Connections 1 "it was asked"
              }
              test "the second stage fails with a status; retries are made, then the circuit opens" {
                  use server = status 503
                  withFault server.Url (fun r -> OpenAiSettings(r.Url, r.Model, Retries = 1)) "refused"
                  // 13 requests and one retry for each, had the circuit not opened.
                  Expect.isLessThan server.Connections 26 "the circuit opened"
                  Expect.isGreaterThan server.Connections 5 "and was closed before"
              }
              test "every stage dead: a clear error, and no answer is made up" {
                  use gone = saying "text/plain" ""
                  let url = gone.Url
                  (gone :> IDisposable).Dispose()
                  let cascade = remote url (settings (fun r -> OpenAiSettings(url, r.Model, Retries = 0)))
                  serving cascade options (fun _ client ->
                      let response = post client "v1/chat/completions" (chat "nano" "add 1+1=" "")
                      Expect.equal (int response.StatusCode) 502 "status"
                      Expect.stringContains (text response) "expected a server at http://127.0.0.1" "message")
              }
              test "a caller who gives up is not a failure of the stage" {
                  use server = slow ()
                  let cascade = remote server.Url (settings (fun r -> OpenAiSettings(server.Url, r.Model)))
                  use cancel = new CancellationTokenSource(100)
                  let cancelled =
                      try
                          cascade.Stages[0]
                              .AnswerAsync(StageRequest(StagePrompt.FromQuestion "x"), cancel = cancel.Token)
                              .AsTask()
                              .GetAwaiter()
                              .GetResult()
                          |> ignore
                          false
                      with :? OperationCanceledException ->
                          true
                  Expect.isTrue cancelled "cancelled"
              } ]
    )
