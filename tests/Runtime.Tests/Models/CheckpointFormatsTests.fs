/// Every format gives the logits of the float32 weights that it holds, to the bit; malformed files are named at once.
module Runtime.Tests.Models.CheckpointFormatsTests

open System
open System.Diagnostics
open System.IO
open System.Text
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Tokenization
open Support.RandomCheckpoint
open Support.CheckpointFormats

let private tied, separate = config 64 2 4 2 16 96 64 true, config 64 2 4 2 16 96 64 false

let private logits (path: string) (c: Qwen3Config) =
    use model = CpuModel.Load path
    use s = model.NewSequence 20
    let all = Array.zeroCreate<float32>(20 * c.VocabularySize)
    s.ForwardAll(ReadOnlySpan(randomTokens c 5 20), Span all)
    all |> Array.map BitConverter.SingleToInt32Bits

let private formats =
    testList
        "the logits of the weights that the format holds, to the bit"
        [ for title, c in [ "tied head", tied; "separate head", separate ] do
              for format in all c 41 do
                  testCase $"{format.Title}, {title}" (fun () ->
                      use folder = new TemporaryFolder()
                      use plain = new TemporaryFolder()
                      save plain.Path c (tensors c format.Exact)
                      Expect.equal (logits (format.Write folder.Path) c) (logits plain.Path c) "logits")
          let c = Support.PackedFormats.config256
          for format in Support.PackedFormats.all c 17 do
              testCase format.Title (fun () ->
                  use folder = new TemporaryFolder()
                  use plain = new TemporaryFolder()
                  save plain.Path c (tensors c format.Exact)
                  Expect.equal (logits (format.Write folder.Path) c) (logits plain.Path c) "logits") ]

/// One megabyte more than the whole process may allocate for a file of some kilobytes that says nonsense.
let private most = 4L <<< 20

let private fault (path: string) (part: string) =
    let before, clock = GC.GetAllocatedBytesForCurrentThread(), Stopwatch.StartNew()
    let message =
        try
            (CpuModel.Load path).Dispose()
            "(no fault)"
        with :? ToolkitException as e ->
            e.Message
    Expect.stringContains message part "says what was wrong"
    Expect.isFalse (message.Contains '\n') "one line"
    Expect.isLessThan clock.Elapsed.TotalSeconds 1.0 "seconds"
    Expect.isLessThan (GC.GetAllocatedBytesForCurrentThread() - before) most "bytes allocated"

let private replace (name: string) (change: TensorData -> TensorData) (content: TensorData[]) =
    content |> Array.map (fun t -> if t.Name = name then change t else t)

let private up = "model.layers.1.mlp.up_proj.weight"

