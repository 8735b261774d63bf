/// The readers that meet foreign bytes, each with a generator that knows its format.
module Fuzz.Targets

open Support
open System
open System.IO
open System.Text
open OptimalStopping.Runtime
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open Microsoft.AspNetCore.Http
open OptimalStopping.Runtime.Models
open OptimalStopping.Server
open OptimalStopping.Runtime.Tokenization
open OptimalStopping.Runtime.Traces
open Fuzz.Bytes

type Target =
    {
        Name: string
        /// The name of the file that is read.
        File: string
        /// Reads the file as the toolkit does.
        Read: string -> unit
        /// An input for the random source, valid or nearly so.
        Generate: Random -> byte[]
        /// Whether reading allocates outside the managed heap.
        Native: bool
    }

let private utf8 (text: string) = Encoding.UTF8.GetBytes text

/// Random bytes in a third of the inputs, on top of what the generator broke with knowledge.
let private alsoBytes (dictionary: string[]) (generate: Random -> byte[]) (random: Random) : byte[] =
    let input = generate random
    if chance random 0.35 then mutate random (Array.map utf8 dictionary) (generate random) input else input

let private jsonTokens =
    [| "{"
       "}"
       "["
       "]"
       ","
       ":"
       "\""
       "\\"
       "\\u"
       "\\ud800"
       "null"
       "true"
       "1e999"
       "-"
       "\uFEFF"
       "\n"
       "\u0000"
       "//"
       "/*"
       "NaN"
       "\"a\":" |]

/// A JSON file: one of the given texts, as a tree with some edits.
let private json (dictionary: string[]) (texts: string[]) : Random -> byte[] =
    let trees = texts |> Array.map JsonTree.parse
    alsoBytes (Array.append jsonTokens dictionary) (fun random ->
        pick random trees |> (if chance random 0.9 then JsonTree.mutate random else id) |> JsonTree.render random |> utf8)

/// What lies beside the program: inputs written by hand or by the toolkit (see corpus/).
let private corpus (folder: string) : string[] =
    Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "fuzz", "corpus", folder)) |> Array.sort |> Array.map File.ReadAllText

let private configuration: Target =
    { Name = "config.json"
      File = "config.json"
      Native = false
      Read = fun file -> Qwen3Config.Read file |> ignore
      Generate = json [| "\"rope_theta\""; "\"eos_token_id\""; "\"qwen3\"" |] (corpus "config") }

let private characterTokenizer: Target =
    { Name = "tokenizer.json"
      File = "tokenizer.json"
      Native = false
      Read = fun file -> CharacterTokenizer.Load file |> ignore
      Generate = json [| "\"vocab\""; "\"<eos>\"" |] (corpus "tokenizer") }

let private shardIndex: Target =
    let shards =
        [ for i in 1..2 ->
              $"model-0000{i}-of-00002.safetensors",
              TensorData((if i = 1 then "a" else "b"), TensorType.I8, [| 1L |], ReadOnlyMemory [| byte i |]) ]
    { Name = "safetensors index"
      File = "model.safetensors.index.json"
      Native = false
      Read =
        fun file ->
            let folder = nonNull (Path.GetDirectoryName file)
            for name, content in shards do
                let path = Path.Combine(folder, name)
                if not (File.Exists path) then SafeTensorsWriter.Write(path, [| content |])
            Checkpoint.Open(folder).Dispose()
      Generate = json [| "\"weight_map\""; "\"model.safetensors\"" |] (corpus "index") }

let private safetensors: Target =
    { Name = "safetensors"
      File = "model.safetensors"
      Native = false
      Read =
        fun file ->
            use tensors = SafeTensors.Open file
            for entry in tensors.Entries.Values do
                match entry.Type with
                | TensorType.I8 -> tensors.ReadBytes entry |> ignore
                | TensorType.I32 -> ()
                | _ -> tensors.ReadFloats entry |> ignore
      Generate =
        alsoBytes jsonTokens (fun random ->
            Binary.safetensors random (fun header -> if chance random 0.5 then JsonTree.mutate random header else header)) }

