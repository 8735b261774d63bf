/// `toolkit export` and `toolkit perplexity`, as a user runs them: what is written is read back here and by llama.cpp, and the
/// perplexity is what two other computations find.
module Cli.Tests.ModelFilesTests

open System
open System.IO
open System.Text.Json
open Expecto
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Tokenization
open Support
open Support.RandomCheckpoint

let private at (path: string) = Path.Combine(Repository.root, path)
let private miniature = at "models/miniature/1"

/// Answers of the kind that the model was trained on, not a whole number of chunks, and characters that take several tokens.
let private text =
    lazy
        (let answer (line: string) =
            use record = JsonDocument.Parse line
            nonNull (record.RootElement.GetProperty("stages").[3].GetProperty("text").GetString())
         let answers = File.ReadLines(at "models/miniature/calibration.jsonl") |> Seq.truncate 40 |> Seq.map answer
         String.Join("\n", answers) + " 漢字 <|im_start|>user\n\n\n  x")

let private toolkit (arguments: string list) =
    let run = Toolkit.run arguments
    Expect.equal (run.Code, run.Error) (0, "") (String.Join(' ', arguments))
    run.Out

/// Writes the miniature's first model as a GGUF file and the text beside it.
let private exported (kind: string) (action: string -> string -> unit) =
    use folder = new TemporaryFolder()
    let file, words = folder.File "m.gguf", folder.File "text.txt"
    File.WriteAllText(words, text.Value)
    let out = toolkit [ "export"; "--model"; miniature; "--gguf"; file; "--type"; kind ]
    Expect.stringContains out $"{file}: " "what was written"
    action file words

let private logits (model: CpuModel) (tokens: int[]) : float32[][] =
    use sequence = model.NewSequence tokens.Length
    let all = Array.zeroCreate<float32>(tokens.Length * model.VocabularySize)
    sequence.ForwardAll(ReadOnlySpan tokens, Span all)
    Array.chunkBySize model.VocabularySize all

/// The chunks of llama-perplexity and, of each, the first place whose successor is scored.
let private chunks (count: int) (context: int) (stride: int) : (int * int * int) list =
    if stride = 0 then
        [ for chunk in 0 .. count / context - 1 -> chunk * context, context, context / 2 ]
    else
        let length = context + stride / 2
        [ for start in 0..stride..count do
              if start + length < count then start, length, length - stride - 1 ]

/// exp of the mean loss in double precision, over whole chunks: another way than the command's, which feeds rows in turn.
let private perplexity (all: int[] -> float[][]) (tokens: int[]) (context: int) (stride: int) =
    let losses =
        [ for start, length, first in chunks tokens.Length context stride do
              let chunk = tokens[start .. start + length - 1]
              let rows = all chunk
              for place in first .. length - 2 do
                  let top = Array.max rows[place]
                  let total = rows[place] |> Array.sumBy (fun x -> exp (x - top))
                  top + log total - rows[place][chunk[place + 1]] ]
    losses.Length, exp (List.average losses)

let private measured (model: string) (words: string) (context: int) (stride: int) =
    let more = if stride = 0 then [] else [ "--stride"; string stride ]
    let out = toolkit ([ "perplexity"; words; "--model"; model; "--context"; string context; "--json" ] @ more)
    use document = JsonDocument.Parse out
    let number (name: string) = document.RootElement.GetProperty(name).GetDouble()
    int (number "tokens"), number "perplexity"

let private llama =
    Environment.GetEnvironmentVariable "PEERS_LLAMA" |> Option.ofObj |> Option.defaultValue (at "benchmarks/peers/llama")

