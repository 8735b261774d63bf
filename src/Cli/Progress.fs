/// Progress on standard error: a live line on a terminal, nothing elsewhere.
module OptimalStopping.Cli.Progress

open System
open Spectre.Console

/// Runs the work and shows its steps; `work` is given a function to report a step's name and the share of it done.
let show (work: Action<string, float> -> unit) : unit =
    if Console.IsErrorRedirected then
        work (Action<string, float>(fun _ _ -> ()))
    else
        let console = AnsiConsole.Create(AnsiConsoleSettings(Out = AnsiConsoleOutput Console.Error))
        let columns: ProgressColumn[] = [| TaskDescriptionColumn(); ProgressBarColumn(); PercentageColumn(); ElapsedTimeColumn() |]
        console
            .Progress()
            .Columns(columns)
            .Start(fun context ->
                let tasks = System.Collections.Generic.Dictionary<string, ProgressTask>()
                let report (step: string) (share: float) =
                    lock tasks (fun () ->
                        if not (tasks.ContainsKey step) then
                            for earlier in tasks.Values do
                                earlier.Value <- 100.0
                            tasks[step] <- context.AddTask(Markup.Escape step)
                        tasks[step].Value <- 100.0 * share)
                work (Action<string, float>(report))
                for task in tasks.Values do
                    task.Value <- 100.0)
