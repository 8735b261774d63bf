/// Writes one model in every format that the loaders read, with the float32 weights that each of them holds exactly.
module Support.CheckpointFormats

open System
open System.Collections.Generic
open System.IO
open System.Text
open OptimalStopping.Runtime.Models
open Support.RandomCheckpoint

let halfBytes (values: float32[]) = values |> Array.collect (fun v -> BitConverter.GetBytes(Half.op_Explicit v: Half))
let brainBytes (values: float32[]) =
    values |> Array.collect (fun v -> BitConverter.GetBytes(uint16 (BitConverter.SingleToUInt32Bits v >>> 16)))

let private halved (values: float32[]) = values |> Array.map (fun v -> float32 (Half.op_Explicit v: Half))
let private shortened (values: float32[]) =
    values |> Array.map (fun v -> BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits v &&& 0xFFFF0000u))

let private isMatrix (name: string) (shape: int64[]) = shape.Length = 2 && name <> "model.embed_tokens.weight"

/// Rows in INT8 with one scale each.
let int8Rows (columns: int) (values: float32[]) =
    let rows = Array.chunkBySize columns values
    let scales = rows |> Array.map (fun row -> Array.max (Array.map abs row) / 127f)
    Array.map2 (fun (row: float32[]) s -> row |> Array.map (fun w -> sbyte (MathF.Round(w / s)))) rows scales |> Array.concat, scales

/// Blocks of 32 values in INT8 with a 16-bit scale, as Q8_0 keeps them, and the values that they stand for.
let q8Blocks (values: float32[]) : byte[] * float32[] =
    let blocks =
        values
        |> Array.chunkBySize 32
        |> Array.map (fun block ->
            let scale: Half = Half.op_Explicit (Array.max (Array.map abs block) / 127f)
            let q = block |> Array.map (fun v -> sbyte (Math.Clamp(MathF.Round(v / float32 scale), -127f, 127f)))
            Array.append (BitConverter.GetBytes scale) (Array.map byte q), q |> Array.map (fun v -> float32 scale * float32 v))
    Array.collect fst blocks, Array.collect snd blocks

/// The name of a tensor in a GGUF file.
let ggufName (name: string) =
    let parts = name.Split '.'
    match name with
    | "model.embed_tokens.weight" -> "token_embd.weight"
    | "model.norm.weight" -> "output_norm.weight"
    | "lm_head.weight" -> "output.weight"
    | _ ->
        let own =
            Map.ofList
                [ "q_proj", "attn_q"
                  "k_proj", "attn_k"
                  "v_proj", "attn_v"
                  "o_proj", "attn_output"
                  "q_norm", "attn_q_norm"
                  "k_norm", "attn_k_norm"
                  "input_layernorm", "attn_norm"
                  "post_attention_layernorm", "ffn_norm"
                  "gate_proj", "ffn_gate"
                  "up_proj", "ffn_up"
                  "down_proj", "ffn_down" ]
        $"blk.{parts[2]}.{own[parts[parts.Length - 2]]}.weight"

/// A value of a GGUF header: its type and bytes.
let private text (s: string) = let b = Encoding.UTF8.GetBytes s in Array.append (BitConverter.GetBytes(uint64 b.Length)) b
let ggufText (s: string) = Array.append (BitConverter.GetBytes 8u) (text s)
let ggufNumber (n: int) = Array.append (BitConverter.GetBytes 4u) (BitConverter.GetBytes(uint32 n))
let ggufReal (x: float32) = Array.append (BitConverter.GetBytes 6u) (BitConverter.GetBytes x)
let ggufTexts (values: string seq) =
    Array.concat
        [ BitConverter.GetBytes 9u
          BitConverter.GetBytes 8u
          BitConverter.GetBytes(uint64 (Seq.length values))
          Array.collect text (Array.ofSeq values) ]
let ggufNumbers (values: int seq) =
    Array.concat
        [ BitConverter.GetBytes 9u
          BitConverter.GetBytes 5u
          BitConverter.GetBytes(uint64 (Seq.length values))
          Array.collect (fun (n: int) -> BitConverter.GetBytes n) (Array.ofSeq values) ]

/// The header of a model of this shape.
let ggufHeader (c: Qwen3Config) : (string * byte[]) list =
    [ "general.architecture", ggufText "qwen3"
      "qwen3.block_count", ggufNumber c.Layers
      "qwen3.embedding_length", ggufNumber c.HiddenSize
      "qwen3.feed_forward_length", ggufNumber c.IntermediateSize
      "qwen3.attention.head_count", ggufNumber c.Heads
      "qwen3.attention.head_count_kv", ggufNumber c.KeyValueHeads
      "qwen3.attention.key_length", ggufNumber c.HeadDimension
      "qwen3.attention.value_length", ggufNumber c.HeadDimension
      "qwen3.attention.layer_norm_rms_epsilon", ggufReal c.RmsNormEpsilon
      "qwen3.rope.freq_base", ggufReal (float32 c.RopeTheta)
      "qwen3.context_length", ggufNumber c.MaxPositions
      "tokenizer.ggml.eos_token_id", ggufNumber c.EndTokens[0] ]

/// Name, type, shape (rows first) and bytes of a tensor.
type GgufTensor = { Name: string; Type: uint32; Shape: int64[]; Bytes: byte[] }