/// Whole models: a configuration that lies about weights that are there.
let private model: Target =
    let small = RandomCheckpoint.config 16 1 2 1 8 32 24 true
    let weights = lazy (RandomCheckpoint.tensors small (RandomCheckpoint.weights small 1))
    { Name = "model"
      File = "config.json"
      Native = true
      Read =
        fun file ->
            let folder = nonNull (Path.GetDirectoryName file)
            let tensors = Path.Combine(folder, "model.safetensors")
            if not (File.Exists tensors) then SafeTensorsWriter.Write(tensors, weights.Value)
            try
                CpuModel.Load(folder).Dispose()
            // The fault may lie in either file of the folder.
            with :? ToolkitException as e when e.Message.StartsWith(tensors, StringComparison.Ordinal) ->
                raise (ToolkitException(file + e.Message.Substring tensors.Length))
      Generate = json [||] [| small.ToJson() |] }

let private yaml: Target =
    let texts = lazy (corpus "yaml")
    { Name = "yaml"
      File = "cascade.yaml"
      Native = false
      Read = fun file -> CascadeFile.Load file |> ignore
      Generate = alsoBytes Yaml.tokens (fun random -> pick random texts.Value |> Yaml.mutate random |> utf8) }

let private traceLines (folder: string) : Random -> byte[] =
    let trees =
        lazy
            (corpus folder
             |> Array.collect (fun text -> text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
             |> Array.map JsonTree.parse)
    alsoBytes (Array.append jsonTokens [| "\"stages\""; "\"features\":[1]"; "\"confidence\":null"; "\r\n"; "\n\n" |]) (fun random ->
        [ for _ in 0 .. size random 12 do
              let tree = pick random trees.Value
              JsonTree.render random (if chance random 0.15 then JsonTree.mutate random tree else tree) ]
        |> String.concat "\n"
        |> utf8)

let private traceTable: Target =
    { Name = "traces"
      File = "traces.jsonl"
      Native = false
      Read = fun file -> TraceReader.ReadTable file |> ignore
      Generate = traceLines "traces" }

let private traceRecords: Target =
    { traceTable with
        Name = "records"
        File = "records.jsonl"
        Read = fun file -> CascadeRecords.Load file |> ignore
        Generate = traceLines "records" }

let private manifest: Target =
    { Name = "manifest"
      File = "manifest.json"
      Native = false
      Read = fun file -> RunManifest.Read file |> ignore
      Generate = json [| "\"settings\""; "\"seed\"" |] (corpus "manifest") }

let private policy: Target =
    { Name = "policy"
      File = "policy.json"
      Native = false
      Read = fun file -> PolicyFile.Load file |> ignore
      Generate = json [| "\"kind\""; "\"planned\""; "\"cascade\"" |] (corpus "policy") }

let private gguf: Target =
    { Name = "GGUF"
      File = "model.gguf"
      Native = false
      Read =
        fun file ->
            use weights = GgufFile.Open file
            for entry in weights.Entries.Values do
                weights.ReadFloats entry |> ignore
            // A file without a model's shape or words is accepted as a file; here only other faults count.
            try
                GgufModel.Config weights |> ignore
            with :? ToolkitException ->
                ()
            try
                TokenizerFiles.ReadGguf weights |> ignore
            with :? ToolkitException ->
                ()
      Generate =
        alsoBytes [| "GGUF"; "qwen3"; "tokenizer.ggml.tokens"; "blk.0.attn_q.weight"; "_scale"; "\u0000\u0000\u0000\u0000" |] Binary.gguf }

/// The body of a request, read as the server reads it.
let private request: Target =
    { Name = "HTTP body"
      File = "body.json"
      Native = false
      Read =
        fun file ->
            let context = DefaultHttpContext()
            context.Request.ContentType <- "application/json"
            context.Request.Body <- new MemoryStream(File.ReadAllBytes file)
            let chat = File.ReadAllText(file).Contains "messages"
            try
                CompletionEndpoint.ReadAsync(context, chat).AsTask().GetAwaiter().GetResult() |> ignore
            with :? ApiError as e when e.Status = 400 ->
                raise (ToolkitException $"{file}: expected a request, got: {e.Parameter} {e.Message}")
      Generate = json [| "\"messages\""; "\"prompt\""; "\"stop\""; "\"stream\":true" |] (corpus "request") }

let all: Target list =
    [ safetensors
      gguf
      shardIndex
      configuration
      model
      characterTokenizer
      yaml
      traceTable
      traceRecords
      policy
      manifest
      request ]
