/// `toolkit info`: the models of a ladder, their sizes and their measured costs.
module OptimalStopping.Cli.Commands.Info

open System
open System.IO
open System.Linq
open System.Text.Json
open Argu
open OptimalStopping.Runtime.Ladder
open OptimalStopping.Runtime.Models
open OptimalStopping.Cli.Commands.Shared

type InfoArguments =
    | Config of string
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Config _ -> "the ladder file (default: configs/nano.yaml)."
            | Json -> "print JSON."

let execute (arguments: ParseResults<InfoArguments>) =
    let file = LadderFile.Load(ladderFile (arguments.TryGetResult InfoArguments.Config))
    use ladder = ModelLadder.Load file
    let timings = ModelBenchmark.Measure ladder.Models
    let costs = ModelBenchmark.RelativeCosts timings
    let rows =
        file.Stages |> Seq.mapi (fun i stage ->
            let config = (ladder.Models[i] :?> CpuModel).Config
            {| name = stage.Name
               hidden = config.HiddenSize
               layers = config.Layers
               heads = $"{config.Heads}/{config.KeyValueHeads} x {config.HeadDimension}"
               intermediate = config.IntermediateSize
               bytes = FileInfo(Path.Combine(stage.Path, "model.safetensors")).Length
               cost = stage.Cost
               measured_cost = costs[i]
               microseconds_per_token = 1e6 * timings[i].SecondsPerToken
               batched_cost = timings[i].BatchedSecondsPerToken / timings[0].BatchedSecondsPerToken
               batched_microseconds_per_token = 1e6 * timings[i].BatchedSecondsPerToken |})
        |> Seq.toArray
    if arguments.Contains InfoArguments.Json then
        printfn "%s" (JsonSerializer.Serialize({| ladder = file.Name; kernels = KernelSet.Best.Name; stages = rows |}, JsonSerializerOptions(WriteIndented = true)))
    else
        printfn "ladder %s, kernels %s (available: %s)" file.Name KernelSet.Best.Name (String.Join(", ", KernelSet.Available.Select(fun k -> k.Name)))
        printfn "%-10s %6s %6s %10s %6s %10s %8s %10s %12s %10s %12s" "model" "hidden" "layers" "heads" "ffn" "bytes" "cost" "measured" "us/token" "batched" "us/token"
        for r in rows do
            printfn "%-10s %6d %6d %10s %6d %10d %8s %10s %12s %10s %12s" r.name r.hidden r.layers r.heads r.intermediate r.bytes (number r.cost 1)
                (number r.measured_cost 2) (number r.microseconds_per_token 1) (number r.batched_cost 2) (number r.batched_microseconds_per_token 1)