/// The bytes before the tensors: the header, and each tensor with its offset behind that.
let ggufHeaderBytes (header: (string * byte[]) list) (tensors: (GgufTensor * int64)[]) : byte[] =
    use stream = new MemoryStream()
    let put (bytes: byte[]) = stream.Write(bytes, 0, bytes.Length)
    put (BitConverter.GetBytes 0x46554747u)
    put (BitConverter.GetBytes 3u)
    put (BitConverter.GetBytes(uint64 tensors.Length))
    put (BitConverter.GetBytes(uint64 header.Length))
    for key, value in header do
        put (text key)
        put value
    for t, offset in tensors do
        put (text t.Name)
        put (BitConverter.GetBytes(uint32 t.Shape.Length))
        for extent in Array.rev t.Shape do
            put (BitConverter.GetBytes(uint64 extent))
        put (BitConverter.GetBytes t.Type)
        put (BitConverter.GetBytes(uint64 offset))
    stream.ToArray()

/// The bytes of a file: header, tensors' places, tensors at multiples of 32.
let ggufBytes (header: (string * byte[]) list) (tensors: GgufTensor[]) : byte[] =
    let next (offset: int64) (t: GgufTensor) = (offset + int64 t.Bytes.Length + 31L) / 32L * 32L
    let offsets = Array.scan next 0L tensors
    use stream = new MemoryStream()
    stream.Write(ReadOnlySpan(ggufHeaderBytes header (Array.zip tensors offsets[.. tensors.Length - 1])))
    for t in tensors do
        while stream.Length % 32L <> 0L do
            stream.WriteByte 0uy
        stream.Write(ReadOnlySpan t.Bytes)
    stream.ToArray()

/// The tensors of a model, its matrices in Q8_0 (or, with false, all in F16); norms in F32.
let ggufTensors (c: Qwen3Config) (values: Dictionary<string, float32[]>) (blocks: bool) =
    shapes c
    |> Array.map (fun (name, shape) ->
        let kind, bytes =
            if shape.Length = 1 then 0u, floatBytes values[name]
            elif blocks then 8u, fst (q8Blocks values[name])
            else 1u, halfBytes values[name]
        { Name = ggufName name; Type = kind; Shape = shape; Bytes = bytes })

let private floats (c: Qwen3Config) (change: string -> int64[] -> float32[] -> float32[]) (values: Dictionary<string, float32[]>) =
    let changed = Dictionary()
    for name, shape in shapes c do
        changed[name] <- change name shape values[name]
    changed

let private safetensors (c: Qwen3Config) (values: Dictionary<string, float32[]>) (kind: TensorType) (bytes: float32[] -> byte[]) =
    shapes c |> Array.map (fun (name, shape) -> TensorData(name, kind, shape, ReadOnlyMemory(bytes values[name])))

let w8a8 (c: Qwen3Config) (values: Dictionary<string, float32[]>) =
    shapes c
    |> Array.collect (fun (name, shape) ->
        if not (isMatrix name shape) then
            [| TensorData(name, TensorType.F32, shape, ReadOnlyMemory(floatBytes values[name])) |]
        else
            let q, scales = int8Rows (int shape[1]) values[name]
            [| TensorData(name, TensorType.I8, shape, ReadOnlyMemory(Array.map byte q))
               TensorData(name + "_scale", TensorType.F32, [| shape[0]; 1L |], ReadOnlyMemory(floatBytes scales)) |])

/// Two shards with an index, over any tensors.
let saveShards (folder: string) (c: Qwen3Config) (content: TensorData[]) =
    File.WriteAllText(Path.Combine(folder, "config.json"), c.ToJson())
    let shard i = $"model-0000{i % 2 + 1}-of-00002.safetensors"
    for i in 0..1 do
        SafeTensorsWriter.Write(
            Path.Combine(folder, shard i),
            content |> Array.indexed |> Array.filter (fun (n, _) -> n % 2 = i) |> Array.map snd
        )
    let entries = content |> Array.mapi (fun n t -> $"\"{t.Name}\":\"{shard n}\"") |> String.concat ","
    File.WriteAllText(Path.Combine(folder, "model.safetensors.index.json"), "{\"weight_map\":{" + entries + "}}")

/// Name, a writer that returns the path to load, and the float32 weights that the format holds.
type Format = { Title: string; Write: string -> string; Exact: Dictionary<string, float32[]> }

let all (c: Qwen3Config) (seed: int) : Format list =
    let values = weights c seed
    let folder write =
        fun (path: string) ->
            write path
            path
    let single content = folder (fun path -> save path c content)
    let brain, half = floats c (fun _ _ v -> shortened v) values, floats c (fun _ _ v -> halved v) values
    let norms = floats c (fun _ shape v -> if shape.Length = 1 then v else halved v) values
    let blocks = floats c (fun _ shape v -> if shape.Length = 1 then v else snd (q8Blocks v)) values
    let gguf exact isBlocks =
        fun (path: string) ->
            let file = Path.Combine(path, "model.gguf")
            File.WriteAllBytes(file, ggufBytes (ggufHeader c) (ggufTensors c exact isBlocks))
            file
    [ { Title = "safetensors F32"; Write = single (tensors c values); Exact = values }
      { Title = "safetensors BF16"; Write = single (safetensors c brain TensorType.BF16 brainBytes); Exact = brain }
      { Title = "safetensors F16"; Write = single (safetensors c half TensorType.F16 halfBytes); Exact = half }
      { Title = "safetensors W8A8 INT8"; Write = single (w8a8 c values); Exact = values }
      { Title = "two shards in BF16"
        Write = folder (fun path -> saveShards path c (safetensors c brain TensorType.BF16 brainBytes))
        Exact = brain }
      { Title = "two shards in W8A8 INT8"; Write = folder (fun path -> saveShards path c (w8a8 c values)); Exact = values }
      { Title = "GGUF F16"; Write = gguf values false; Exact = norms }
      { Title = "GGUF Q8_0"; Write = gguf values true; Exact = blocks } ]
