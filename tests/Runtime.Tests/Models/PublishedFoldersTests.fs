/// 200 generated folders and files, formats by variants and errors: each is loaded with the logits of the independent
/// reference, or refused in one line. The table of them stands in docs/qwen3.md; TOOLKIT_WRITE_TABLE=1 writes it anew.
module Runtime.Tests.Models.PublishedFoldersTests

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open Support
open Support.RandomCheckpoint
open Support.CheckpointFormats

/// The most that the logits may differ from exact arithmetic, as |a - b| / |b| at any position. Roundings of weights and
/// activations to INT8 make it; docs/qwen3.md states it.
let private bound = 0.08

type private Outcome =
    | Loaded of PositionScaling option
    | Refused

/// What is changed in a good folder or file before it is loaded.
type private Variant = { Name: string; Change: string -> unit; Expected: Outcome }

let private yarn (c: Qwen3Config) = PositionScaling(true, 4.0, c.MaxPositions, PositionScaling.UsualAttention 4.0)

let private json (edit: JsonObject -> unit) (path: string) =
    let file = Path.Combine(path, "config.json")
    let root = (nonNull (JsonNode.Parse(File.ReadAllText file))).AsObject()
    edit root
    File.WriteAllText(file, root.ToJsonString())

let private set (key: string) (value: string) (o: JsonObject) = o[key] <- JsonNode.Parse value

let private weightsOf (path: string) = if File.Exists path then path else Seq.head (Directory.GetFiles(path, "*.safetensors") |> Array.sort)

let private cut (path: string) =
    let file = weightsOf path
    File.WriteAllBytes(file, let bytes = File.ReadAllBytes file in bytes[.. bytes.Length - 2])

let private pointer (path: string) =
    File.WriteAllText(weightsOf path, "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 5\n")

let private folderVariants (c: Qwen3Config) : Variant list =
    [ { Name = "as published"; Change = ignore; Expected = Loaded None }
      { Name = "YaRN in rope_scaling"
        Change = json (set "rope_scaling" """{"type":"yarn","factor":4.0}""")
        Expected = Loaded(Some(yarn c)) }
      { Name = "YaRN in rope_parameters"
        Change =
          json (fun o ->
              o.Remove "rope_theta" |> ignore
              set "rope_parameters" """{"rope_type":"yarn","rope_theta":1e4,"factor":4.0}""" o)
        Expected = Loaded(Some(yarn c)) }
      { Name = "end token only in generation_config.json, no rms_norm_eps"
        Change =
          fun path ->
              json
                  (fun o ->
                      set "eos_token_id" "null" o
                      o.Remove "rms_norm_eps" |> ignore)
                  path
              File.WriteAllText(Path.Combine(path, "generation_config.json"), """{"eos_token_id": [0, 1]}""")
        Expected = Loaded None }
      { Name = "dynamic positions"
        Change = json (set "rope_scaling" """{"type":"dynamic","factor":4.0}""")
        Expected = Refused }
      { Name = "a classifier"
        Change = json (set "architectures" """["Qwen3ForSequenceClassification"]""")
        Expected = Refused }
      { Name = "one layer more than the weights"
        Change = json (set "num_hidden_layers" (string (c.Layers + 1)))
        Expected = Refused }
      { Name = "weights cut by a byte"; Change = cut; Expected = Refused }
      { Name = "a Git LFS pointer"; Change = pointer; Expected = Refused } ]

/// The header's bytes with one text in the place of another of the same length.
let private inHeader (before: string) (after: string) (path: string) =
    let bytes = File.ReadAllBytes path
    let found = bytes.AsSpan().IndexOf(ReadOnlySpan(Text.Encoding.UTF8.GetBytes before))
    if found < 0 || before.Length <> after.Length then failwith $"no {before}"
    Text.Encoding.UTF8.GetBytes(after, 0, after.Length, bytes, found) |> ignore
    File.WriteAllBytes(path, bytes)