[<Tests>]
let tests =
    testList
        "ModelFiles"
        [ for kind in [ "q8_0"; "f16" ] do
              test $"export --type {kind} writes what is read back: logits, tokens, stop tokens, template" {
                  exported kind (fun file _ ->
                      use folder = CpuModel.Load miniature
                      use gguf = CpuModel.Load file
                      let own, other = TokenizerFiles.Load miniature, TokenizerFiles.Load file
                      let tokens = own.Encode text.Value
                      Expect.sequenceEqual (other.Encode text.Value) tokens "tokens"
                      Expect.sequenceEqual other.StopTokens own.StopTokens "stop tokens"
                      let template = TokenizerFiles.LoadChatTemplate file
                      Expect.equal template (TokenizerFiles.LoadChatTemplate miniature) "template"
                      let error a b = ReferenceQwen3.relativeError a (Array.map float b)
                      let errors = Array.map2 error (logits gguf tokens) (logits folder tokens)
                      // The weights are rounded to INT8 a second time, and activations fall on other sides of their roundings: docs/qwen3.md.
                      Expect.isLessThan (Array.average errors) 0.04 "logits on average"
                      Expect.isLessThan (Array.max errors) 0.1 "logits at any position")
              }
          test "perplexity is what whole chunks in double precision give, with and without strides" {
              exported "q8_0" (fun file words ->
                  use model = CpuModel.Load file
                  let tokens = (TokenizerFiles.Load file).Encode text.Value
                  let engine chunk = logits model chunk |> Array.map (Array.map float)
                  for context, stride in [ 64, 0; 100, 0; 64, 16; 48, 48; 64, 7 ] do
                      let count, expected = perplexity engine tokens context stride
                      let scored, value = measured file words context stride
                      Expect.equal scored count $"context {context}, stride {stride}: tokens"
                      Expect.floatClose { absolute = 0.0; relative = 1e-4 } value expected $"context {context}, stride {stride}")
          }
          test "perplexity of the folder is that of plain double arithmetic, within the roundings to INT8" {
              use folder = new TemporaryFolder()
              let c = config 64 2 4 2 16 96 2048 true
              let values = weights c 4
              save folder.Path c (tensors c values)
              for name in [ "tokenizer.json"; "tokenizer_config.json"; "generation_config.json" ] do
                  File.Copy(Path.Combine(miniature, name), folder.File name)
              let words = folder.File "text.txt"
              File.WriteAllText(words, text.Value.Substring(0, 300))
              let tokens = (TokenizerFiles.Load folder.Path).Encode(File.ReadAllText words)
              let exact chunk = ReferenceQwen3.logits c values ReferenceQwen3.Exact chunk
              let count, expected = perplexity exact tokens 24 0
              let scored, value = measured folder.Path words 24 0
              Expect.equal scored count "tokens"
              Expect.floatClose { absolute = 0.0; relative = 0.05 } value expected "perplexity"
          }
          test "llama.cpp reads an exported file as this engine does: the same tokens, the same perplexity" {
              let program = Path.Combine(AppContext.BaseDirectory, "peers.dll")
              if not (Directory.Exists llama && File.Exists program) then
                  skiptest $"{llama}: llama.cpp's libraries are not there (benchmarks/peers/get-llama.sh; variable PEERS_LLAMA)"
              for kind in [ "q8_0"; "f16" ] do
                  exported kind (fun file words ->
                      let tokens = (TokenizerFiles.Load file).Encode text.Value
                      for context, stride in [ 64, 0; 64, 16 ] do
                          let run =
                              Toolkit.runProgram
                                  [ "PEERS_LLAMA", llama; "TOOLKIT_THREADS", "1" ]
                                  program
                                  [ "perplexity"; file; words; string context; string stride ]
                          Expect.equal (run.Code, run.Error) (0, "") $"llama.cpp on {kind}"
                          use document = JsonDocument.Parse run.Out
                          let part (name: string) = document.RootElement.GetProperty name
                          Expect.sequenceEqual [ for t in (part "tokens").EnumerateArray() -> t.GetInt32() ] tokens $"{kind}: tokens"
                          let scored, value = measured file words context stride
                          Expect.equal scored ((part "scored").GetInt32()) $"{kind}, stride {stride}: tokens scored"
                          let theirs = (part "perplexity").GetDouble()
                          printfn
                              "perplexity of an exported %s, context %d, stride %d: %.4f here, %.4f in llama.cpp"
                              kind
                              context
                              stride
                              value
                              theirs
                          Expect.floatClose { absolute = 0.0; relative = 0.02 } value theirs $"{kind}, stride {stride}: perplexity")
          }
          test "what cannot be written or scored is one line" {
              use folder = new TemporaryFolder()
              let words = folder.File "short.txt"
              File.WriteAllText(words, "short")
              let file = folder.File "m.gguf"
              for arguments, code, part in
                  [ [ "export"; "--model"; miniature; "--gguf"; file; "--type"; "q4_0" ], 2, "--type: expected f16 or q8_0, got 'q4_0'"
                    [ "export"; "--model"; file; "--gguf"; file ], 2, "--gguf: expected another file than the model"
                    [ "export"; "--model"; at "models/nano/1"; "--gguf"; file ], 1, "single characters, which GGUF has no way to state"
                    [ "export"; "--model"; folder.File "none"; "--gguf"; file ], 1, "config.json: expected a readable file"
                    [ "perplexity"; folder.File "none.txt"; "--model"; miniature ], 1, "none.txt: expected a readable text"
                    [ "perplexity"; words; "--model"; miniature ], 1, "text: expected at least 512 tokens, got "
                    [ "perplexity"; words; "--model"; miniature; "--context"; "4" ], 2, "--context: expected at least 8, got 4"
                    [ "perplexity"; words; "--model"; miniature; "--context"; "9000" ], 1, "expected at most 1024 tokens"
                    [ "perplexity"; words; "--model"; miniature; "--chunks"; "0" ], 2, "--chunks: expected at least 1, got 0"
                    [ "perplexity"; words; "--model"; miniature; "--stride"; "0" ], 2, "--stride: expected 1 to --context (512), got 0" ] do
                  let run = Toolkit.run arguments
                  Expect.stringContains run.Error part part
                  Expect.equal run.Code code part
                  Expect.equal (run.Error.TrimEnd().Split('\n').Length) 1 $"one line: {run.Error}"
                  Expect.isFalse (File.Exists file) "nothing is left"
          } ]
