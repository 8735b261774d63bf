/// `toolkit bench`: how fast the CPU engine runs on this machine, and how near that is to what its memory allows.
module OptimalStopping.Cli.Commands.Bench

open System
open System.IO
open System.Text.Json
open Argu
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Models.Accuracy
open OptimalStopping.Runtime.Tasks
open OptimalStopping.Runtime.Tokenization
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands.Shared

type BenchArguments =
    | Config of file: string
    | Shape of shape: string
    | Kernels of name: string
    | Rounds of int
    | Prefill of int list
    | Context of int list
    | Batch of int list
    | Accuracy of int
    | Serve of url: string
    | Model of name: string
    | Prompts of file: string
    | Requests of int
    | Rate of float
    | Clients of int
    | Max_Tokens of int
    | Within of float
    | Key_Env of name: string
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Config _ -> "measure the models of this cascade file."
            | Shape _ -> "measure random weights of this shape: " + String.Join(", ", ModelShapes.Names) + " (default: miniature)."
            | Kernels _ -> "the instruction set; `toolkit info` lists those of this machine (default: the fastest)."
            | Rounds _ -> "rounds whose median counts (default: 5)."
            | Prefill _ -> "prompt lengths (default: 8 64 512)."
            | Context _ -> "tokens held before decoding (default: 0 1024 8192)."
            | Batch _ -> "sequences decoded together (default: 1 4 16)."
            | Accuracy _ ->
                "instead: what the engine's roundings change on so many test questions of the cascade (perplexity, accuracy, each layer)."
            | Serve _ -> "instead: load on an OpenAI-compatible server, by its address, e.g. http://127.0.0.1:8080/v1."
            | Model _ -> "with --serve: the model to ask for (default: miniature)."
            | Prompts _ -> "with --serve: a trace file, or JSON lines with a prompt (default: the embedded cascade's examples)."
            | Requests _ -> "with --serve: requests in all (default: 100)."
            | Rate _ -> "with --serve: requests a second, arriving at random (default: as fast as the clients are answered)."
            | Clients _ -> "with --serve: clients that ask at the same time (default: 4)."
            | Max_Tokens _ -> "with --serve: most tokens of an answer (default: 64)."
            | Within _ -> "with --serve: seconds within which the first token makes a request a good one (default: 1)."
            | Key_Env _ -> "with --serve: environment variable with the API key."
            | Json -> "print JSON."

type private Figures = { Model: string; Kernels: string; WeightBytes: int64; GreedyBytes: int64; Figures: EngineFigure list }

let private positive name least (values: int list) =
    for v in values do
        if v < least then raise (UsageException $"{name}: expected {least} or more, got {v}")
    values

let private measure (model: CpuModel) prefills contexts batches rounds =
    let benchmark = EngineBenchmark model
    let most = model.MaxPositions
    let figures =
        [ for tokens in prefills do
              if tokens <= most then yield benchmark.Prefill(tokens, rounds)
          for context in contexts do
              for batch in batches do
                  // What a round decodes grows with the model's speed, so that each takes about as long.
                  let tokens = Math.Clamp(int (2e9 / float model.BytesPerToken), 4, 64)
                  if context + tokens <= most then yield benchmark.Decode(context, batch, tokens, rounds) ]
    { Model = model.Name
      Kernels = model.Kernels.Name
      WeightBytes = model.BytesPerToken
      GreedyBytes = model.BytesPerGreedyToken
      Figures = figures }

let private show (bandwidth: float) threads (all: Figures list) =
    printfn "memory: %s GB/s read by %d threads (best of 7 passes over 1 GiB)" (number (bandwidth / 1e9) 1) threads
    for f in all do
        printfn ""
        let megabytes (bytes: int64) = number (float bytes / 1e6) 1
        let greedy = if f.GreedyBytes = f.WeightBytes then "" else $" (greedily and alone: {megabytes f.GreedyBytes} MB)"
        printfn "%s: kernels %s, %s MB of weights per token%s" f.Model f.Kernels (megabytes f.WeightBytes) greedy
        let row (x: EngineFigure) =
            let rate, share =
                if x.BytesPerSecond = 0.0 then
                    "", ""
                else
                    number (x.BytesPerSecond / 1e9) 1, number (100.0 * x.BytesPerSecond / bandwidth) 0 + " %"
            let looked = if Double.IsNaN x.LookedAt then "" else number (100.0 * x.LookedAt) 2 + " %"
            [| x.Kind; string x.Tokens; string x.Context; string x.Batch; number x.TokensPerSecond 1; rate; share; looked |]
        Table.print
            [| "work"; "tokens"; "context"; "batch"; "tokens/s"; "GB/s"; "of memory"; "head rows" |]
            [| for x in f.Figures -> row x |]

