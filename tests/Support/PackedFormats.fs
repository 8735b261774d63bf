/// Writes one model in the packed formats that Qwen publishes, with the float32 weights that each of them means. Weights are
/// random bits; what they mean is written from the formats' descriptions and shares no code with the loaders.
module Support.PackedFormats

open System
open System.Collections.Generic
open System.IO
open System.Text.Json.Nodes
open OptimalStopping.Runtime.Models
open Support.RandomCheckpoint
open Support.CheckpointFormats

/// A model whose rows are whole blocks of 256 values.
let config256 = config 256 1 4 2 64 256 64 true

let private half (value: float32) : Half = Half.op_Explicit value
let private ofHalf (value: Half) : float32 = Half.op_Explicit value

/// Bytes of one block and its values: each of llama.cpp's types, as ggml's reference writes them out.
let private q4_0 (random: Random) =
    let d = half (0.002f + 0.004f * random.NextSingle())
    let qs = Array.init 16 (fun _ -> byte (random.Next 256))
    let value nibble = float32 (int nibble - 8) * ofHalf d
    Array.append (BitConverter.GetBytes d) qs,
    Array.append (qs |> Array.map (fun q -> value (q &&& 15uy))) (qs |> Array.map (fun q -> value (q >>> 4)))

let private scaleMin (j: int) (q: byte[]) =
    if j < 4 then
        float32 (q[j] &&& 63uy), float32 (q[j + 4] &&& 63uy)
    else
        float32 ((q[j + 4] &&& 15uy) ||| ((q[j - 4] >>> 6) <<< 4)), float32 ((q[j + 4] >>> 4) ||| ((q[j] >>> 6) <<< 4))

let private k45 (five: bool) (random: Random) =
    let d, dmin = half (0.0001f * (1f + random.NextSingle())), half (0.0005f * (1f + random.NextSingle()))
    let scales = Array.init 12 (fun _ -> byte (random.Next 256))
    let qh = Array.init 32 (fun _ -> byte (random.Next 256))
    let qs = Array.init 128 (fun _ -> byte (random.Next 256))
    let y = ResizeArray<float32>()
    for j in 0..3 do
        for high in 0..1 do
            let s, m = scaleMin (2 * j + high) scales
            for l in 0..31 do
                let four = if high = 0 then int (qs[32 * j + l] &&& 15uy) else int (qs[32 * j + l] >>> 4)
                let more = if five && qh[l] &&& (1uy <<< (2 * j + high)) <> 0uy then 16 else 0
                y.Add(ofHalf d * s * float32 (four + more) - ofHalf dmin * m)
    Array.concat [ BitConverter.GetBytes d; BitConverter.GetBytes dmin; scales; (if five then qh else [||]); qs ], y.ToArray()

let private q6_k (random: Random) =
    let d = half (0.00002f * (1f + random.NextSingle()))
    let ql = Array.init 128 (fun _ -> byte (random.Next 256))
    let qh = Array.init 64 (fun _ -> byte (random.Next 256))
    let sc = Array.init 16 (fun _ -> sbyte (random.Next(-127, 128)))
    let y = Array.zeroCreate<float32> 256
    for n in 0..1 do
        for l in 0..31 do
            let low i = int ql[64 * n + i]
            let high = int qh[32 * n + l]
            let put at q scale = y[128 * n + l + at] <- ofHalf d * float32 sc[8 * n + l / 16 + scale] * float32 (q - 32)
            put 0 ((low l &&& 15) ||| ((high &&& 3) <<< 4)) 0
            put 32 ((low (l + 32) &&& 15) ||| (((high >>> 2) &&& 3) <<< 4)) 2
            put 64 ((low l >>> 4) ||| (((high >>> 4) &&& 3) <<< 4)) 4
            put 96 ((low (l + 32) >>> 4) ||| (((high >>> 6) &&& 3) <<< 4)) 6
    Array.concat [ ql; qh; Array.map byte sc; BitConverter.GetBytes d ], y

