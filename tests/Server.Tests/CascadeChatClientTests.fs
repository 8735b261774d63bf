module Server.Tests.CascadeChatClientTests

open System
open System.IO
open System.Linq
open System.Collections.Generic
open Expecto
open Microsoft.Extensions.AI
open OptimalStopping.Runtime
open Support
open OptimalStopping.Runtime.Chat
open OptimalStopping.Runtime.Cascades
open Server.Tests.Servers

let private all (source: IAsyncEnumerable<ChatResponseUpdate>) = source.ToChatResponseAsync().Result

let private fault action =
    try
        action () |> ignore
        "no fault"
    with
    | :? ToolkitException as e -> e.Message
    | :? AggregateException as e when (e.InnerException :? ToolkitException) -> (nonNull e.InnerException).Message

[<Tests>]
let tests =
    testList
        "CascadeChatClient"
        [ test "the sample of the documentation: text, stage, confidence and cost, whole and streamed" {
              use client = CascadeChatClient.Load(repositoryFile "configs/nano.yaml", 0.01)
              let expected = AdaptiveCascade.Fit(models.Value, records.Value, 0.01).Answer "add 963+447="
              for response in
                  [ ChatClientExtensions.GetResponseAsync(client, "add 963+447=").Result
                    all (client.GetStreamingResponseAsync "add 963+447=") ] do
                  let properties = nonNull response.AdditionalProperties
                  Expect.equal response.Text expected.Chosen.Text "text"
                  Expect.equal properties[CascadeChatClient.ConfidenceKey] (box expected.Chosen.Confidence) "confidence"
                  Expect.equal properties[CascadeChatClient.CostKey] (box expected.Cost) "cost"
                  Expect.equal properties[CascadeChatClient.StageKey] (box $"nano-{expected.Chosen.Stage + 1}") "stage"
                  Expect.equal
                      (unbox<string[]> properties[CascadeChatClient.AskedKey])
                      [| for t in expected.Turns -> $"nano-{t.Stage + 1}" |]
                      "asked"
                  Expect.equal response.FinishReason (Nullable ChatFinishReason.Stop) "end"
                  Expect.equal (nonNull response.Usage).OutputTokenCount (Nullable(int64 (expected.Turns |> Seq.sumBy _.Tokens))) "usage"
          }
          test "options, services, and what a cascade cannot do" {
              let client = new CascadeChatClient(AdaptiveCascade.Fit(models.Value, records.Value, 0.01)) :> IChatClient
              let ask (options: ChatOptions) = client.GetResponseAsync([ ChatMessage(ChatRole.User, "add 12+34=") ], options).Result
              let short = ask (ChatOptions(MaxOutputTokens = Nullable 3))
              Expect.equal (short.Text.Length, short.FinishReason) (3, Nullable ChatFinishReason.Length) "limit"
              Expect.isFalse ((ask (ChatOptions(StopSequences = ResizeArray [ "#" ]))).Text.Contains '#') "stop text"
              Expect.equal (client.GetService<ChatClientMetadata>() |> nonNull).DefaultModelId "nano" "metadata"
              Expect.isNotNull (client.GetService<AdaptiveCascade>()) "cascade"
              Expect.stringStarts
                  (fault (fun () -> ask (ChatOptions(ResponseFormat = ChatResponseFormat.Json))))
                  "response format: expected text"
                  "format"
              Expect.stringStarts
                  (fault (fun () -> ask (ChatOptions(Tools = ResizeArray [ HostedWebSearchTool() :> AITool ]))))
                  "tools: expected none"
                  "tools"
              Expect.stringStarts
                  (fault (fun () ->
                      client
                          .GetResponseAsync([ ChatMessage(ChatRole.User, [| DataContent("data:image/png;base64,AA==") :> AIContent |]) ])
                          .Result))
                  "messages: expected text only"
                  "image"
              Expect.stringStarts
                  (fault (fun () -> ChatClientExtensions.GetResponseAsync(client, "Ü").Result))
                  "prompt:1: expected a character"
                  "alphabet"
          }
          test "the embedded cascade answers from what is part of the assembly" {
              use client = CascadeChatClient.CreateDefault()
              let repository = CascadeFile.Load(repositoryFile "configs/miniature.yaml")
              use own = Cascade.Load repository
              let records = CascadeRecords.Load(nonNull repository.CalibrationTrace)
              let question = "Explain quantum computing"
              let expected = AdaptiveCascade.Fit(own, records, 0.01).Answer question
              Expect.equal (ChatClientExtensions.GetResponseAsync(client, question).Result.Text) expected.Chosen.Text "answer"
              let file = (client :> IChatClient).GetService<AdaptiveCascade>() |> nonNull |> _.Cascade.File.File
              Expect.isFalse (file.StartsWith Support.Repository.root) "not from the repository"
          }
          test "ModelId names a stage; arguments are named where they are at fault" {
              let client = new CascadeChatClient(AdaptiveCascade.Fit(models.Value, records.Value, 0.01)) :> IChatClient
              let ask (model: string) =
                  client.GetResponseAsync([ ChatMessage(ChatRole.User, "add 12+34=") ], ChatOptions(ModelId = model)).Result
              Expect.equal (ask "nano-2").ModelId "nano-2" "alone"
              Expect.isSome (Option.ofObj (ask "nano").ModelId) "the cascade"
              let wrong action =
                  try
                      action () |> ignore
                      "no fault"
                  with
                  | :? AggregateException as e -> (nonNull e.InnerException).Message
                  | e -> e.Message
              Expect.stringContains (wrong (fun () -> ask "gpt-4")) "expected a ModelId among nano, nano-1" "unknown"
              Expect.stringContains (wrong (fun () -> CascadeChatClient.Load("configs/nano.yaml", -1.0))) "lambda" "a negative price"
          }
          test "a cascade of chat clients: recorded, calibrated by agreement, served by dependency injection" {
              TraceFiles.withFolder (fun folder ->
                  let calls = Array.zeroCreate<int> 3
                  // Clients that know the answers to 60, 80 and 95 % of the questions, the same ones more or less, and say
                  // nothing of how sure they are.
                  let client (k: int) (share: int) =
                      { new IChatClient with
                          member _.GetResponseAsync(messages, _, _) =
                              Threading.Interlocked.Increment(&calls[k]) |> ignore
                              let question = (Seq.last messages).Text
                              let number = int (question.Split ' ' |> Array.last)
                              let difficulty = (number * 7919 + k * 13) % 100
                              let answer = if difficulty < share then string (number * number) else string (number + k)
                              Threading.Tasks.Task.FromResult(ChatResponse(ChatMessage(ChatRole.Assistant, answer)))
                          member this.GetStreamingResponseAsync(messages, options, cancel) =
                              let response = this.GetResponseAsync(messages, options, cancel).Result
                              let updates = response.ToChatResponseUpdates()
                              updates.ToAsyncEnumerable()
                          member _.GetService(_, _) = null
                          member _.Dispose() = () }
                  let clients: IChatClient[] = [| client 0 60; client 1 80; client 2 95 |]
                  let options = ChatCascadeOptions(Costs = [| 1.0; 3.0; 10.0 |])
                  let cascade = ChatCascade.Create(clients, options)
                  let query (split: string) (n: int) =
                      struct (OptimalStopping.Runtime.Tasks.Query(
                                  $"q{n}",
                                  "square",
                                  1,
                                  $"The square of {n}",
                                  string (n * n),
                                  Grader = OptimalStopping.Runtime.Tasks.AnswerGrader(OptimalStopping.Runtime.Tasks.Grading.Exact)
                              ),
                              split)
                  let path = Path.Combine(folder, "records.jsonl")
                  let queries = [| for n in 2..301 -> query CascadeRecords.Calibration n |]
                  Expect.equal (Collector.CollectAsync(cascade, queries, path, infinity).Result) 300 "recorded"
                  let adaptive = AdaptiveCascade.Fit(cascade, CascadeRecords.Load path, 0.01)
                  let services = Microsoft.Extensions.DependencyInjection.ServiceCollection()
                  Microsoft.Extensions.DependencyInjection.CascadeServiceCollectionExtensions.AddCascade(
                      services,
                      fun _ -> new CascadeChatClient(adaptive)
                  )
                  |> ignore
                  use provider =
                      Microsoft.Extensions.DependencyInjection.ServiceCollectionContainerBuilderExtensions.BuildServiceProvider(services)
                  let chat = nonNull (provider.GetService typeof<IChatClient>) :?> IChatClient
                  let mutable cost, right, large = 0.0, 0, 0
                  for n in 1002..1301 do
                      let response = ChatClientExtensions.GetResponseAsync(chat, $"The square of {n}").Result
                      let properties = nonNull response.AdditionalProperties
                      cost <- cost + unbox<float> properties[CascadeChatClient.CostKey]
                      if response.Text = string (n * n) then right <- right + 1
                      if
                          clients[2].GetResponseAsync([ ChatMessage(ChatRole.User, $"The square of {n}") ]).Result.Text = string (n * n)
                      then
                          large <- large + 1
                  let perQuestion = cost / 300.0
                  printfn
                      "cascade of three chat clients, by agreement: quality %.3f at cost %.2f; always large: %.3f at 10"
                      (float right / 300.0)
                      perQuestion
                      (float large / 300.0)
                  Expect.isLessThan perQuestion 10.0 "cheaper than always asking the largest"
                  Expect.isGreaterThan (float right / 300.0) 0.85 "and nearly as good")
          } ]