let private json (bandwidth: float) threads (all: Figures list) =
    let models =
        all
        |> List.map (fun f ->
            {| model = f.Model
               kernels = f.Kernels
               weight_bytes = f.WeightBytes
               greedy_weight_bytes = f.GreedyBytes
               figures =
                f.Figures
                |> List.map (fun x ->
                    {| kind = x.Kind
                       tokens = x.Tokens
                       context = x.Context
                       batch = x.Batch
                       tokens_per_second = x.TokensPerSecond
                       bytes_per_second = (if x.BytesPerSecond = 0.0 then Nullable() else Nullable x.BytesPerSecond)
                       head_rows_looked_at = (if Double.IsNaN x.LookedAt then Nullable() else Nullable x.LookedAt)
                       share_of_memory = (if x.BytesPerSecond = 0.0 then Nullable() else Nullable(x.BytesPerSecond / bandwidth)) |}) |})
    printJson {| memory_bytes_per_second = bandwidth; threads = threads; models = models |}

type private Errors = { Stage: string; Report: QuantisationReport; Right: float; FloatRight: float }

/// Both engines with the same weights: the reference solutions' tokens, and the answers that each writes itself.
let private accuracy (file: CascadeFile) (count: int) =
    let queries =
        CascadeQueries.Draw(file, 2024)
        |> Seq.filter (fun struct (_, split) -> split = CascadeRecords.Test)
        |> Seq.map (fun struct (query, _) -> query)
        |> Seq.truncate count
        |> Seq.toArray
    use cascade = Cascade.Load file
    let tokenizer = cascade.Tokenizer
    [ for stage in file.Stages do
          use model = CpuModel.Load stage.Path
          use reference = FloatModel.Load stage.Path
          let texts =
              queries
              |> Array.map (fun q ->
                  struct (cascade.EncodePrompt q.Prompt, Array.append (tokenizer.Encode q.Solution) [| tokenizer.EndOfText |]))
          let right (m: ITokenModel) =
              let decoder = GreedyDecoder(m, tokenizer.StopTokens, file.MaxTokens)
              queries
              |> Array.averageBy (fun q ->
                  let answer = decoder.Decode(ReadOnlySpan(cascade.EncodePrompt q.Prompt))
                  if answer.Ended then q.Grade(tokenizer.Decode answer.Tokens) else 0.0)
          { Stage = stage.Name
            Report = QuantisationReport.Measure(model, reference, texts)
            Right = right model
            FloatRight = right reference } ]

let private showAccuracy (count: int) (all: Errors list) =
    printfn "%d test queries; INT8 activations and bfloat16 keys and values against float32, with the same INT8 weights" count
    let row (e: Errors) =
        let r = e.Report
        let percent (x: float) digits = number (100.0 * x) digits + " %"
        [| e.Stage
           string r.Tokens
           number r.Perplexity 5
           number r.FloatPerplexity 5
           percent (r.Perplexity / r.FloatPerplexity - 1.0) 3
           percent e.Right 2
           percent e.FloatRight 2
           percent r.SameChoice 2
           percent r.LogitError 2
           String.Join(", ", r.LayerErrors |> Array.map (fun x -> percent x 2)) |]
    Table.print
        [| "model"; "tokens"; "perplexity"; "float"; "change"; "accuracy"; "float"; "same"; "logits"; "error of each layer's result" |]
        [| for e in all -> row e |]

let private accuracyJson (count: int) (all: Errors list) =
    let models =
        all
        |> List.map (fun e ->
            {| model = e.Stage
               tokens = e.Report.Tokens
               perplexity = e.Report.Perplexity
               float_perplexity = e.Report.FloatPerplexity
               accuracy = e.Right
               float_accuracy = e.FloatRight
               same_choice = e.Report.SameChoice
               logit_error = e.Report.LogitError
               layer_errors = e.Report.LayerErrors |})
    printJson {| queries = count; models = models |}

