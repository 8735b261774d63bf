module Server.Tests.CascadeChatClientTests

open System
open System.Collections.Generic
open Expecto
open Microsoft.Extensions.AI
open OptimalStopping.Runtime
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
              for response in [ client.GetResponseAsync("add 963+447=").Result; all (client.GetStreamingResponseAsync "add 963+447=") ] do
                  let properties =
                      response.AdditionalProperties
                      |> Option.ofObj
                      |> Option.defaultWith (fun () -> nonNull response.Messages[0].AdditionalProperties)
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
              Expect.stringStarts (fault (fun () -> client.GetResponseAsync("Ü").Result)) "prompt:1: expected a character" "alphabet"
          } ]
