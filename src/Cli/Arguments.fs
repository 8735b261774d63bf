/// The command line as Argu reads it. Argu 6.1.1 does not enforce Mandatory inside subcommands, so each command checks
/// what it needs (Commands.fs).
module OptimalStopping.Cli.Arguments

open Argu

type RunArguments =
    | Experiments of string
    | Config of string
    | Traces of string
    | Out of string
    | Seed of int
    | Horizon of int
    | Resume

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Experiments _ -> "all, regret, tradeoff or statistical (default: all)."
            | Config _ -> "the ladder file (default: configs/nano.yaml)."
            | Traces _ -> "replay this trace file instead of running models."
            | Out _ -> "the folder for results (default: results/run)."
            | Seed _ -> "seed of queries, resamples and learners (default: 1)."
            | Horizon _ -> "queries per run of the regret experiment (default: 100000)."
            | Resume -> "go on with the records that the folder already holds."

type EvaluateArguments =
    | Traces of string
    | Train_Fraction of float
    | Train_Queries of int
    | Seed of int
    | Out of string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Traces _ -> "the trace file (required)."
            | Train_Fraction _ -> "share of the queries to fit on (default: 0.5)."
            | Train_Queries _ -> "fit on at most this many of them."
            | Seed _ -> "seed of the split and of the bootstrap (default: 1)."
            | Out _ -> "the folder for curve.csv and summary.csv (required)."

type FigureArguments =
    | [<MainCommand; Unique>] Folder of string
    | Readme of string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Folder _ -> "a folder that `toolkit run` wrote."
            | Readme _ -> "also write the results into the marked block of this README."

type DecodeArguments =
    | [<MainCommand; Unique>] Prompt of string
    | Lambda of float
    | Config of string
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Prompt _ -> "the question, e.g. \"add 963+447=\"."
            | Lambda _ -> "price of cost: quality that one unit of cost is worth (default: 0.01)."
            | Config _ -> "the ladder file (default: configs/nano.yaml)."
            | Json -> "print one JSON object instead of text."

type CollectArguments =
    | Config of string
    | Split of string
    | Count of int
    | Seed of int
    | Out of string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Config _ -> "the ladder file (default: configs/nano.yaml)."
            | Split _ -> "calibration, test or both (default: both)."
            | Count _ -> "only the first so many queries."
            | Seed _ -> "seed of the queries (default: 1)."
            | Out _ -> "the trace file to write; one that an interrupted run left is gone on with (required)."

type TrainArguments =
    | Config of string
    | Out of string
    | Threads of int

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Config _ -> "the training plan (default: configs/nano_training.yaml)."
            | Out _ -> "the folder for the models (required)."
            | Threads _ -> "threads for libtorch (default: 1)."

type InfoArguments =
    | Config of string
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Config _ -> "the ladder file (default: configs/nano.yaml)."
            | Json -> "print JSON."

type ToolkitArguments =
    | [<CliPrefix(CliPrefix.None)>] Run of ParseResults<RunArguments>
    | [<CliPrefix(CliPrefix.None)>] Evaluate of ParseResults<EvaluateArguments>
    | [<CliPrefix(CliPrefix.None)>] Figure of ParseResults<FigureArguments>
    | [<CliPrefix(CliPrefix.None)>] Decode of ParseResults<DecodeArguments>
    | [<CliPrefix(CliPrefix.None)>] Collect of ParseResults<CollectArguments>
    | [<CliPrefix(CliPrefix.None)>] Train of ParseResults<TrainArguments>
    | [<CliPrefix(CliPrefix.None)>] Info of ParseResults<InfoArguments>

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Run _ -> "run the experiments: records, figures, table and report."
            | Evaluate _ -> "fit and compare stopping policies on a trace file."
            | Figure _ -> "draw the figures, table and report of a run folder again."
            | Decode _ -> "answer one prompt with the ladder."
            | Collect _ -> "ask every model every query and write a trace file."
            | Train _ -> "train the models of a plan (needs a build with TorchSharp)."
            | Info _ -> "show the models of a ladder, their sizes and their measured costs."