let private speed (arguments: ParseResults<BenchArguments>) =
    let rounds = arguments.GetResult(Rounds, 5)
    positive "--rounds" 1 [ rounds ] |> ignore
    let prefills = arguments.GetResult(Prefill, [ 8; 64; 512 ]) |> positive "--prefill" 1
    let contexts = arguments.GetResult(Context, [ 0; 1024; 8192 ]) |> positive "--context" 0
    let batches = arguments.GetResult(Batch, [ 1; 4; 16 ]) |> positive "--batch" 1
    let kernels =
        match arguments.TryGetResult Kernels with
        | Some name -> KernelSets.Named name
        | None -> KernelSets.Best
    let run (model: CpuModel) = measure model prefills contexts batches rounds
    let all =
        match arguments.TryGetResult Config, arguments.TryGetResult Shape with
        | Some _, Some _ -> raise (UsageException "expected --config or --shape, got both")
        | Some file, None ->
            [ for stage in CascadeFile.Load(file).Stages do
                  use model = CpuModel.Load(stage.Path, kernels)
                  yield run model ]
        | None, shape ->
            let name = defaultArg shape "miniature"
            use model = CpuModel.Random(name, ModelShapes.Find name, kernels = kernels)
            [ run model ]
    let bandwidth = MemoryBandwidth.Measure()
    let threads = WorkerPool.Shared.Size
    if arguments.Contains Json then json bandwidth threads all else show bandwidth threads all

let private load (url: string) (arguments: ParseResults<BenchArguments>) =
    let address =
        match Uri.TryCreate(url, UriKind.Absolute) with
        | true, address when (nonNull address).Scheme = "http" || (nonNull address).Scheme = "https" -> nonNull address
        | _ -> raise (UsageException $"--serve: expected an address that begins with http:// or https://, got '{url}'")
    let whole flag (value: int) = (positive flag 1 [ value ])[0]
    let above (flag: string) (value: float) =
        if not (value > 0.0 && Double.IsFinite value) then
            raise (UsageException $"{flag}: expected a number above 0, got {value}")
        value
    let key =
        arguments.TryGetResult Key_Env
        |> Option.map (fun name ->
            match Environment.GetEnvironmentVariable name with
            | null
            | "" -> raise (UsageException $"--key-env: expected an API key in the environment variable {name}, got none")
            | key -> key)
    if arguments.Contains Rate && arguments.Contains Clients then
        raise (UsageException "--rate: expected no --clients beside it, since requests arrive whether others are answered or not")
    LoadSettings(
        address,
        arguments.GetResult(Model, defaultValue = "miniature"),
        BenchServe.prompts (arguments.TryGetResult Prompts),
        Requests = whole "--requests" (arguments.GetResult(Requests, defaultValue = 100)),
        Rate = (arguments.TryGetResult Rate |> Option.map (above "--rate") |> Option.defaultValue 0.0),
        Clients = whole "--clients" (arguments.GetResult(Clients, defaultValue = 4)),
        MaxTokens = whole "--max-tokens" (arguments.GetResult(Max_Tokens, defaultValue = 64)),
        FirstTokenWithin = above "--within" (arguments.GetResult(Within, defaultValue = 1.0)),
        Key = Option.toObj key
    )

let execute (arguments: ParseResults<BenchArguments>) (cancel: Threading.CancellationToken) =
    match arguments.TryGetResult Serve with
    | Some url -> BenchServe.run (load url arguments) (arguments.Contains Json) cancel
    | None ->

        if
            [ arguments.Contains Model
              arguments.Contains Prompts
              arguments.Contains Requests
              arguments.Contains Rate
              arguments.Contains Clients
              arguments.Contains Max_Tokens
              arguments.Contains Within
              arguments.Contains Key_Env ]
            |> List.contains true
        then
            raise (UsageException "--serve: expected the address of a server beside flags of a load, got none")
        match arguments.TryGetResult Accuracy with
        | None -> speed arguments
        | Some count ->
            if arguments.Contains Shape then raise (UsageException "expected --accuracy with --config or alone, got --shape")
            positive "--accuracy" 1 [ count ] |> ignore
            let file = CascadeFile.Load(cascadeFile (arguments.TryGetResult Config))
            if count > file.TestQueries then
                raise (UsageException $"--accuracy: expected at most {file.TestQueries} (the test queries of {file.File}), got {count}")
            let all = accuracy file count
            if arguments.Contains Json then accuracyJson count all else showAccuracy count all