let private fileVariants: Variant list =
    [ { Name = "as published"; Change = ignore; Expected = Loaded None }
      { Name = "no architecture"; Change = inHeader "general.architecture" "general.architectura"; Expected = Refused }
      { Name = "no end token"
        Change = inHeader "tokenizer.ggml.eos_token_id" "tokenizer.ggml.bos_token_id"
        Expected = Refused }
      { Name = "no number of layers"; Change = inHeader "qwen3.block_count" "qwen3.block_caunt"; Expected = Refused }
      { Name = "a matrix under another name"
        Change = inHeader "blk.0.ffn_up.weight" "blk.0.ffn_ap.weight"
        Expected = Refused }
      { Name = "weights cut by a byte"; Change = cut; Expected = Refused }
      { Name = "a Git LFS pointer"; Change = pointer; Expected = Refused } ]

let private formats =
    lazy
        ([ for title, c in [ "tied head", config 64 2 4 2 16 96 64 true; "separate head", config 64 2 4 2 16 96 64 false ] do
               for format in CheckpointFormats.all c 41 -> c, $"{format.Title}, {title}", format
           let c = PackedFormats.config256
           for format in PackedFormats.all c 17 -> c, format.Title, format ])

let private tokens c = randomTokens c 3 12

/// The greatest relative error of a position's logits.
let private error (model: CpuModel) (reference: float[][]) (c: Qwen3Config) =
    use sequence = model.NewSequence 12
    let all = Array.zeroCreate<float32>(12 * c.VocabularySize)
    sequence.ForwardAll(ReadOnlySpan(tokens c), Span all)
    Array.map2 ReferenceQwen3.relativeError (Array.chunkBySize c.VocabularySize all) reference |> Array.max

/// Loads it; the row of the table, after the expectation is checked.
let private row (c: Qwen3Config) (title: string) (format: Format) (variant: Variant) =
    use folder = new TemporaryFolder()
    let path = format.Write folder.Path
    variant.Change path
    let place = $"{title}, {variant.Name}"
    let outcome =
        try
            use model = CpuModel.Load path
            match variant.Expected with
            | Refused -> failtest $"{place}: expected a refusal, got a model"
            | Loaded scaling ->
                Expect.equal (Option.ofObj model.Config.Scaling) scaling place
                let reference = ReferenceQwen3.logits model.Config format.Exact ReferenceQwen3.Exact (tokens c)
                Expect.isLessThan (error model reference c) bound $"{place}: error of the logits"
                "loaded"
        with :? ToolkitException as e ->
            Expect.equal variant.Expected Refused $"{place}: {e.Message}"
            Expect.isFalse (e.Message.Contains '\n') $"{place}: one line"
            "refused: `" + e.Message.Replace(folder.Path, "DIR") + "`"
    $"| {title} | {variant.Name} | {outcome} |"

let private page = Path.Combine(Repository.root, "docs", "qwen3.md")
let private first, last = "<!-- folders -->\n", "<!-- end of folders -->"

[<Tests>]
let tests =
    testList
        "PublishedFolders"
        [ test "200 folders are loaded as the reference computes, or refused, as docs/qwen3.md lists them" {
              let rows =
                  [ for c, title, format in formats.Value do
                        for variant in (if title.StartsWith "GGUF" then fileVariants else folderVariants c) do
                            row c title format variant ]
              Expect.equal rows.Length 200 "rows"
              let table = "| format | what is in it | outcome |\n|---|---|---|\n" + String.Join("\n", rows) + "\n"
              let text = File.ReadAllText page
              let from, until = text.IndexOf first + first.Length, text.IndexOf last
              if not (isNull (Environment.GetEnvironmentVariable "TOOLKIT_WRITE_TABLE")) then
                  File.WriteAllText(page, text[.. from - 1] + table + text[until..])
              Expect.equal (text[from .. until - 1].Split '\n') (table.Split '\n') "the table of docs/qwen3.md"
          } ]
