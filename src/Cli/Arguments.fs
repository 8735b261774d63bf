/// The whole command line as Argu reads it: one case per command. A command's own arguments stand in its file.
/// Fields are named after what they hold (file, dir, ...), which Syntax.fs reads. Argu 6.1.1 does not enforce Mandatory
/// inside subcommands; CommandLine.fs does.
module OptimalStopping.Cli.Arguments

open Argu
open OptimalStopping.Cli.Commands

type CompletionsArguments =
    | [<MainCommand; Unique; Mandatory>] Shell of shell: string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Shell _ -> "the shell to write a script for."

type HelpArguments =
    | [<MainCommand; Unique>] Command of command: string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Command _ -> "the command to describe (default: all, a line each)."

type ToolkitArguments =
    | [<CliPrefix(CliPrefix.None)>] Run of ParseResults<Run.RunArguments>
    | [<CliPrefix(CliPrefix.None)>] Import of ParseResults<Import.ImportArguments>
    | [<CliPrefix(CliPrefix.None)>] Evaluate of ParseResults<Evaluate.EvaluateArguments>
    | [<CliPrefix(CliPrefix.None)>] Calibrate of ParseResults<Calibrate.CalibrateArguments>
    | [<CliPrefix(CliPrefix.None)>] Check of ParseResults<Check.CheckArguments>
    | [<CliPrefix(CliPrefix.None)>] Figure of ParseResults<Figure.FigureArguments>
    | [<CliPrefix(CliPrefix.None)>] Decode of ParseResults<Decode.DecodeArguments>
    | [<CliPrefix(CliPrefix.None)>] Collect of ParseResults<Collect.CollectArguments>
    | [<CliPrefix(CliPrefix.None)>] Train of ParseResults<Train.TrainArguments>
    | [<CliPrefix(CliPrefix.None)>] Serve of ParseResults<Serve.ServeArguments>
    | [<CliPrefix(CliPrefix.None)>] Quickstart of ParseResults<Quickstart.QuickstartArguments>
    | [<CliPrefix(CliPrefix.None)>] Pull of ParseResults<Pull.PullArguments>
    | [<CliPrefix(CliPrefix.None)>] Info of ParseResults<Info.InfoArguments>
    | [<CliPrefix(CliPrefix.None)>] Bench of ParseResults<Bench.BenchArguments>
    | [<CliPrefix(CliPrefix.None)>] Export of ParseResults<Export.ExportArguments>
    | [<CliPrefix(CliPrefix.None)>] Perplexity of ParseResults<Perplexity.PerplexityArguments>
    | [<CliPrefix(CliPrefix.None)>] Doctor of ParseResults<Doctor.DoctorArguments>
    | [<CliPrefix(CliPrefix.None)>] Theory of ParseResults<Theory.TheoryArguments>
    | [<CliPrefix(CliPrefix.None)>] Completions of ParseResults<CompletionsArguments>
    | [<CliPrefix(CliPrefix.None)>] Help of ParseResults<HelpArguments>
    | [<AltCommandLine("-v")>] Version

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Version -> "print name, version and commit of the program."
            | Run _ -> "run the experiments: records, figures, table and report."
            | Import _ -> "read the logs of other tools into a trace file."
            | Evaluate _ -> "fit and compare stopping policies on a trace file."
            | Calibrate _ -> "choose a policy that keeps a guarantee about its quality, and write it to a file."
            | Check _ -> "hold a policy against fresh graded logs: exit code 1 when its guarantee no longer holds."
            | Figure _ -> "draw the figures, table and report of a run folder again."
            | Decode _ -> "answer one prompt with the cascade."
            | Collect _ -> "ask every model every query and write a trace file."
            | Train _ -> "train the models of a plan (needs a build with TorchSharp)."
            | Serve _ -> "serve the cascade behind one OpenAI-compatible endpoint."
            | Bench _ -> "measure the CPU engine: prefill, decoding, share of the memory's speed."
            | Quickstart _ -> "from nothing to a calibrated cascade of real models: pull, collect, calibrate, decode."
            | Pull _ -> "download models from the hub: checked, resumable, several files at a time."
            | Info _ -> "show what a cascade would load where, the memory it takes, and what a token costs."
            | Export _ -> "write a model as one .gguf file, with its tokenizer, for llama.cpp and other programs."
            | Perplexity _ -> "measure how well a model foresees a text, to judge a quantisation by."
            | Doctor _ -> "check that the Torch engine works on a device (needs a build with TorchSharp)."
            | Theory _ -> "thresholds, regret bounds and sample sizes for a cascade."
            | Completions _ -> "write a script that makes the shell's Tab key know commands, flags and values."
            | Help _ -> "describe a command and what it takes."
