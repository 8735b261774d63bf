/// Writes small Qwen3 checkpoints with random weights, the same for the same seed.
module Support.RandomCheckpoint

open System
open System.Collections.Generic
open System.IO
open OptimalStopping.Runtime.Models

/// A configuration for tests with room for so many positions; token 0 ends an answer.
let configOf (positions: int) (hidden: int) (layers: int) (heads: int) (kv: int) (width: int) (inner: int) (vocabulary: int) (tied: bool) =
    Qwen3Config(
        HiddenSize = hidden,
        Layers = layers,
        Heads = heads,
        KeyValueHeads = kv,
        HeadDimension = width,
        IntermediateSize = inner,
        VocabularySize = vocabulary,
        RmsNormEpsilon = 1e-6f,
        RopeTheta = 1e4,
        TieWordEmbeddings = tied,
        MaxPositions = positions,
        EndTokens = [| 0 |]
    )

/// The same with 128 positions.
let config = configOf 128

/// Names and shapes of the tensors, as Hugging Face names them.
let shapes (c: Qwen3Config) : (string * int64[])[] =
    let h, q, k, f, v =
        int64 c.HiddenSize,
        int64 (c.Heads * c.HeadDimension),
        int64 (c.KeyValueHeads * c.HeadDimension),
        int64 c.IntermediateSize,
        int64 c.VocabularySize
    [| yield "model.embed_tokens.weight", [| v; h |]
       if not c.TieWordEmbeddings then yield "lm_head.weight", [| v; h |]
       yield "model.norm.weight", [| h |]
       for i in 0 .. c.Layers - 1 do
           let p = $"model.layers.{i}."
           yield p + "self_attn.q_proj.weight", [| q; h |]
           yield p + "self_attn.k_proj.weight", [| k; h |]
           yield p + "self_attn.v_proj.weight", [| k; h |]
           yield p + "self_attn.o_proj.weight", [| h; q |]
           yield p + "self_attn.q_norm.weight", [| int64 c.HeadDimension |]
           yield p + "self_attn.k_norm.weight", [| int64 c.HeadDimension |]
           yield p + "mlp.gate_proj.weight", [| f; h |]
           yield p + "mlp.up_proj.weight", [| f; h |]
           yield p + "mlp.down_proj.weight", [| h; f |]
           yield p + "input_layernorm.weight", [| h |]
           yield p + "post_attention_layernorm.weight", [| h |] |]

/// Normal weights with standard deviation 1 / sqrt(inputs); norms near 1, so that each of their values matters.
let weights (c: Qwen3Config) (seed: int) : Dictionary<string, float32[]> =
    let random = Random seed
    let normal () = sqrt (-2.0 * log (1.0 - random.NextDouble())) * cos (2.0 * Math.PI * random.NextDouble())
    let all = Dictionary()
    for name, shape in shapes c do
        let count = int (Array.fold (*) 1L shape)
        let scale = 1.0 / sqrt (float shape[shape.Length - 1])
        all[name] <- Array.init count (fun _ -> if shape.Length = 1 then float32 (1.0 + 0.3 * normal ()) else float32 (normal () * scale))
    all

let floatBytes (values: float32[]) : byte[] =
    let bytes = Array.zeroCreate (4 * values.Length)
    Buffer.BlockCopy(values, 0, bytes, 0, bytes.Length)
    bytes

let tensors (c: Qwen3Config) (values: Dictionary<string, float32[]>) : TensorData[] =
    shapes c |> Array.map (fun (name, shape) -> TensorData(name, TensorType.F32, shape, ReadOnlyMemory(floatBytes values[name])))

/// A folder of its own that is deleted when disposed.
type TemporaryFolder() =
    let path = Directory.CreateTempSubdirectory("toolkit-test-").FullName
    member _.Path = path
    member _.File(name: string) = Path.Combine(path, name)
    interface IDisposable with
        member _.Dispose() = Directory.Delete(path, true)

let save (folder: string) (c: Qwen3Config) (content: TensorData[]) =
    File.WriteAllText(Path.Combine(folder, "config.json"), c.ToJson())
    SafeTensorsWriter.Write(Path.Combine(folder, "model.safetensors"), content)

/// A loaded model with random weights; its files are already gone.
let load (c: Qwen3Config) (seed: int) (kernels: KernelSet) : CpuModel =
    use folder = new TemporaryFolder()
    save folder.Path c (tensors c (weights c seed))
    CpuModel.Load(folder.Path, kernels)

/// Tokens drawn with a seed.
let randomTokens (c: Qwen3Config) (seed: int) (count: int) : int[] =
    let random = Random seed
    Array.init count (fun _ -> random.Next c.VocabularySize)
