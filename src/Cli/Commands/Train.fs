/// `toolkit train`: the models of a plan, trained with TorchSharp.
module OptimalStopping.Cli.Commands.Train

open System
open System.IO
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Cli.Commands.Shared

type TrainArguments =
    | Config of file: string
    | [<Mandatory>] Out of dir: string
    | Model of name: string
    | Threads of int

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Config _ -> "the training plan (default: configs/miniature_training.yaml)."
            | Out _ -> "the folder for the models."
            | Model _ -> "train only this model of the plan (default: all, one after the other)."
            | Threads _ -> "threads for libtorch (default: 1)."

let execute (arguments: ParseResults<TrainArguments>) (cancel: CancellationToken) =
    let out = arguments.GetResult TrainArguments.Out
    let config =
        arguments.GetResult(TrainArguments.Config, defaultValue = repositoryFile (Path.Combine("configs", "miniature_training.yaml")))
    let threads = arguments.GetResult(Threads, defaultValue = 1)
    if threads < 1 then raise (UsageException $"--threads: expected at least 1, got {threads}")
#if TORCH
    try
        Torch.TrainingCommand.Run(
            config,
            out,
            threads,
            Action<string>(printfn "%s"),
            Option.toObj (arguments.TryGetResult TrainArguments.Model),
            cancel
        )
    with :? OperationCanceledException ->
        raise (InterruptedException $"the checkpoints in {out} are kept: the same command goes on")
#else
    ignore (config, threads, cancel)
    raise (
        ToolkitException
            $"train: expected a build with TorchSharp, got one without; run: dotnet run --project src/Cli -c Release -p:TorchBackend=cpu -- train --out {out}"
    )
#endif
