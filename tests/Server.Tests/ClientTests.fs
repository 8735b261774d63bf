/// The official OpenAI .NET client and Microsoft.Extensions.AI, unchanged, against this server.
module Server.Tests.ClientTests

open System
open System.ClientModel
open System.ClientModel.Primitives
open System.Collections.Generic
open Expecto
open Microsoft.Extensions.AI
open OpenAI
open OpenAI.Chat
open OptimalStopping.Server
open Server.Tests.Servers

let private client (server: CascadeServer) (key: string) (model: string) =
    ChatClient(model, ApiKeyCredential key, OpenAIClientOptions(Endpoint = Uri(server.Address, "v1"), RetryPolicy = ClientRetryPolicy 0))

let private ask (prompt: string) = [| ChatMessage.CreateUserMessage prompt :> OpenAI.Chat.ChatMessage |]

/// Everything that an asynchronous sequence yields.
let private all (source: IAsyncEnumerable<'a>) : 'a list =
    let items = ResizeArray()
    (task {
        let e = source.GetAsyncEnumerator()
        try
            let mutable more = true
            while more do
                let! next = e.MoveNextAsync()
                more <- next
                if next then items.Add e.Current
        finally
            e.DisposeAsync().AsTask().Wait()
    })
        .Wait()
    Seq.toList items

let private fails (status: int) (says: string) action =
    try
        action ()
        failtest "no fault"
    with
    | :? ClientResultException as e ->
        Expect.equal e.Status status "status"
        Expect.stringContains e.Message says "message"
    | :? AggregateException as e when (e.InnerException :? ClientResultException) ->
        let inner = nonNull e.InnerException :?> ClientResultException
        Expect.equal inner.Status status "status"
        Expect.stringContains inner.Message says "message"

[<Tests>]
let tests =
    testSequenced (
        testList
            "Clients"
            [ test "OpenAI .NET: whole, streamed, with log-probabilities, stop texts and limits" {
                  serving (local ()) options (fun server _ ->
                      let chat = client server "none" "nano"
                      let answer =
                          chat
                              .CompleteChat(
                                  ask "add 12+34=",
                                  ChatCompletionOptions(IncludeLogProbabilities = Nullable true, TopLogProbabilityCount = Nullable 2)
                              )
                              .Value
                      let text = answer.Content[0].Text
                      Expect.stringContains text "#" "an answer"
                      Expect.equal
                          (answer.FinishReason, answer.Model, answer.Role)
                          (OpenAI.Chat.ChatFinishReason.Stop, "nano", ChatMessageRole.Assistant)
                          "fields"
                      Expect.equal (answer.Usage.TotalTokenCount) (answer.Usage.InputTokenCount + answer.Usage.OutputTokenCount) "usage"
                      Expect.equal (String.Concat [ for t in answer.ContentTokenLogProbabilities -> t.Token ]) text "tokens"
                      let updates = all (chat.CompleteChatStreamingAsync(ask "add 12+34=", ChatCompletionOptions()))
                      Expect.equal
                          (String.Concat
                              [ for u in updates do
                                    for part in u.ContentUpdate -> part.Text ])
                          text
                          "the stream is the answer"
                      Expect.isTrue (updates |> List.exists (fun u -> u.FinishReason = Nullable OpenAI.Chat.ChatFinishReason.Stop)) "end"
                      Expect.isTrue
                          (updates |> List.exists (fun u -> not (isNull u.Usage) && u.Usage.OutputTokenCount > 0))
                          "usage is asked for and given"
                      let short = chat.CompleteChat(ask "add 12+34=", ChatCompletionOptions(MaxOutputTokenCount = Nullable 3)).Value
                      Expect.equal
                          (short.FinishReason, short.Content[0].Text)
                          (OpenAI.Chat.ChatFinishReason.Length, text.Substring(0, 3))
                          "limit"
                      let stopping = ChatCompletionOptions()
                      stopping.StopSequences.Add "#"
                      let stopped = (client server "none" "nano-4").CompleteChat(ask "add 12+34=", stopping).Value.Content[0].Text
                      Expect.isFalse (stopped.Contains '#') "stop text"
                      Expect.equal
                          (String.Concat
                              [ for u in all ((client server "none" "nano-4").CompleteChatStreamingAsync(ask "add 12+34=", stopping)) do
                                    for part in u.ContentUpdate -> part.Text ])
                          stopped
                          "stop text, streamed")
              }
              test "OpenAI .NET: errors arrive as the client's own, streamed or not; models are listed" {
                  serving (local ()) (ServeOptions(Port = 0, Keys = [| "right" |])) (fun server _ ->
                      fails 401 "API key" (fun () -> (client server "wrong" "nano").CompleteChat(ask "x") |> ignore)
                      fails 404 "got 'gpt-4'" (fun () -> (client server "right" "gpt-4").CompleteChat(ask "x") |> ignore)
                      fails 400 "alphabet" (fun () -> (client server "right" "nano").CompleteChat(ask "Ü") |> ignore)
                      fails 400 "alphabet" (fun () -> all ((client server "right" "nano").CompleteChatStreamingAsync(ask "Ü")) |> ignore)
                      let models =
                          OpenAIClient(ApiKeyCredential "right", OpenAIClientOptions(Endpoint = Uri(server.Address, "v1")))
                              .GetOpenAIModelClient()
                              .GetModels()
                              .Value
                      Expect.contains [ for m in models -> m.Id ] "nano" "models")
              }
              test "Microsoft.Extensions.AI.OpenAI: an IChatClient over this server" {
                  serving (local ()) options (fun server _ ->
                      use chat = (client server "none" "nano").AsIChatClient()
                      let response = ChatClientExtensions.GetResponseAsync(chat, "add 12+34=").Result
                      Expect.stringContains response.Text "#" "text"
                      let streamed = String.Concat [ for u in all (chat.GetStreamingResponseAsync("add 12+34=")) -> u.Text ]
                      Expect.equal streamed response.Text "streamed")
              } ]
    )
