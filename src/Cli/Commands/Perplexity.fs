/// `toolkit perplexity`: how well a model foresees a text, to judge a quantisation or a loader by.
module OptimalStopping.Cli.Commands.Perplexity

open System
open System.IO
open Argu
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Models.Accuracy
open OptimalStopping.Runtime.Tokenization
open OptimalStopping.Cli.Commands.Shared

type PerplexityArguments =
    | [<MainCommand; Mandatory>] File of file: string
    | [<Mandatory>] Model of path: string
    | Context of tokens: int
    | Stride of tokens: int
    | Chunks of count: int
    | Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | File _ -> "the text."
            | Model _ -> "the model: a Hugging Face folder or a .gguf file."
            | Context _ -> "tokens of a chunk (default: 512); the second half of each is scored, as llama-perplexity does."
            | Stride _ -> "start a chunk every so many tokens and score its last ones, as llama-perplexity --ppl-stride (default: none)."
            | Chunks _ -> "chunks to score (default: all)."
            | Json -> "print JSON."

let execute (arguments: ParseResults<PerplexityArguments>) =
    let path, file = arguments.GetResult Model, arguments.GetResult File
    let context = arguments.GetResult(Context, defaultValue = 512)
    let chunks = arguments.GetResult(Chunks, defaultValue = Int32.MaxValue)
    let stride = arguments.GetResult(Stride, defaultValue = 0)
    if arguments.Contains Stride && (stride < 1 || stride > context) then
        raise (UsageException $"--stride: expected 1 to --context ({context}), got {stride}")
    if context < 8 then raise (UsageException $"--context: expected at least 8, got {context}")
    if chunks < 1 then raise (UsageException $"--chunks: expected at least 1, got {chunks}")
    let text =
        try
            IO.File.ReadAllText file
        with error when (error :? IOException || error :? UnauthorizedAccessException) ->
            raise (ToolkitException $"{file}: expected a readable text, got: {error.Message}")
    use model = CpuModel.Load path
    let tokens = (TokenizerFiles.Load path).Encode text
    let beyond = tokens |> Array.tryFind (fun token -> token >= model.VocabularySize)
    if beyond.IsSome then
        raise (ToolkitException $"{path}: tokenizer: expected tokens below {model.VocabularySize}, the model's, got {beyond.Value}")
    let result = TextPerplexity.Measure(model, ReadOnlySpan tokens, context, chunks, stride)
    if arguments.Contains PerplexityArguments.Json then
        printJson
            {| model = model.Name
               perplexity = result.Perplexity
               standard_error = result.StandardError
               tokens = result.Tokens
               chunks = result.Chunks |}
    else
        printfn
            $"{model.Name}: perplexity {result.Perplexity:F4} +/- {result.StandardError:F4} over {result.Tokens} tokens of {result.Chunks} chunks"
