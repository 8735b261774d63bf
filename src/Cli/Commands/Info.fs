/// `toolkit info`: what a cascade file would load where, the memory that takes, and, for models that are small or when
/// asked, what a token costs on this machine.
module OptimalStopping.Cli.Commands.Info

open System
open System.IO
open System.Linq
open System.Text.Json
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Models
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands.Shared

type InfoArguments =
    | Config of file: string
    | Tokens of int
    | Measure
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Config _ -> "the cascade file (default: configs/miniature.yaml)."
            | Tokens _ -> "length of the sequence whose cache is counted (default: 4096, or what the model allows)."
            | Measure -> "load the models and measure what a token costs, however large they are."
            | Json -> "print JSON."

/// Cascades of fewer bytes than this are measured without being asked.
let private smallBytes = 64L <<< 20

let private defaultTokens = 4096

/// One device's part of a stage, for the table and for JSON.
let private share (s: DeviceShare) =
    {| device = s.Device
       first_layer = s.FirstLayer
       layers = s.Layers
       weight_bytes = s.WeightBytes
       cache_bytes = s.CacheBytes
       work_bytes = s.WorkBytes
       total_bytes = s.TotalBytes |}

/// A model's shape, from its files' headers alone, or as published where the files are not there yet.
type private Shape = { Config: Qwen3Config; Format: string; EmbeddingBytes: int; DiskBytes: int64; Present: bool }

let private shapeOf (stage: CascadeStage) : Shape option =
    if Directory.Exists stage.Path || File.Exists stage.Path then
        use source = ModelSource.Open stage.Path
        let files = if File.Exists stage.Path then [| stage.Path |] else Directory.GetFiles stage.Path
        let length (file: string) =
            // Files of the hub's cache are links to their contents.
            match FileInfo(file).ResolveLinkTarget true with
            | :? FileInfo as target -> target.Length
            | _ -> FileInfo(file).Length
        Some
            { Config = source.Config
              Format = source.Format
              EmbeddingBytes = source.EmbeddingBytes
              DiskBytes = files |> Array.sumBy length
              Present = true }
    else
        let name =
            match stage.Repository with
            | null -> nonNull (Path.GetFileName stage.Path)
            | repository -> repository.Name
        match ModelShapes.OfRepository name with
        | null -> None
        | config ->
            Some { Config = config; Format = "BF16"; EmbeddingBytes = 2; DiskBytes = ModelShapes.PublishedBytes config; Present = false }

let private plan (tokens: int) (tokensPerSecond: Qwen3Config -> int -> float) (stage: CascadeStage) (shape: Shape) =
    let config = shape.Config
    let length = min tokens config.MaxPositions
    {| name = stage.Name
       backend = stage.Backend
       path = stage.Path
       repository =
        match stage.Repository with
        | null -> null
        | repository -> repository.Name
       present = shape.Present
       format = shape.Format
       hidden = config.HiddenSize
       layers = config.Layers
       heads = $"{config.Heads}/{config.KeyValueHeads} x {config.HeadDimension}"
       intermediate = config.IntermediateSize
       vocabulary = config.VocabularySize
       cost = stage.Cost
       tokens = length
       disk_bytes = shape.DiskBytes
       cpu_tokens_per_second = finite (tokensPerSecond config shape.EmbeddingBytes)
       devices = LayerPlacement.Estimate(config, stage.Devices, shape.EmbeddingBytes, length) |> Seq.map share |> Seq.toArray |}

/// The part of the memory's speed that decoding reaches (docs/engine.md: 72 to 94 %).
let private shareOfBandwidth = 0.8

/// Tokens a second that one sequence may expect of the CPU engine: every token reads all matrices once.
let private fromBandwidth (bandwidth: Lazy<float>) (config: Qwen3Config) (embeddingBytes: int) =
    let all = LayerPlacement.Estimate(config, CascadeStage.Cpu, embeddingBytes, 1) |> Seq.sumBy (fun d -> d.WeightBytes)
    let embedding = int64 config.VocabularySize * int64 config.HiddenSize * int64 embeddingBytes
    shareOfBandwidth * bandwidth.Value / float (all - embedding)

