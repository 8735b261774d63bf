/// Progress on standard error: a live line on a terminal, nothing elsewhere.
module OptimalStopping.Cli.Terminal.Progress

open System
open Spectre.Console

/// Fills the bar and stops its clock, which then shows what the step took.
let private finish (task: ProgressTask) =
    task.Value <- task.MaxValue
    task.StopTask()

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
                            Seq.iter finish tasks.Values
                            tasks[step] <- context.AddTask(Markup.Escape step)
                        let task = tasks[step]
                        // A step that another one has followed is done; a late report of it changes nothing.
                        if not task.IsFinished then
                            task.Value <- 100.0 * share
                            if share >= 1.0 then finish task)
                work (Action<string, float>(report))
                Seq.iter finish tasks.Values)
