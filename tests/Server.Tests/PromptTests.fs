/// Whichever way a question comes in, the models are given the same prompt.
module Server.Tests.PromptTests

open System
open System.Collections.Concurrent
open System.IO
open System.Text.Json
open Expecto
open Microsoft.Extensions.AI
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Chat
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Tasks
open OptimalStopping.Runtime.Tokenization
open OptimalStopping.Server
open Support
open Server.Tests.Servers

/// A model that notes every prompt and answers with the end of text.
type private RecordingModel(prompts: ConcurrentQueue<int[]>, vocabulary: int, endOfText: int, positions: int) =
    interface ITokenModel with
        member _.Name = "recording"
        member _.VocabularySize = vocabulary
        member _.MaxPositions = positions
        member _.NewSequence capacity =
            let mutable length = 0
            { new ITokenSequence with
                member _.Length = length
                member _.Capacity = capacity
                member _.Forward(fed: ReadOnlySpan<int>, logits: Span<float32>) =
                    if length = 0 then prompts.Enqueue(fed.ToArray())
                    length <- length + fed.Length
                    logits.Clear()
                    logits[endOfText] <- 5.0f
                member this.ForwardAll(fed: ReadOnlySpan<int>, logits: Span<float32>) =
                    for i in 0 .. fed.Length - 1 do
                        this.Forward(fed.Slice(i, 1), logits.Slice(i * vocabulary, vocabulary))
                member _.Truncate to' = length <- to'
                member _.Fork() = raise (NotSupportedException())
                member _.Dispose() = () }
        member _.ForwardBatch(steps: ReadOnlySpan<SequenceStep>, logits: Span<float32>) =
            for i in 0 .. steps.Length - 1 do
                steps[i].Sequence.Forward(steps[i].Tokens.Span, logits.Slice(i * vocabulary, vocabulary))
        member _.Dispose() = ()

/// Runs the action with a cascade of two recording models of so many positions in the chat mode given, and what takes the
/// prompts noted so far.
let private usingPositions (positions: int) (chat: string) (action: Cascade -> (unit -> int[] list) -> string -> unit) =
    TraceFiles.withFolder (fun folder ->
        let prompts = ConcurrentQueue<int[]>()
        let load (stage: CascadeStage) =
            let tokenizer = TokenizerFiles.Load stage.Path
            new RecordingModel(prompts, 151936, tokenizer.EndOfText, positions) :> ITokenModel
        StageBackends.Register(LocalBackend("recording", load))
        for k in [ "1"; "2" ] do
            let path = Directory.CreateDirectory(Path.Combine(folder, k)).FullName
            for file in [ "tokenizer.json"; "tokenizer_config.json"; "generation_config.json" ] do
                File.Copy(repositoryFile $"tests/Runtime.Tests/Tokenization/qwen3/model/{file}", Path.Combine(path, file))
        let file = Path.Combine(folder, "cascade.yaml")
        File.WriteAllText(file, $"backend: recording\nchat: {chat}\n" + RandomCascade.yaml 2 8 100)
        use cascade = Cascade.Load(CascadeFile.Load file)
        let take () =
            let taken = [ for prompt in prompts -> prompt ]
            prompts.Clear()
            taken
        action cascade take folder)

let private using = usingPositions 512

/// The records that policies are fitted on; at this price of cost only the first stage is asked.
let private calibration = lazy (SyntheticRecords.make 2 CascadeRecords.Calibration 200 1 SyntheticRecords.lawful)
let private dear = 1000.0

let private servingWith (options: ServeOptions) (cascade: Cascade) (action: Net.Http.HttpClient -> unit) =
    let server = CascadeServer.StartAsync(cascade.Share(), calibration.Value, null, dear, options).GetAwaiter().GetResult()
    try
        use client = new Net.Http.HttpClient(BaseAddress = server.Address)
        action client
    finally
        server.DisposeAsync().AsTask().Wait()

let private serving = servingWith options