/// What a cascade needs and does not have: what it is, where it was looked for, and how to get it.
let private missing (file: CascadeFile) =
    let pull = $"toolkit pull --config {file.File}"
    [| for stage in file.Stages do
           if stage.IsLocal && not (Directory.Exists stage.Path || File.Exists stage.Path) then
               {| what = $"stage {stage.Name}"
                  path = stage.Path
                  remedy =
                   match stage.Repository with
                   | null -> "key path: a model's folder or a .gguf file; or key repository: a model of the hub"
                   | _ -> pull |}
       for what, path in [ "questions", file.Tasks.Path; "calibration questions", file.Tasks.CalibrationPath ] do
           match path with
           | null -> ()
           | path ->
               if not (Directory.Exists path || File.Exists path) then
                   {| what = what; path = path; remedy = "key data: a file of questions" |}
       match file.CalibrationTrace with
       | null -> ()
       | path ->
           if not (File.Exists path) then
               {| what = "calibration records"
                  path = path
                  remedy = $"toolkit collect --config {file.File} --split calibration --out {path}" |} |]

/// Memory that is free on a device; nothing where the system does not tell.
let private freeBytes (device: string) =
    if device = "cpu" then
        Nullable(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes)
    else
        CudaMemory.FreeBytes(int (device.Substring "cuda:".Length))

let private gibibytes (bytes: int64) = number (float bytes / float (1L <<< 30)) 3

let private measured (cascade: Cascade) =
    let file = cascade.File
    let timings = ModelBenchmark.Measure cascade.Models
    let costs = ModelBenchmark.RelativeCosts timings
    timings
    |> Array.mapi (fun i t ->
        {| name = file.Stages[i].Name
           cost = file.Stages[i].Cost
           measured_cost = costs[i]
           microseconds_per_token = 1e6 * t.SecondsPerToken
           batched_cost = t.BatchedSecondsPerToken / timings[0].BatchedSecondsPerToken
           batched_microseconds_per_token = 1e6 * t.BatchedSecondsPerToken |})

/// Questions that tokens are priced on.
let private pricedQuestions = 100

/// Prices of tokens by the time that they take here, on the cascade's own calibration questions.
let private prices (cascade: Cascade) =
    let file = cascade.File
    let questions =
        OptimalStopping.Experiments.CascadeQueries.Draw(file, 1)
        |> Seq.choose (fun struct (query, split) -> if split = CascadeRecords.Calibration then Some query.Prompt else None)
        |> Seq.truncate pricedQuestions
        |> Seq.toArray
    MeasuredPrices.OfStages(MeasuredPrices.Time(cascade, questions))
    |> Array.mapi (fun k price -> {| name = file.Stages[k].Name; input_cost = price.Input; output_cost = price.Output |})

