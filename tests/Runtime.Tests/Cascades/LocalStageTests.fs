module Runtime.Tests.Cascades.LocalStageTests

open Support
open System
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades

let private prompts = [ "add 12+34="; "sort 312="; "x" ]

let private using action =
    RandomCascade.using 2 12 100 (fun cascade _ ->
        let stages = cascade
        action cascade stages.Stages)

let private ask (stage: IStage) (request: StageRequest) =
    let tokens = ResizeArray<StageToken>()
    let reply = stage.AnswerAsync(request, Action<StageToken> tokens.Add).AsTask().Result
    Expect.sequenceEqual [ for t in tokens -> t.Text ] [ for t in reply.Tokens -> t.Text ] "tokens are streamed as they are kept"
    reply

let private fault action =
    try
        action () |> ignore
        failtest "no fault"
    with :? ToolkitException as e ->
        e.Message

[<Tests>]
let tests =
    testList
        "LocalStage"
        [ test "writes what the decoder writes, with its signals and log-probabilities" {
              using (fun cascade stages ->
                  for k in 0..1 do
                      for prompt in prompts do
                          let expected = cascade.Decoder(k).Decode(ReadOnlySpan(cascade.Tokenizer.Encode prompt))
                          for request in
                              [ StageRequest(StagePrompt.FromQuestion prompt)
                                StageRequest(StagePrompt.FromMessages [| StageMessage("user", prompt) |]) ] do
                              let reply = ask stages[k] request
                              Expect.sequenceEqual [ for t in reply.Tokens -> t.Id ] expected.Tokens "tokens"
                              Expect.equal
                                  (reply.Text, reply.Features, reply.Ended)
                                  (cascade.Tokenizer.Decode expected.Tokens, expected.Features, expected.Ended)
                                  "answer"
                              Expect.equal
                                  (reply.Cost, reply.CompletionTokens)
                                  (cascade.File.Stages[k].Cost, expected.Features.Length)
                                  "cost and tokens"
                              Expect.isLessThanOrEqual
                                  (abs (expected.Features.MinLogProbability - (reply.Tokens |> Seq.map _.LogProbability |> Seq.min)))
                                  (if expected.Ended then infinity else 1e-12)
                                  "the least log-probability is a token's")
          }
          test "alternatives: sorted, the chosen one first, probabilities of one distribution" {
              using (fun cascade stages ->
                  let all = cascade.Tokenizer.VocabularySize
                  for token in (ask stages[0] (StageRequest(StagePrompt.FromQuestion "add 1+1=", Alternatives = all))).Tokens do
                      Expect.equal token.Alternatives.Count all "all of them"
                      Expect.isAscending (Seq.rev [ for a in token.Alternatives -> a.LogProbability ]) "likeliest first"
                      Expect.equal token.Alternatives[0].Id token.Id "greedy"
                      Expect.floatClose Accuracy.medium token.Alternatives[0].LogProbability token.LogProbability "log-probability"
                      Expect.floatClose Accuracy.medium (token.Alternatives |> Seq.sumBy (fun a -> exp a.LogProbability)) 1.0 "sum")
          }
          test "limits of tokens and texts that stop" {
              using (fun _ stages ->
                  let text = (ask stages[1] (StageRequest(StagePrompt.FromQuestion "x"))).Text
                  Expect.isGreaterThan text.Length 4 "the random model writes on"
                  let short = ask stages[1] (StageRequest(StagePrompt.FromQuestion "x", MaxTokens = 3))
                  Expect.equal (short.Text, short.Ended, short.CompletionTokens) (text.Substring(0, 3), false, 3) "cut"
                  let stop = text.Substring(2, 2)
                  let stopped = ask stages[1] (StageRequest(StagePrompt.FromQuestion "x", Stop = [| "never"; stop |]))
                  Expect.equal
                      (stopped.Text, stopped.Ended)
                      (text.Substring(0, text.IndexOf(stop, StringComparison.Ordinal)), true)
                      "stopped")
          }
          test "a draft is accepted as far as the stage would have written it itself" {
              using (fun cascade stages ->
                  for prompt in prompts do
                      let request = StageRequest(StagePrompt.FromQuestion prompt)
                      let own = ask stages[1] request
                      let verify draft = stages[1].VerifyAsync(request, draft).AsTask().Result
                      let same = verify own.Tokens
                      Expect.equal (same.Accepted, same.Drafted) (own.Tokens.Count, own.Tokens.Count) "its own answer"
                      for i in 0 .. own.Tokens.Count - 1 do
                          Expect.floatClose Accuracy.medium same.LogProbabilities[i] own.Tokens[i].LogProbability "log-probability"
                          let text = own.Tokens[i].Text
                          let other = if text = "1" then "2" else "1"
                          let changed = [| for j, t in Seq.indexed own.Tokens -> if j = i then StageToken(-1, other, nan) else t |]
                          Expect.equal (verify changed).Accepted i "up to the changed token"
                      Expect.equal (verify [||]).Drafted 0 "nothing")
          }
          test "with a draft the answer is the same, its cost at least that of the forwards made" {
              using (fun cascade stages ->
                  for prompt in prompts do
                      let plain = ask stages[1] (StageRequest(StagePrompt.FromQuestion prompt))
                      let withDraft draft = ask stages[1] (StageRequest(StagePrompt.FromQuestion prompt, Draft = draft))
                      let other = (ask stages[0] (StageRequest(StagePrompt.FromQuestion prompt))).Tokens
                      let longest = cascade.File.MaxTokens - 1 // the last token is never drafted: it comes with the verification
                      let odd: System.Collections.Generic.IReadOnlyList<StageToken> = [| StageToken(-1, "7#7", nan) |]
                      for draft in [ plain.Tokens; other; odd ] |> List.filter (fun d -> d.Count > 0) do
                          let reply = withDraft draft
                          Expect.equal (reply.Text, reply.Features, reply.Ended) (plain.Text, plain.Features, plain.Ended) "answer"
                          Expect.sequenceEqual reply.Tokens plain.Tokens "tokens with their log-probabilities"
                          // A forward of several tokens costs at least one of one token.
                          let least = plain.Cost * float reply.Forwards / float plain.Forwards
                          Expect.isGreaterThanOrEqual (reply.Cost + 1e-12) least "cost"
                          // One token of another stage may be several of this one's: here, one a character.
                          let characters = draft |> Seq.sumBy (fun token -> token.Text.Length)
                          Expect.equal (nonNull reply.Draft).Drafted (min characters longest) "judged"
                      let own = withDraft plain.Tokens
                      Expect.isLessThan own.Forwards 3 "its own answer, at once"
                      Expect.equal (nonNull own.Draft).Accepted (min plain.Tokens.Count longest) "all of it"
                      // A draft that this vocabulary cannot write, and requests that watch each token, are answered plainly.
                      Expect.isTrue (isNull (box (withDraft [| StageToken(-1, "Ü", nan) |]).Draft)) "foreign"
                      Expect.isTrue
                          (isNull (
                              box
                                  (ask stages[1] (StageRequest(StagePrompt.FromQuestion prompt, Draft = plain.Tokens, Alternatives = 2)))
                                      .Draft
                          ))
                          "alternatives")
          }
          test "a conversation needs a chat template; a long draft is refused" {
              using (fun _ stages ->
                  let talk = StagePrompt.FromMessages [| StageMessage("system", "be brief"); StageMessage("user", "x") |]
                  Expect.equal
                      (fault (fun () -> stages[0].AnswerAsync(StageRequest talk)))
                      "messages: expected one message of the role 'user' (the models of this cascade have no chat template), got system, user"
                      "roles"
                  let long = [| for _ in 1..200 -> StageToken(-1, "1", nan) |]
                  Expect.stringStarts
                      (fault (fun () -> stages[0].VerifyAsync(StageRequest(StagePrompt.FromQuestion "x"), long)))
                      "draft: expected fewer than 128 tokens"
                      "draft")
          } ]