[<Tests>]
let tests =
    testSequenced (
        testList
            "Prompt"
            [ for chat, mode in [ "none", ChatMode.None; "direct", ChatMode.Direct; "thinking", ChatMode.Thinking ] do
                  test $"serve, IChatClient, decode and collect give a model the same prompt: chat {chat}" {
                      using chat (fun cascade take folder ->
                          let question = "What is 12 + 34? Answer with a number."
                          let expected = cascade.Tokenizer.Encode(ChatTemplate.Qwen3.Render(question, mode))
                          let adaptive = AdaptiveCascade.Fit(cascade, calibration.Value, dear)
                          adaptive.Answer question |> ignore
                          Expect.equal (take ()) [ expected ] "decode"
                          let query = Query("q1", "add", 1, question, "#46")
                          Collector.Run(cascade, [| struct (query, "test") |], Path.Combine(folder, "records.jsonl"), null)
                          Expect.equal (take ()) [ expected; expected ] "collect asks both models"
                          use client = new CascadeChatClient(adaptive)
                          ChatClientExtensions.GetResponseAsync(client, question).Wait()
                          Expect.equal (take ()) [ expected ] "IChatClient"
                          serving cascade (fun client ->
                              let response = post client "v1/chat/completions" (Servers.chat "random" question "")
                              Expect.equal (int response.StatusCode) 200 (text response)
                              Expect.equal (take ()) [ expected ] "serve"
                              // A completion is of the text as it is.
                              post client "v1/completions" $"""{{"model":"random","prompt":{JsonSerializer.Serialize question}}}"""
                              |> ignore
                              Expect.equal (take ()) [ cascade.Tokenizer.Encode question ] "completions"))
                  }
              test "a text behind an empty prompt is scored in its own tokens" {
                  using "none" (fun cascade _ _ ->
                      for text in [ "Hello there"; "a"; "한국어 <|im_end|> x" ] do
                          let verdict =
                              cascade.Stages[0]
                                  .VerifyAsync(StageRequest(StagePrompt.FromText ""), [| StageToken(-1, text, nan) |])
                                  .AsTask()
                                  .Result
                          Expect.sequenceEqual [ for token in verdict.Tokens -> token.Id ] (cascade.Tokenizer.Encode text) text
                          Expect.isTrue (Double.IsNaN verdict.LogProbabilities[0]) "nothing before the first")
              }
              test "the thinking of earlier answers goes into the template, apart from the content or inside it" {
                  using "thinking" (fun cascade take _ ->
                      let turns (content: string) (reasoning: string | null) =
                          [| ChatTurn("user", "Hi"); ChatTurn("assistant", content, Reasoning = reasoning); ChatTurn("user", "And?") |]
                      serving cascade (fun client ->
                          let answers: (string * (string | null)) list =
                              [ "Hello", "hm"; "Hello", null; "<think>\nhm\n</think>\n\nHello", null ]
                          for content, reasoning in answers do
                              let apart =
                                  if isNull reasoning then "" else $""","reasoning_content":{JsonSerializer.Serialize reasoning}"""
                              let body =
                                  $$"""{"model":"random","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":{{JsonSerializer.Serialize content}}{{apart}}},{"role":"user","content":"And?"}]}"""
                              let response = post client "v1/chat/completions" body
                              Expect.equal (int response.StatusCode) 200 (text response)
                              let expected = cascade.Tokenizer.Encode(ChatTemplate.Qwen3.Render(turns content reasoning, true))
                              Expect.equal (take ()) [ expected ] $"{content}, {reasoning}"))
              }
              test "a prompt that is too long is refused before a model is asked, and before it is all looked at" {
                  using "direct" (fun cascade take _ ->
                      serving cascade (fun client ->
                          let refused (prompt: string) =
                              let clock = Diagnostics.Stopwatch.StartNew()
                              let response = post client "v1/chat/completions" (Servers.chat "random" prompt "")
                              Expect.equal (int response.StatusCode) 400 (text response)
                              Expect.stringContains (text response) "tokens (the limit of recording), got" "why"
                              Expect.isLessThan clock.Elapsed.TotalSeconds 2.0 "seconds"
                          for prompt in [ String('漢', 40_000); String.replicate 8000 "word "; String('a', 300_000) ] do
                              refused prompt
                          Expect.isEmpty (take ()) "no model was asked"))
              }
              test "tokenising stops when the client has left" {
                  // Four million positions, so that nothing is refused; 12 MiB of base64 take seconds.
                  usingPositions (1 <<< 22) "direct" (fun cascade take _ ->
                      servingWith (ServeOptions(Port = 0, BodyLimit = 67_108_864L)) cascade (fun client ->
                          let bytes = Array.zeroCreate<byte>(9 <<< 20)
                          (Random 3).NextBytes bytes
                          let body = Servers.chat "random" (Convert.ToBase64String bytes) ""
                          use left = new Threading.CancellationTokenSource()
                          use content = new Net.Http.StringContent(body, Text.Encoding.UTF8, "application/json")
                          let request = client.PostAsync("v1/chat/completions", content, left.Token)
                          while metric client "toolkit_active_requests" "" = 0.0 do
                              Threading.Thread.Sleep 1
                          Threading.Thread.Sleep 100
                          left.Cancel()
                          Expect.throws (fun () -> request.GetAwaiter().GetResult() |> ignore) "the client left"
                          while metric client "toolkit_active_requests" "" > 0.0 do
                              Threading.Thread.Sleep 5
                          Expect.isEmpty (take ()) "the model was not asked"))
              }
              test "a conversation with a system message, served and by IChatClient" {
                  using "direct" (fun cascade take _ ->
                      let turns = [| ChatTurn("system", "Be brief."); ChatTurn("user", "Hi") |]
                      let expected = cascade.Tokenizer.Encode(ChatTemplate.Qwen3.Render(turns, false))
                      use client = new CascadeChatClient(AdaptiveCascade.Fit(cascade, calibration.Value, dear))
                      let messages = [ ChatMessage(ChatRole.System, "Be brief."); ChatMessage(ChatRole.User, "Hi") ]
                      (client :> IChatClient).GetResponseAsync(messages).Wait()
                      Expect.equal (take ()) [ expected ] "IChatClient"
                      serving cascade (fun client ->
                          let body =
                              """{"model":"random","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}]}"""
                          Expect.equal (int (post client "v1/chat/completions" body).StatusCode) 200 "accepted"
                          Expect.equal (take ()) [ expected ] "serve"))
              } ]
    )