/// Folders: what is changed in a good one, and what the fault says.
let private folders: (string * (string -> unit) * string) list =
    let content = tensors tied (weights tied 1)
    let int8 = w8a8 tied (weights tied 1)
    let saved (content: TensorData[]) (path: string) = save path tied content
    let file path = Path.Combine(path, "model.safetensors")
    let edit (change: byte[] -> byte[]) (path: string) =
        saved content path
        File.WriteAllBytes(file path, change (File.ReadAllBytes(file path)))
    let header (change: string -> string) =
        edit (fun bytes ->
            let length = int (BitConverter.ToUInt64(bytes, 0))
            let text = Encoding.UTF8.GetBytes(change (Encoding.UTF8.GetString(bytes, 8, length)))
            Array.concat [ BitConverter.GetBytes(uint64 text.Length); text; bytes[8 + length ..] ])
    let json (change: string -> string) (path: string) =
        saved content path
        let file = Path.Combine(path, "config.json")
        File.WriteAllText(file, change (File.ReadAllText file))
    let shards (change: string -> unit) (path: string) =
        saveShards path tied content
        change path
    let scale (value: float32) =
        replace
            (up + "_scale")
            (fun t -> TensorData(t.Name, t.Type, t.Shape, ReadOnlyMemory(floatBytes (Array.create (t.Bytes.Length / 4) value))))
            int8
    [ "cut in the last tensor", edit (fun b -> b[.. b.Length - 2]), "data_offsets"
      "cut in the header", edit (fun b -> b[..200]), "expected a header of 2 to"
      "empty", edit (fun _ -> [||]), "expected at least 8 bytes, got 0"
      "seven bytes", edit (fun b -> b[..6]), "expected at least 8 bytes, got 7"
      "header length of 2^63", edit (fun b -> Array.append (BitConverter.GetBytes(1UL <<< 63)) b[8..]), "expected a header of 2 to"
      "header length of 2^64 - 1", edit (fun b -> Array.append (BitConverter.GetBytes UInt64.MaxValue) b[8..]), "expected a header of 2 to"
      "header length of 0", edit (fun b -> Array.append (BitConverter.GetBytes 0UL) b[8..]), "expected a header of 2 to"
      "header that is no JSON", header (fun t -> t.Replace("{", "[")), "expected JSON"
      "header of a million brackets", header (fun _ -> String('[', 1_000_000)), "expected JSON"
      "a name twice",
      header (fun t -> t.Insert(1, "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},")),
      "expected JSON"
      "an element type that is unknown", header (fun t -> t.Replace("\"F32\"", "\"F4\"")), "expected F32, F16, BF16, I8, F8_E4M3 or I32"
      "weights in F64",
      header (fun t -> t.Replace("\"dtype\":\"F32\",\"shape\":[96,64]", "\"dtype\":\"F64\",\"shape\":[96,64]")),
      "mlp.gate_proj.weight.dtype: expected F32, F16, BF16, I8, F8_E4M3 or I32, got 'F64'"
      "weights in I64",
      header (fun t -> t.Replace("\"dtype\":\"F32\",\"shape\":[64]", "\"dtype\":\"I64\",\"shape\":[64]")),
      "weight.dtype: expected F32, F16, BF16, I8, F8_E4M3 or I32, got 'I64'"
      "a separate head that is missing",
      json (fun t -> t.Replace("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false")),
      "lm_head.weight: expected a tensor (tie_word_embeddings is false), got nothing"
      "an index that names a file which lacks the tensor",
      shards (fun path ->
          let index = Path.Combine(path, "model.safetensors.index.json")
          File.WriteAllText(index, (File.ReadAllText index).Replace("00001-of", "00002-of"))),
      "expected a tensor, got nothing"
      "a Git LFS pointer",
      edit (fun _ -> "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 5\n"B),
      "expected tensors, got a Git LFS pointer"
      "an embedding model's names",
      saved (content |> Array.map (fun t -> TensorData(t.Name.Replace("model.", ""), t.Type, t.Shape, t.Bytes))),
      "got names without 'model.', as embedding models have them"
      "an extent of 2^62", header (fun t -> t.Replace("[64,64]", "[4611686018427387904,4]")), "expected the shape of"
      "a negative extent", header (fun t -> t.Replace("[64,64]", "[-64,-64]")), "whole numbers of 0 or more"
      "a negative offset", header (fun t -> t.Replace("\"data_offsets\":[0,", "\"data_offsets\":[-1,")), "data_offsets"
      "an offset of 2^63 - 1", header (fun t -> t.Replace("\"data_offsets\":[0,", "\"data_offsets\":[9223372036854775807,")), "data_offsets"
      "tensors that overlap", header (fun t -> t.Replace("\"data_offsets\":[16384,", "\"data_offsets\":[16380,")), "expected"
      "a tensor that is missing", saved (content |> Array.filter (fun t -> t.Name <> up)), up
      "a tensor of another shape",
      saved (replace up (fun t -> TensorData(t.Name, t.Type, [| t.Shape[1]; t.Shape[0] |], t.Bytes)) content),
      $"{up}: expected shape [96, 64], got [64, 96]"
      "a norm in INT8",
      saved (replace "model.norm.weight" (fun t -> TensorData(t.Name, TensorType.I8, t.Shape, ReadOnlyMemory(Array.zeroCreate 64))) content),
      "model.norm.weight: expected F32, F16 or BF16, got I8"
      "a weight that is not a number",
      saved (replace up (fun t -> TensorData(t.Name, t.Type, t.Shape, ReadOnlyMemory(floatBytes (Array.create (96 * 64) nanf)))) content),
      "expected a finite value, got NaN"
      "INT8 without its scales", saved (int8 |> Array.filter (fun t -> t.Name <> up + "_scale")), up + "_scale"
      "scales that are not a number", saved (scale nanf), "expected a finite value, got NaN"
      "infinite scales", saved (scale infinityf), "expected a finite value"
      "scales per tensor",
      saved (replace (up + "_scale") (fun t -> TensorData(t.Name, t.Type, [| 1L |], ReadOnlyMemory(floatBytes [| 1f |]))) int8),
      "_scale: expected shape [96, 1], got [1]"
      "zero points",
      saved (Array.append int8 [| TensorData(up + "_zero_point", TensorType.I8, [| 1L |], ReadOnlyMemory [| 3uy |]) |]),
      "expected symmetric INT8"
      "no weights",
      (fun path ->
          saved content path
          File.Delete(file path)),
      "expected model.safetensors or model.safetensors.index.json"
      "a shard that is missing",
      shards (fun path -> File.Delete(Path.Combine(path, "model-00002-of-00002.safetensors"))),
      "model-00002-of-00002.safetensors: expected a readable file"
      "a shard outside of the folder",
      shards (fun path ->
          let index = Path.Combine(path, "model.safetensors.index.json")
          File.WriteAllText(index, (File.ReadAllText index).Replace("\"model-00001", "\"../model-00001"))),
      "the name of a file in the same folder"
      "an index that is no JSON",
      shards (fun path -> File.WriteAllText(Path.Combine(path, "model.safetensors.index.json"), "{")),
      "expected JSON"
      "no config",
      (fun path ->
          saved content path
          File.Delete(Path.Combine(path, "config.json"))),
      "config.json: expected a readable file"
      "another architecture", json (fun t -> t.Replace("\"qwen3\"", "\"qwen3_moe\"")), "model_type: expected \"qwen3\", got \"qwen3_moe\""
      "a config that asks for more than the file has",
      json (fun t -> t.Replace("\"vocab_size\": 64", "\"vocab_size\": 4194304")),
      "expected shape [4194304, 64], got [64, 64]"
      "a config of 10,000 layers",
      json (fun t -> t.Replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 10000")),
      "num_hidden_layers: expected a whole number from 1 to 1024" ]

/// GGUF files.
let private ggufs: (string * byte[] * string) list =
    let header, content = ggufHeader tied, ggufTensors tied (weights tied 1) true
    let good = ggufBytes header content
    let set (key: string) (value: byte[]) = ggufBytes (header |> List.map (fun (k, v) -> k, (if k = key then value else v))) content
    let without (key: string) = ggufBytes (header |> List.filter (fun (k, _) -> k <> key)) content
    let tensor (change: GgufTensor -> GgufTensor) = ggufBytes header (content |> Array.mapi (fun i t -> if i = 3 then change t else t))
    let word (at: int) (value: uint64) = Array.concat [ good[.. at - 1]; BitConverter.GetBytes value; good[at + 8 ..] ]
    let nan = BitConverter.GetBytes Half.NaN
    [ "empty", [||], "offset 0: magic: expected 4 more bytes, got the end of the file"
      "another magic", Array.append "GGML"B good[4..], "magic: expected GGUF"
      "another version", Array.concat [ good[..3]; BitConverter.GetBytes 1u; good[8..] ], "version: expected 2 or 3, got 1"
      "a file for big-endian machines",
      Array.concat [ good[..3]; [| 0uy; 0uy; 0uy; 3uy |]; good[8..] ],
      "version: expected 2 or 3, got a file for machines of the other byte order (big-endian); convert it"
      "2^64 - 1 tensors", word 8 UInt64.MaxValue, "tensor count: expected at most"
      "2^40 keys", word 16 (1UL <<< 40), "key count: expected at most"
      "a key of 2^60 letters", word 24 (1UL <<< 60), "key: expected at most"
      "a value type that is unknown",
      set "qwen3.block_count" (BitConverter.GetBytes 77u),
      "qwen3.block_count: expected a value type of 0 to 12, got 77"
      "an array of arrays",
      set "qwen3.block_count" (Array.concat [ BitConverter.GetBytes 9u; BitConverter.GetBytes 9u ]),
      "expected an array of plain values"
      "an array of 2^50 numbers",
      set "qwen3.block_count" (Array.concat [ BitConverter.GetBytes 9u; BitConverter.GetBytes 4u; BitConverter.GetBytes(1UL <<< 50) ]),
      "qwen3.block_count: expected at most"
      "another architecture", set "general.architecture" (ggufText "llama"), "general.architecture: expected qwen3, got 'llama'"
      "a key that is missing",
      without "qwen3.attention.key_length",
      "qwen3.attention.key_length: expected a whole number from 1 to 4096, got nothing"
      "a number that is a text",
      set "qwen3.embedding_length" (ggufText "64"),
      "qwen3.embedding_length: expected a whole number from 1 to 65536, got 64"
      "heads that do not divide",
      set "qwen3.attention.head_count_kv" (ggufNumber 3),
      "expected a divisor of attention.head_count (4), got 3"
      "one part of several under another name",
      ggufBytes (header @ [ "split.count", ggufNumber 3 ]) content,
      "split.count: expected a name that ends in -00001-of-00003.gguf, by which the other parts are found, got another name"
      "a part that is not the first",
      ggufBytes [ "split.no", ggufNumber 2; "split.count", ggufNumber 3 ] content,
      "split.no: expected the first part of a model, whose name ends in -00001-of-...gguf, got part 3"
      "stretched positions",
      ggufBytes (header @ [ "qwen3.rope.scaling.type", ggufText "yarn" ]) content,
      "qwen3.rope.scaling.factor: expected a number from 0 to 1024, got nothing"
      "a type that is unknown", tensor (fun t -> { t with Type = 10u }), "expected F32, F16, BF16, Q4_0, Q8_0, Q4_K, Q5_K or Q6_K, got Q2_K"
      "rows that are no whole blocks",
      tensor (fun t -> { t with Shape = [| 128L; 31L |] }),
      "expected rows of a multiple of 32 values in Q8_0, got 31"
      "an extent of 0", tensor (fun t -> { t with Shape = [| 0L; 64L |] }), "expected an extent of 1 to"
      "a shape that is larger than the file", tensor (fun t -> { t with Shape = [| 2147483647L; 2147483616L |] }), "got the end of the file"
      "a tensor twice", ggufBytes header (Array.append content [| content[3] |]), "expected each tensor once, got it twice"
      "five dimensions", tensor (fun t -> { t with Shape = Array.create 5 2L }), "expected 1 to 4 dimensions, got 5"
      "a tensor that is missing",
      ggufBytes header (content |> Array.filter (fun t -> t.Name <> "blk.1.ffn_up.weight")),
      "model.layers.1.mlp.up_proj.weight: expected a tensor, got nothing"
      "scales that are not a number", tensor (fun t -> { t with Bytes = Array.append nan t.Bytes[2..] }), "expected a finite value, got NaN"
      "cut in the last tensor", good[.. good.Length - 2], "got the end of the file"
      "cut in the header", good[..300], "offset 276: key: expected at most 25, got 26" ]

let private malformed =
    testList
        "a malformed file gives one clear error, in under a second and within 4 MiB"
        [ for name, write, part in folders do
              testCase $"folder: {name}" (fun () ->
                  use folder = new TemporaryFolder()
                  write folder.Path
                  fault folder.Path part)
          for name, bytes, part in ggufs do
              testCase $"GGUF: {name}" (fun () ->
                  use folder = new TemporaryFolder()
                  let file = folder.File "model.gguf"
                  File.WriteAllBytes(file, bytes)
                  fault file part)
          testCase "GGUF: a header cut at any byte is an error, never a crash" (fun () ->
              use folder = new TemporaryFolder()
              let file = folder.File "model.gguf"
              let good = ggufBytes (ggufHeader tied) (ggufTensors tied (weights tied 1) true)
              for length in 0..7..2000 do
                  File.WriteAllBytes(file, good[.. length - 1])
                  Expect.throwsT<ToolkitException> (fun () -> (CpuModel.Load file).Dispose()) $"{length} bytes") ]

let private parts =
    /// The tensors of a model in so many parts, under the names that llama-gguf-split gives; the path of the first.
    let write (folder: string) (c: Qwen3Config) (count: int) (metadataAlone: bool) : string =
        let content = ggufTensors c (weights c 1) true
        let name part = Path.Combine(folder, $"m-{part:D5}-of-{count:D5}.gguf")
        let split part = [ "split.no", ggufNumber part; "split.count", ggufNumber count; "split.tensors.count", ggufNumber content.Length ]
        let first = if metadataAlone then 1 else 0
        for part in 0 .. count - 1 do
            let own = content |> Array.indexed |> Array.filter (fun (i, _) -> i % (count - first) = part - first) |> Array.map snd
            File.WriteAllBytes(name (part + 1), ggufBytes ((if part = 0 then ggufHeader c else []) @ split part) own)
        name 1
    let withParts (metadataAlone: bool) (action: TemporaryFolder -> string -> unit) =
        use folder = new TemporaryFolder()
        action folder (write folder.Path tied 3 metadataAlone)
    testList
        "GGUF in parts"
        [ for metadataAlone in [ false; true ] do
              testCase $"three parts are one model; the metadata alone in the first: {metadataAlone}" (fun () ->
                  use whole = new TemporaryFolder()
                  File.WriteAllBytes(whole.File "m.gguf", ggufBytes (ggufHeader tied) (ggufTensors tied (weights tied 1) true))
                  withParts metadataAlone (fun _ first ->
                      Expect.equal (logits first tied) (logits (whole.File "m.gguf") tied) "logits, to the bit"))
          testCase "faults: another part, one that is missing, two of one number, a tensor that is lost or twice" (fun () ->
              let part (folder: TemporaryFolder) k = folder.File $"m-0000{k}-of-00003.gguf"
              withParts true (fun folder _ -> fault (part folder 2) "split.no: expected the first part of a model")
              withParts true (fun folder first ->
                  File.Delete(part folder 3)
                  fault first "split.count: expected all 3 parts in one folder, got no m-00003-of-00003.gguf")
              withParts true (fun folder first ->
                  File.Copy(part folder 3, part folder 2, true)
                  fault first "split.no: expected 1, as in its name, got part 3")
              withParts true (fun folder first ->
                  let empty = [ "split.no", ggufNumber 2; "split.count", ggufNumber 3 ]
                  File.WriteAllBytes(part folder 3, ggufBytes empty [||])
                  fault first "split.tensors.count: expected ")
              withParts false (fun folder first ->
                  let again = [ "split.no", ggufNumber 2; "split.count", ggufNumber 3 ]
                  File.WriteAllBytes(part folder 3, ggufBytes again (ggufTensors tied (weights tied 1) true))
                  fault first "expected each tensor once, got it in an earlier part too")) ]

let private unneeded = test "tensors that a model does not need may have any type" {
    use folder = new TemporaryFolder()
    let content = tensors tied (weights tied 1)
    save folder.Path tied content
    let expected = logits folder.Path tied
    save
        folder.Path
        tied
        (Array.append content [| TensorData("rotary_emb.count", TensorType.F32, [| 2L |], ReadOnlyMemory(Array.zeroCreate 8)) |])
    let file = folder.File "model.safetensors"
    let bytes = File.ReadAllBytes file
    let length = int (BitConverter.ToUInt64(bytes, 0))
    let header = Encoding.UTF8.GetString(bytes, 8, length)
    let other =
        Encoding.UTF8.GetBytes(
            header.Replace("\"rotary_emb.count\":{\"dtype\":\"F32\",\"shape\":[2]", "\"rotary_emb.count\":{\"dtype\":\"I64\",\"shape\":[1]")
        )
    Expect.notEqual other (Encoding.UTF8.GetBytes header) "another type"
    File.WriteAllBytes(file, Array.concat [ BitConverter.GetBytes(uint64 other.Length); other; bytes[8 + length ..] ])
    Expect.equal (logits folder.Path tied) expected "logits"
}

/// One layer of a published size, in Q8_0, as a sparse file: in float32 its embedding would be larger than one array may be.
/// All weights are 0 but the last row of the embedding and of the head, so the last token's logit is their product.
let private large (name: string) (c: Qwen3Config) =
    use folder = new TemporaryFolder()
    let file = folder.File "model.gguf"
    let length (shape: int64[]) = if shape.Length = 1 then shape[0] * 4L else shape[0] * shape[1] / 32L * 34L
    // Where each tensor lies, and the header.
    let mutable offset = 0L
    let places =
        [| for tensor, shape in shapes c do
               let kind = if shape.Length = 1 then 0u else 8u
               { Name = ggufName tensor; Type = kind; Shape = shape; Bytes = [||] }, offset
               offset <- (offset + length shape + 31L) / 32L * 32L |]
    let random = Random 8
    let row () = Array.init c.HiddenSize (fun _ -> float32 (random.Next(-127, 128)) / 64f)
    let embedding, head = row (), row ()
    let start = (int64 (ggufHeaderBytes (ggufHeader c) places).Length + 31L) / 32L * 32L
    using (new FileStream(file, FileMode.Create)) (fun stream ->
        stream.Write(ReadOnlySpan(ggufHeaderBytes (ggufHeader c) places))
        stream.SetLength(start + offset)
        let put (tensor: string) (fromEnd: int64) (bytes: byte[]) =
            let found, place = places |> Array.find (fun (t, _) -> t.Name = tensor)
            stream.Position <- start + place + length found.Shape - fromEnd
            stream.Write(ReadOnlySpan bytes)
        for tensor, values in [ "token_embd.weight", embedding; "output.weight", head ] do
            let bytes = fst (q8Blocks values)
            put tensor (int64 bytes.Length) bytes
        put "output_norm.weight" (4L * int64 c.HiddenSize) (floatBytes (Array.create c.HiddenSize 1f)))
    let clock = Diagnostics.Stopwatch.StartNew()
    use model = CpuModel.Load file
    let peak = Diagnostics.Process.GetCurrentProcess().PeakWorkingSet64 / (1L <<< 20)
    printfn $"one layer of {name}, Q8_0: loaded in {clock.Elapsed.TotalSeconds:F1} s, peak of the process {peak} MiB"
    use sequence = model.NewSequence 4
    let logits = Array.zeroCreate<float32> model.VocabularySize
    sequence.Forward(ReadOnlySpan [| c.VocabularySize - 1 |], Span logits)
    let length = sqrt (Array.averageBy (fun x -> float x * float x) embedding)
    let expected = Array.fold2 (fun sum a b -> sum + float a / length * float b) 0.0 embedding head
    // Activations are rounded to 1/127 of their largest value: an error of about its square root of the number of them.
    Expect.floatClose
        { absolute = 0.02 * sqrt (float c.HiddenSize); relative = 0.0 }
        (float logits[c.VocabularySize - 1])
        expected
        "the last token"
    Expect.all logits[.. c.VocabularySize - 2] (fun x -> x = 0f) "every other row is 0"

/// GiB that programs may still take.
let private freeMemory () =
    if OperatingSystem.IsLinux() then
        let line = File.ReadLines "/proc/meminfo" |> Seq.find (fun line -> line.StartsWith "MemAvailable:")
        float (line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1]) / float (1 <<< 20)
    else
        float (GC.GetGCMemoryInfo().TotalAvailableMemoryBytes) / float (1L <<< 30)

