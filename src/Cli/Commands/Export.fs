/// `toolkit export`: a loaded model as one file for other programs.
module OptimalStopping.Cli.Commands.Export

open System.IO
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Tokenization
open OptimalStopping.Cli.Commands.Shared

type ExportArguments =
    | [<Mandatory>] Model of path: string
    | [<Mandatory>] Gguf of file: string
    | Type of name: string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Model _ -> "the model: a Hugging Face folder or a .gguf file."
            | Gguf _ -> "the .gguf file to write, with tokenizer and chat template; llama.cpp runs it."
            | Type _ -> "f16 or q8_0 (default: q8_0)."

let execute (arguments: ParseResults<ExportArguments>) =
    let kind =
        match (arguments.GetResult(Type, defaultValue = "q8_0")).ToLowerInvariant() with
        | "q8_0" -> GgufType.Q8_0
        | "f16" -> GgufType.F16
        | other -> raise (UsageException $"--type: expected f16 or q8_0, got '{other}'")
    let model, file = arguments.GetResult Model, arguments.GetResult Gguf
    if Path.GetFullPath model = Path.GetFullPath file then
        raise (UsageException $"--gguf: expected another file than the model, got '{file}'")
    let vocabulary =
        use source = ModelSource.Open model
        source.Config.VocabularySize
    GgufExport.WriteModel(model, file, kind, TokenizerFiles.GgufKeys(model, vocabulary))
    printfn $"{file}: {FileInfo(file).Length / (1L <<< 20)} MiB, {kind}"