let private gguf (title: string) (kind: uint32) (size: int) (block: Random -> byte[] * float32[]) (c: Qwen3Config) (seed: int) : Format =
    let random = Random seed
    let values = weights c seed
    let tensors =
        ggufTensors c values false
        |> Array.mapi (fun i t ->
            let name, shape = (shapes c)[i]
            if shape.Length = 1 then
                t
            else
                let blocks = Array.init (int (shape[0] * shape[1]) / size) (fun _ -> block random)
                values[name] <- blocks |> Array.collect snd
                { t with Type = kind; Bytes = blocks |> Array.collect fst })
    { Title = title
      Exact = values
      Write =
        fun path ->
            let file = Path.Combine(path, "model.gguf")
            File.WriteAllBytes(file, ggufBytes (ggufHeader c) tensors)
            file }

/// Projections become several tensors; everything else stays, in BF16.
let private folder
    (title: string)
    (json: string)
    (project: Random -> string -> int -> int -> TensorData[] * float32[])
    (c: Qwen3Config)
    (seed: int)
    =
    let random = Random seed
    let values = weights c seed
    let content =
        shapes c
        |> Array.collect (fun (name, shape) ->
            if name.Contains "_proj" then
                let tensors, exact = project random (name.Substring(0, name.Length - ".weight".Length)) (int shape[0]) (int shape[1])
                values[name] <- exact
                tensors
            else
                values[name] <-
                    values[name] |> Array.map (fun v -> BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits v &&& 0xFFFF0000u))
                [| TensorData(name, TensorType.BF16, shape, ReadOnlyMemory(brainBytes values[name])) |])
    { Title = title
      Exact = values
      Write =
        fun path ->
            save path c content
            let file = Path.Combine(path, "config.json")
            let root = (nonNull (JsonNode.Parse(File.ReadAllText file))).AsObject()
            root["quantization_config"] <- JsonNode.Parse json
            File.WriteAllText(file, root.ToJsonString())
            path }

let private intBytes (values: int[]) = values |> Array.collect (fun (v: int) -> BitConverter.GetBytes v)
let private tensor (name: string) (kind: TensorType) (shape: int64 list) (bytes: byte[]) =
    TensorData(name, kind, List.toArray shape, ReadOnlyMemory bytes)

/// The scales of groups of inputs, by group and output.
let private groupScales (name: string) (scale: Half[,]) =
    tensor
        (name + ".scales")
        TensorType.F16
        [ int64 (Array2D.length1 scale); int64 (Array2D.length2 scale) ]
        [| for g in 0 .. Array2D.length1 scale - 1 do
               for o in 0 .. Array2D.length2 scale - 1 do
                   yield! BitConverter.GetBytes scale[g, o] |]

/// What integers with a zero point and a scale for each group of inputs stand for, output by output.
let private groupValues (q: int[,]) (zero: int[,]) (scale: Half[,]) =
    let columns, group = Array2D.length1 q, Array2D.length1 q / Array2D.length1 scale
    [| for o in 0 .. Array2D.length2 q - 1 do
           for i in 0 .. columns - 1 -> ofHalf scale[i / group, o] * float32 (q[i, o] - zero[i / group, o]) |]

/// GPTQ: values of so many bits, packed along the inputs; the zero point is stored less one.
let private gptq (bits: int) (group: int) (random: Random) (name: string) (rows: int) (columns: int) =
    let pack, groups, most = 32 / bits, columns / group, 1 <<< bits
    let q = Array2D.init columns rows (fun _ _ -> random.Next most)
    let zero = Array2D.init groups rows (fun _ _ -> most / 2 - random.Next 2)
    let scale = Array2D.init groups rows (fun _ _ -> half (0.5f / float32 most * (0.5f + random.NextSingle())))
    let packed n m (value: int -> int -> int) =
        [| for i in 0 .. n - 1 do
               for j in 0 .. m - 1 do
                   value i j |]
    let join (parts: int seq) = parts |> Seq.indexed |> Seq.fold (fun word (k, v) -> word ||| (v <<< (k * bits))) 0
    let qweight = packed (columns / pack) rows (fun i o -> join (seq { for k in 0 .. pack - 1 -> q[i * pack + k, o] }))
    let qzeros = packed groups (rows / pack) (fun g o -> join (seq { for k in 0 .. pack - 1 -> zero[g, o * pack + k] - 1 }))
    let n (x: int) = int64 x
    [| tensor (name + ".qweight") TensorType.I32 [ n (columns / pack); n rows ] (intBytes qweight)
       tensor (name + ".qzeros") TensorType.I32 [ n groups; n (rows / pack) ] (intBytes qzeros)
       groupScales name scale
       tensor (name + ".g_idx") TensorType.I32 [ n columns ] (intBytes [| for i in 0 .. columns - 1 -> i / group |]) |],
    groupValues q zero scale

