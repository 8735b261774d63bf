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
            | Config _ -> "the cascade file (default: configs/nano.yaml)."
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

/// What a stage would load, from its files' headers alone.
let private plan (file: CascadeFile) (tokens: int) (stage: CascadeStage) =
    if not (Directory.Exists stage.Path || File.Exists stage.Path) then
        raise (ToolkitException $"{file.File}: stage '{stage.Name}': expected a model folder or a .gguf file at {stage.Path}, got none")
    use source = ModelSource.Open stage.Path
    let config = source.Config
    let length = min tokens config.MaxPositions
    {| name = stage.Name
       backend = stage.Backend
       path = stage.Path
       format = source.Format
       hidden = config.HiddenSize
       layers = config.Layers
       heads = $"{config.Heads}/{config.KeyValueHeads} x {config.HeadDimension}"
       intermediate = config.IntermediateSize
       vocabulary = config.VocabularySize
       cost = stage.Cost
       tokens = length
       devices = LayerPlacement.Estimate(config, stage.Devices, source.EmbeddingBytes, length) |> Seq.map share |> Seq.toArray |}

let private gibibytes (bytes: int64) = number (float bytes / float (1L <<< 30)) 3

let private measured (file: CascadeFile) =
    use cascade = Cascade.Load file
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

let execute (arguments: ParseResults<InfoArguments>) =
    let tokens = arguments.GetResult(Tokens, defaultValue = defaultTokens)
    if tokens < 1 then raise (UsageException $"--tokens: expected at least 1, got {tokens}")
    let file = CascadeFile.Load(cascadeFile (arguments.TryGetResult InfoArguments.Config))
    let local = file.Stages.Where(fun stage -> stage.IsLocal).ToArray()
    let stages = local |> Array.map (plan file tokens)
    let weights = stages |> Array.sumBy (fun s -> s.devices |> Array.sumBy (fun d -> d.weight_bytes))
    let timings =
        if local.Length = file.Stages.Count && (arguments.Contains Measure || weights < smallBytes) then
            measured file
        elif arguments.Contains Measure then
            raise (ToolkitException $"{file.File}: --measure: expected models that run in this process, got backend openai")
        else
            [||]
    let totals =
        stages
        |> Array.collect (fun s -> s.devices)
        |> Array.groupBy (fun d -> d.device)
        |> Array.map (fun (device, parts) -> {| device = device; total_bytes = parts |> Array.sumBy (fun p -> p.total_bytes) |})
    if arguments.Contains InfoArguments.Json then
        let value = {| cascade = file.Name; kernels = KernelSets.Best.Name; stages = stages; devices = totals; timings = timings |}
        printJson value
    else
        printfn
            "cascade %s, kernels %s (available: %s)"
            file.Name
            KernelSets.Best.Name
            (String.Join(", ", KernelSets.Available.Select(fun k -> k.Name)))
        Table.print
            [| "model"; "backend"; "format"; "hidden"; "layers"; "heads"; "ffn"; "vocab"; "cost" |]
            [| for s in stages ->
                   [| s.name
                      s.backend
                      s.format
                      string s.hidden
                      string s.layers
                      s.heads
                      string s.intermediate
                      string s.vocabulary
                      number s.cost 2 |] |]
        printfn ""
        Table.print
            [| "GiB"; "device"; "layers"; "weights"; "cache"; "work"; "total" |]
            [| for s in stages do
                   for d in s.devices ->
                       [| s.name
                          d.device
                          $"{d.first_layer}-{d.first_layer + d.layers - 1}"
                          gibibytes d.weight_bytes
                          gibibytes d.cache_bytes
                          gibibytes d.work_bytes
                          gibibytes d.total_bytes |]
               for t in totals -> [| "all"; t.device; ""; ""; ""; ""; gibibytes t.total_bytes |] |]
        printfn "(the cache is that of one sequence of %d tokens, or of as many as the model allows)" tokens
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
