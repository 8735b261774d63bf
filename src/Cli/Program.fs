/// `toolkit`: reads the command line, runs the command, and turns faults into one line and an exit code:
/// 0 done, 1 failed, 2 bad usage, 130 interrupted by Ctrl-C (143 by SIGTERM).
module OptimalStopping.Cli.Program

open System
open System.Runtime.InteropServices
open System.Threading
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Cli.Arguments
open OptimalStopping.Cli.Terminal
open OptimalStopping.Cli.Commands

let private dispatch (program: Syntax.Program) (arguments: ParseResults<ToolkitArguments>) (cancel: CancellationToken) =
    let abandonable work = Shared.abandonable cancel work
    if arguments.Contains Version then
        printfn "%s" RunManifest.ThisBuild
    else
        match arguments.GetSubCommand() with
        | Version -> () // no command
        | Run a -> Run.execute a cancel
        | Import a -> Import.execute a cancel
        | Evaluate a -> Evaluate.execute a cancel
        | Calibrate a -> Calibrate.execute a cancel
        | Check a -> abandonable (fun () -> Check.execute a)
        | Figure a -> abandonable (fun () -> Figure.execute a)
        | Decode a -> Decode.execute a cancel
        | Collect a -> Collect.execute a cancel
        | Train a -> Train.execute a cancel
        | Serve a -> Serve.execute a cancel
        | Quickstart a -> Quickstart.execute a cancel
        | Pull a -> Pull.execute a cancel
        | Info a -> abandonable (fun () -> Info.execute a)
        | Bench a -> abandonable (fun () -> Bench.execute a cancel)
        | Export a -> abandonable (fun () -> Export.execute a)
        | Perplexity a -> abandonable (fun () -> Perplexity.execute a)
        | Doctor a -> Doctor.execute a
        | Theory a -> abandonable (fun () -> Theory.execute a cancel)
        | Completions a -> printfn "%s" (Completions.script (a.GetResult Shell) program)
        | Help _ -> () // asked and answered before

/// What a shell says of a program that SIGINT, or SIGTERM, has ended: 128 and the signal's number.
let private interrupted, private terminated = 130, 143

/// Runs a command line and returns the exit code. Faults go to standard error, one line each.
let execute (argv: string[]) (cancel: CancellationToken) : int =
#if TORCH
    Torch.Inference.TorchModel.Register()
#endif
    let fail code (text: string) =
        eprintfn "toolkit: %s" text
        code
    let parser = ArgumentParser.Create<ToolkitArguments>(programName = "toolkit", checkStructure = false)
    let program = Syntax.read parser
    try
        match CommandLine.check program argv with
        | CommandLine.HelpOfProgram when Array.isEmpty argv ->
            eprintfn "%s" (Help.ofProgram (Table.screen ()) program)
            2
        | CommandLine.HelpOfProgram ->
            printfn "%s" (Help.ofProgram (Table.screen ()) program)
            0
        | CommandLine.HelpOfCommand command ->
            printfn "%s" (Help.ofCommand (Table.screen ()) command)
            0
        | CommandLine.Work ->
            dispatch program (parser.ParseCommandLine(argv, raiseOnUsage = true)) cancel
            0
    with
    | :? ArguParseException as e ->
        let firstLine = e.Message.Split('\n')[0]
        fail 2 (firstLine.Replace("ERROR: ", ""))
    | Shared.UsageException text -> fail 2 text
    | :? ToolkitException as e -> fail 1 e.Message
    | Shared.InterruptedException text -> fail interrupted $"interrupted; {text}"
    | :? OperationCanceledException -> fail interrupted "interrupted"
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
    let byService = ref false
    use _ =
        PosixSignalRegistration.Create(
            PosixSignal.SIGTERM,
            fun context ->
                context.Cancel <- not interrupt.IsCancellationRequested
                byService.Value <- true
                interrupt.Cancel()
        )
    let code = execute argv interrupt.Token
    if code = interrupted && byService.Value then terminated else code