/// AWQ: 4 bits, packed along the outputs in the order 0, 2, 4, 6, 1, 3, 5, 7.
let private awq (group: int) (random: Random) (name: string) (rows: int) (columns: int) =
    let order = [| 0; 2; 4; 6; 1; 3; 5; 7 |]
    let groups = columns / group
    let q = Array2D.init columns rows (fun _ _ -> random.Next 16)
    let zero = Array2D.init groups rows (fun _ _ -> random.Next 16)
    let scale = Array2D.init groups rows (fun _ _ -> half (0.02f * (0.5f + random.NextSingle())))
    let pack (source: int[,]) n =
        [| for i in 0 .. n - 1 do
               for o in 0 .. rows / 8 - 1 do
                   order |> Array.indexed |> Array.fold (fun word (k, place) -> word ||| (source[i, 8 * o + place] <<< (4 * k))) 0 |]
    let n (x: int) = int64 x
    [| tensor (name + ".qweight") TensorType.I32 [ n columns; n (rows / 8) ] (intBytes (pack q columns))
       tensor (name + ".qzeros") TensorType.I32 [ n groups; n (rows / 8) ] (intBytes (pack zero groups))
       groupScales name scale |],
    groupValues q zero scale

/// FP8: E4M3 with one scale for each block of 128 x 128.
let private fp8 (random: Random) (name: string) (rows: int) (columns: int) =
    let bits =
        Array.init (rows * columns) (fun _ ->
            let b = byte (random.Next 256)
            if b &&& 0x7Fuy = 0x7Fuy then 0uy else b)
    let value (b: byte) =
        let exponent, fraction = int (b >>> 3) &&& 15, float (int b &&& 7)
        let size =
            if exponent = 0 then
                fraction / 8.0 * Math.Pow(2.0, -6.0)
            else
                (1.0 + fraction / 8.0) * Math.Pow(2.0, float exponent - 7.0)
        float32 (if b >= 128uy then -size else size)
    let down, across = (rows + 127) / 128, (columns + 127) / 128
    let scales = Array.init (down * across) (fun _ -> 0.0005f * (1f + random.NextSingle()))
    let exact = bits |> Array.mapi (fun i b -> value b * scales[i / columns / 128 * across + i % columns / 128])
    [| tensor (name + ".weight") TensorType.F8 [ int64 rows; int64 columns ] bits
       tensor (name + ".weight_scale_inv") TensorType.F32 [ int64 down; int64 across ] (floatBytes scales) |],
    exact

/// Every packed format of a model whose rows are whole blocks.
let all (c: Qwen3Config) (seed: int) : Format list =
    [ gguf "GGUF Q4_0" 2u 32 q4_0 c seed
      gguf "GGUF Q4_K" 12u 256 (k45 false) c seed
      gguf "GGUF Q5_K" 13u 256 (k45 true) c seed
      gguf "GGUF Q6_K" 14u 256 q6_k c seed
      folder "GPTQ 8 bits" """{"quant_method":"gptq","bits":8,"group_size":128,"desc_act":false,"sym":true}""" (gptq 8 128) c seed
      folder "GPTQ 4 bits" """{"quant_method":"gptq","bits":4,"group_size":64,"desc_act":false,"sym":false}""" (gptq 4 64) c seed
      folder "AWQ 4 bits" """{"quant_method":"awq","bits":4,"group_size":128,"zero_point":true,"version":"gemm"}""" (awq 128) c seed
      folder "FP8" """{"quant_method":"fp8","activation_scheme":"dynamic","fmt":"e4m3","weight_block_size":[128,128]}""" fp8 c seed ]