let execute (arguments: ParseResults<InfoArguments>) =
    let tokens = arguments.GetResult(Tokens, defaultValue = defaultTokens)
    if tokens < 1 then raise (UsageException $"--tokens: expected at least 1, got {tokens}")
    let file = CascadeFile.Load(cascadeFile (arguments.TryGetResult InfoArguments.Config))
    let local = file.Stages.Where(fun stage -> stage.IsLocal).ToArray()
    let shapes = local |> Array.map shapeOf
    let missing = missing file
    let weights = local.Zip(shapes).Sum(fun (struct (_, s)) -> s |> Option.map _.DiskBytes |> Option.defaultValue 0L)
    let allPresent = shapes |> Array.forall (fun s -> s.IsSome && s.Value.Present)
    if arguments.Contains Measure && not allPresent then
        raise (
            ToolkitException $"{file.File}: --measure: expected every model's files, got none for {missing[0].what}; {missing[0].remedy}"
        )
    let timings, priced =
        if local.Length = file.Stages.Count && allPresent && (arguments.Contains Measure || weights < smallBytes) then
            use cascade = Cascade.Load file
            measured cascade, (if arguments.Contains Measure then prices cascade else [||])
        elif arguments.Contains Measure then
            raise (ToolkitException $"{file.File}: --measure: expected models that run in this process, got backend openai")
        else
            [||], [||]
    // Small models are measured; memory bounds large ones.
    let bandwidth = lazy (MemoryBandwidth.Measure(512L <<< 20, 3))
    let expected = if timings.Length > 0 || Array.isEmpty local then fun _ _ -> nan else fromBandwidth bandwidth
    let stages = Array.zip local shapes |> Array.choose (fun (stage, shape) -> shape |> Option.map (plan tokens expected stage))
    let totals =
        stages
        |> Array.collect (fun s -> s.devices)
        |> Array.groupBy (fun d -> d.device)
        |> Array.map (fun (device, parts) ->
            {| device = device; total_bytes = parts |> Array.sumBy (fun p -> p.total_bytes); free_bytes = freeBytes device |})
    if arguments.Contains InfoArguments.Json then
        printJson
            {| cascade = file.Name
               kernels = KernelSets.Best.Name
               stages = stages
               devices = totals
               timings = timings
               prices = priced
               missing = missing |}
    else
        printfn
            "cascade %s, kernels %s (available: %s)"
            file.Name
            KernelSets.Best.Name
            (String.Join(", ", KernelSets.Available.Select(fun k -> k.Name)))
        Table.print
            [| "model"; "backend"; "format"; "hidden"; "layers"; "heads"; "ffn"; "vocab"; "cost"; "GiB on disk"; "tokens/s (cpu)" |]
            [| for s in stages ->
                   [| s.name
                      s.backend
                      s.format
                      string s.hidden
                      string s.layers
                      s.heads
                      string s.intermediate
                      string s.vocabulary
                      number s.cost 2
                      gibibytes s.disk_bytes
                      (if s.cpu_tokens_per_second.HasValue then number s.cpu_tokens_per_second.Value 1 else "measured") |] |]
        printfn ""
        Table.print
            [| "GiB"; "device"; "layers"; "weights"; "cache"; "work"; "total"; "of" |]
            [| for s in stages do
                   for d in s.devices ->
                       [| s.name
                          d.device
                          $"{d.first_layer}-{d.first_layer + d.layers - 1}"
                          gibibytes d.weight_bytes
                          gibibytes d.cache_bytes
                          gibibytes d.work_bytes
                          gibibytes d.total_bytes
                          "" |]
               for t in totals ->
                   [| "all"
                      t.device
                      ""
                      ""
                      ""
                      ""
                      gibibytes t.total_bytes
                      (if t.free_bytes.HasValue then gibibytes t.free_bytes.Value else "unknown") |] |]
        printfn "(the cache is that of one sequence of %d tokens, or of as many as the model allows)" tokens
        if bandwidth.IsValueCreated then
            printfn
                "(tokens/s of the CPU engine, one sequence: %s %% of the memory's %s GB/s, measured now)"
                (number (100.0 * shareOfBandwidth) 0)
                (number (bandwidth.Value / 1e9) 1)
#if !TORCH
        if file.Stages.Any(fun stage -> stage.Backend = "torch") then
            printfn "(backend torch is not in this build: build with -p:TorchBackend=cuda or cpu, or choose backend: cpu)"
#endif
        for stage, shape in Array.zip local shapes do
            if shape.IsNone then printfn "(stage %s: its shape is not known before its files are there)" stage.Name
        if missing.Length > 0 then
            printfn ""
            printfn "missing:"
            for m in missing do
                printfn "  %s: %s" m.what m.path
            printfn "to get it:"
            for remedy in missing |> Array.map _.remedy |> Array.distinct do
                printfn "  %s" remedy
        if timings.Length > 0 then
            printfn ""
            Table.print
                [| "model"; "cost"; "measured"; "us/token"; "batched"; "us/token" |]
                [| for t in timings ->
                       [| t.name
                          number t.cost 1
                          number t.measured_cost 2
                          number t.microseconds_per_token 1
                          number t.batched_cost 2
                          number t.batched_microseconds_per_token 1 |] |]
        if priced.Length > 0 then
            printfn ""
            printfn
                "prices of tokens by their time here, for the stages of a cascade file (an average answer of %s costs %g):"
                (Array.last priced).name
                MeasuredPrices.Largest
            for p in priced do
                printfn "  %s: input_cost: %s, output_cost: %s" p.name (number p.input_cost 0) (number p.output_cost 0)
