/// `toolkit`: reads the command line, runs the command, and turns faults into one line and an exit code:
/// 0 done, 1 failed, 2 bad usage.
module OptimalStopping.Cli.Program

open System
open System.Runtime.InteropServices
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Cli.Arguments
open OptimalStopping.Cli.Commands

let private dispatch (arguments: ParseResults<ToolkitArguments>) (cancel: CancellationToken) =
    if arguments.Contains Version then
        printfn "%s" RunManifest.ThisBuild
    else
        match arguments.GetSubCommand() with
        | Version -> () // no command
        | Run a -> Run.execute a cancel
        | Evaluate a -> Evaluate.execute a
        | Calibrate a -> Calibrate.execute a cancel
        | Figure a -> Figure.execute a
        | Decode a -> Decode.execute a cancel
        | Collect a -> Collect.execute a cancel
        | Train a -> Train.execute a cancel
        | Serve a -> Serve.execute a cancel
        | Info a -> Info.execute a
        | Bench a -> Bench.execute a
        | Doctor a -> Doctor.execute a
        | Theory a -> Theory.execute a cancel

/// Runs a command line and returns the exit code. Faults go to standard error, one line each.
let execute (argv: string[]) (cancel: CancellationToken) : int =
#if TORCH
    Torch.Inference.TorchModel.Register()
#endif
    let fail code (text: string) =
        eprintfn "toolkit: %s" text
        code
    let parser = ArgumentParser.Create<ToolkitArguments>(programName = "toolkit", checkStructure = false)
    try
        if Array.isEmpty argv then
            eprintfn "%s" (parser.PrintUsage())
            2
        else
            CommandLine.check parser argv
            dispatch (parser.ParseCommandLine(argv, raiseOnUsage = true)) cancel
            0
    with
    | :? ArguParseException as e when e.ErrorCode = ErrorCode.HelpText ->
        printfn "%s" e.Message
        0
    | :? ArguParseException as e ->
        let firstLine = e.Message.Split('\n')[0]
        fail 2 (firstLine.Replace("ERROR: ", ""))
    | Shared.UsageException text -> fail 2 text
    | :? ToolkitException as e -> fail 1 e.Message
    | :? OperationCanceledException -> fail 1 "interrupted"
    | :? AggregateException as e when (e.InnerException :? ToolkitException) -> fail 1 ((nonNull e.InnerException).Message)
    | :? IO.IOException as e -> fail 1 e.Message
    | :? UnauthorizedAccessException as e -> fail 1 e.Message
    | e when isNull (Environment.GetEnvironmentVariable "TOOLKIT_STACK_TRACE") ->
        let message = e.GetBaseException().Message.ReplaceLineEndings " "
        fail
            1
            $"a fault of the toolkit itself, {e.GetBaseException().GetType().Name}: {message}; with TOOLKIT_STACK_TRACE=1 it says where, please report that"

[<EntryPoint>]
let main argv =
    use interrupt = new CancellationTokenSource()
    Console.CancelKeyPress.Add(fun e ->
        // The first Ctrl-C ends cleanly, the second at once.
        e.Cancel <- not interrupt.IsCancellationRequested
        interrupt.Cancel())
    // What ends a service or a container (kill, systemd, docker stop) ends it as cleanly.
    use _ =
        PosixSignalRegistration.Create(
            PosixSignal.SIGTERM,
            fun context ->
                context.Cancel <- not interrupt.IsCancellationRequested
                interrupt.Cancel()
        )
    execute argv interrupt.Token
