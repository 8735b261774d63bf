/// A cascade of three chat clients that give back what models answered, in a trace of the user's: calibrated by agreement on 300
/// prompts, held against always asking the largest on all others. TOOLKIT_TRACE names the trace; its lines need `answer`.
module Server.Tests.RecordedChatTests

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open System.Threading.Tasks
open Expecto
open Microsoft.Extensions.AI
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Chat
open OptimalStopping.Runtime.Tasks
open Support

type private Recorded = { Id: string; Answers: string[]; Costs: float[]; Quality: float[] }

let private stages = 3

let private read (path: string) =
    [| for line in File.ReadLines path ->
           let root = JsonDocument.Parse(line).RootElement
           let column (key: string) (value: JsonElement -> 'a) =
               [| for s in Seq.truncate stages ((root.GetProperty "stages").EnumerateArray()) -> value (s.GetProperty key) |]
           { Id = string (root.GetProperty "id")
             Answers = column "answer" string
             Costs = column "cost" _.GetDouble()
             Quality = column "quality" _.GetDouble() } |]

/// A client that answers the question with what the stage's model answered, and says nothing of how sure it is.
let private client (known: IReadOnlyDictionary<string, Recorded>) (k: int) =
    { new IChatClient with
        member _.GetResponseAsync(messages, _, _) =
            Task.FromResult(ChatResponse(ChatMessage(ChatRole.Assistant, known[(Seq.last messages).Text].Answers[k])))
        member this.GetStreamingResponseAsync(messages, options, cancel) =
            this.GetResponseAsync(messages, options, cancel).Result.ToChatResponseUpdates().ToAsyncEnumerable()
        member _.GetService(_, _) = null
        member _.Dispose() = () }

// What a right answer is: that of a model which was right. Where none was, no answer of theirs is.
let private query (r: Recorded) =
    let solution =
        match Array.tryFindIndex (fun q -> q = 1.0) r.Quality with
        | Some k -> r.Answers[k]
        | None -> "none of them"
    Query(r.Id, "recorded", 1, r.Id, solution, Grader = AnswerGrader Grading.Exact)

[<Tests>]
let tests =
    test "RecordedChat: three chat clients without log-probabilities, calibrated by agreement on 300 prompts, against always the largest" {
        match Option.ofObj (Environment.GetEnvironmentVariable "TOOLKIT_TRACE") with
        | None -> skiptest "set TOOLKIT_TRACE to a trace with answers to have this test"
        | Some path ->
            TraceFiles.withFolder (fun folder ->
                let all = read path
                Random(1).Shuffle all
                let calibration, test = Array.splitAt 300 all
                let unit = calibration |> Array.averageBy (fun r -> r.Costs[0])
                let costs = [| for k in 0 .. stages - 1 -> (calibration |> Array.averageBy (fun r -> r.Costs[k])) / unit |]
                let known = dict [ for r in all -> r.Id, r ] :?> IReadOnlyDictionary<string, Recorded>
                let clients = [| for k in 0 .. stages - 1 -> client known k |]
                let names = [| for k in 1..stages -> $"stage-{k}" |]
                let cascade = ChatCascade.Create(clients, ChatCascadeOptions(Costs = costs, Names = names))
                let records = Path.Combine(folder, "records.jsonl")
                let queries = [| for r in calibration -> struct (query r, CascadeRecords.Calibration) |]
                Expect.equal (Collector.CollectAsync(cascade, queries, records, infinity).Result) 300 "recorded"
                let count = float test.Length
                let largest = test |> Array.averageBy (fun r -> r.Quality[stages - 1])
                let largestCost = (test |> Array.averageBy (fun r -> r.Costs[stages - 1])) / unit
                printfn
                    "always the largest: quality %.4f at cost %.2f, in units of the smallest's; %d questions"
                    largest
                    largestCost
                    test.Length
                for lambda in [ 0.0005; 0.002; 0.005; 0.01 ] do
                    use chat = new CascadeChatClient(AdaptiveCascade.Fit(cascade, CascadeRecords.Load records, lambda))
                    let outcomes =
                        [| for r in test ->
                               let response = ChatClientExtensions.GetResponseAsync(chat, r.Id).Result
                               let properties = nonNull response.AdditionalProperties
                               let at (name: string) = Array.IndexOf(names, name)
                               let asked = unbox<string[]> properties[CascadeChatClient.AskedKey]
                               let chosen = at (string properties[CascadeChatClient.StageKey])
                               Expect.equal response.Text r.Answers[chosen] "the recorded answer"
                               r.Quality[chosen], Array.sumBy (fun name -> r.Costs[at name]) asked / unit |]
                    let quality, cost = Array.averageBy fst outcomes, Array.averageBy snd outcomes
                    // Paired: the same questions.
                    let gains =
                        Array.map2 (fun (q, c) r -> q - r.Quality[stages - 1] - lambda * (c - r.Costs[stages - 1] / unit)) outcomes test
                    let gain = Array.average gains
                    let error = sqrt ((gains |> Array.averageBy (fun g -> (g - gain) ** 2.0)) / count)
                    printfn
                        "lambda %.4f: quality %.4f at cost %.2f, %.0f %% of the largest's cost; gain %.4f (standard error %.4f)"
                        lambda
                        quality
                        cost
                        (100.0 * cost / largestCost)
                        gain
                        error
                    // 300 prompts do not tell plans apart that are closer than this.
                    Expect.isGreaterThan gain (-0.01 - 3.0 * error) "no worse than the largest alone, cost counted")
    }