let private sizes =
    testSequenced
    <| testList
        "one layer of a published size"
        [ for name, hidden, heads, inner, always in
              [ "Qwen3-8B", 4096, 32, 12288, true; "Qwen3-14B", 5120, 40, 17408, false; "Qwen3-32B", 5120, 64, 25600, false ] do
              test $"{name}" {
                  if not always && isNull (Environment.GetEnvironmentVariable "TOOLKIT_LARGE") then
                      skiptest "TOOLKIT_LARGE is not set (3 GiB of memory)"
                  if freeMemory () < 6.0 then skiptest $"expected 6 GiB of free memory, got {freeMemory ():F1}"
                  large name (configOf 40960 hidden 1 heads 8 128 inner 151936 false)
              } ]

let private tokenizer =
    testCase "GGUF: its tokenizer gives the tokens of the folder that it came from" (fun () ->
        let folder = Path.Combine(__SOURCE_DIRECTORY__, "..", "Tokenization", "qwen3", "model")
        let root = nonNull (Json.Nodes.JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "tokenizer.json"))))
        let names = Array.create 151669 ("", 5) // 5: a number without a token
        for pair in (nonNull ((nonNull root["model"]).["vocab"])).AsObject() do
            names[(nonNull pair.Value).GetValue<int>()] <- pair.Key, 1
        for added in (nonNull root["added_tokens"]).AsArray() do
            let item = nonNull added
            names[(nonNull item["id"]).GetValue<int>()] <-
                (nonNull item["content"]).GetValue<string>(), (if (nonNull item["special"]).GetValue<bool>() then 3 else 4)
        let header =
            (ggufHeader tied |> List.filter (fun (key, _) -> key <> "tokenizer.ggml.eos_token_id"))
            @ [ "tokenizer.ggml.model", ggufText "gpt2"
                "tokenizer.ggml.pre", ggufText "qwen2"
                "tokenizer.ggml.tokens", ggufTexts (Array.map fst names)
                "tokenizer.ggml.token_type", ggufNumbers (Array.map snd names)
                "tokenizer.ggml.merges",
                ggufTexts [ for m in (nonNull ((nonNull root["model"]).["merges"])).AsArray() -> (nonNull m).GetValue<string>() ]
                "tokenizer.ggml.eos_token_id", ggufNumber 151645 ]
        use temporary = new TemporaryFolder()
        let file = temporary.File "model.gguf"
        File.WriteAllBytes(file, ggufBytes header (ggufTensors tied (weights tied 1) true))
        let own, other = TokenizerFiles.Load file, TokenizerFiles.Load folder
        Expect.equal own.Fingerprint other.Fingerprint "fingerprint"
        Expect.sequenceEqual own.StopTokens [ 151645; 151643 ] "stops")

[<Tests>]
let tests = testList "CheckpointFormats" [ formats; malformed; parts; unneeded; sizes; tokenizer ]
