/// Qwen3 in double precision with plain loops: written from the paper and shares no code with the engine.
module Support.ReferenceQwen3

open System
open System.Collections.Generic
open OptimalStopping.Runtime.Models

/// How the reference rounds. Exact: nowhere. Weights: per output channel to INT8, nothing else. Rounded: also activations
/// per 64 values to INT8, keys and values to bfloat16, as the engine is specified to.
type Precision =
    | Exact
    | Weights
    | Rounded

let private roundTo127 (values: float[]) : float[] =
    let scale = (values |> Array.fold (fun m v -> max m (abs v)) 0.0) / 127.0
    if scale = 0.0 then values else values |> Array.map (fun v -> Math.Round(v / scale) * scale)

/// 8 bits of precision, ties to even.
let private toBfloat16 (value: float) : float =
    if value = 0.0 then
        0.0
    else
        let step = Math.Pow(2.0, Math.Floor(Math.Log2(abs value)) - 7.0)
        Math.Round(value / step) * step

/// Logits after each of the tokens.
let logits (c: Qwen3Config) (weights: Dictionary<string, float32[]>) (precision: Precision) (tokens: int[]) : float[][] =
    let vector name = weights[name] |> Array.map float
    let rows name columns = vector name |> Array.chunkBySize columns
    let matrix name columns =
        let exact: float[][] = rows name columns
        if precision = Exact then exact else Array.map roundTo127 exact
    let apply (m: float[][]) (x: float[]) =
        let x = if precision = Rounded then x |> Array.chunkBySize 64 |> Array.collect roundTo127 else x
        m |> Array.map (fun row -> Array.fold2 (fun s a b -> s + a * b) 0.0 row x)
    let norm (weight: float[]) (x: float[]) =
        let mean = Array.sumBy (fun v -> v * v) x / float x.Length
        Array.map2 (fun w v -> w * v / sqrt (mean + float c.RmsNormEpsilon)) weight x
    let d, h = c.HeadDimension, c.HiddenSize
    // Frequency and amplitude of a pair: plain, divided by a factor, or YaRN's mixture of both (equations 17 to 23 of its paper).
    let frequency, amplitude =
        let plain i = Math.Pow(c.RopeTheta, -2.0 * float i / float d)
        match c.Scaling with
        | null -> plain, 1.0
        | s when not s.IsYarn -> (fun i -> plain i / s.Factor), 1.0
        | s ->
            let pairOf turns = float d * Math.Log(float s.OriginalPositions / (turns * 2.0 * Math.PI)) / (2.0 * Math.Log c.RopeTheta)
            let first, last = max 0.0 (floor (pairOf s.BetaFast)), min (float (d - 1)) (ceil (pairOf s.BetaSlow))
            let kept i =
                if float i <= first then 1.0
                elif float i >= last then 0.0
                else 1.0 - (float i - first) / (last - first)
            (fun i -> plain i * (kept i + (1.0 - kept i) / s.Factor)), s.Attention
    let rotate position (x: float[]) =
        Array.init d (fun i ->
            let angle = float position * frequency (i % (d / 2))
            let partner = if i < d / 2 then -x[i + d / 2] else x[i - d / 2]
            amplitude * (x[i] * cos angle + partner * sin angle))
    let embedding = rows "model.embed_tokens.weight" h
    let mutable states = tokens |> Array.map (fun t -> embedding[t])
    for layer in 0 .. c.Layers - 1 do
        let p = $"model.layers.{layer}."
        let heads name count normName =
            let m = matrix (p + name) h
            fun (position: int) (x: float[]) ->
                apply m x
                |> Array.chunkBySize d
                |> Array.map (fun head ->
                    match normName with
                    | Some n -> rotate position (norm (vector (p + n)) head)
                    | None -> head)
                |> fun all -> (if all.Length = count then all else failwith "heads")
        let query = heads "self_attn.q_proj.weight" c.Heads (Some "self_attn.q_norm.weight")
        let key = heads "self_attn.k_proj.weight" c.KeyValueHeads (Some "self_attn.k_norm.weight")
        let value = heads "self_attn.v_proj.weight" c.KeyValueHeads None
        let output = matrix (p + "self_attn.o_proj.weight") (c.Heads * d)
        let gate, up = matrix (p + "mlp.gate_proj.weight") h, matrix (p + "mlp.up_proj.weight") h
        let down = matrix (p + "mlp.down_proj.weight") c.IntermediateSize
        let inputNorm, postNorm = vector (p + "input_layernorm.weight"), vector (p + "post_attention_layernorm.weight")
        let normed = states |> Array.map (norm inputNorm)
        let q, k, v = Array.mapi query normed, Array.mapi key normed, Array.mapi value normed
        let stored (heads: float[][][]) = if precision = Rounded then heads |> Array.map (Array.map (Array.map toBfloat16)) else heads
        let k, v = stored k, stored v
        let attend t head =
            let kv = head / (c.Heads / c.KeyValueHeads)
            let dot s = Array.fold2 (fun a x y -> a + x * y) 0.0 (q[t][head]: float[]) (k[s][kv]: float[])
            let scores = Array.init (t + 1) (fun s -> dot s / sqrt (float d))
            let top = Array.max scores
            let e = scores |> Array.map (fun s -> exp (s - top))
            let total = Array.sum e
            Array.init d (fun i -> Seq.sum (seq { for s in 0..t -> e[s] / total * (v[s][kv]: float[])[i] }))
        let attended = states |> Array.mapi (fun t x -> Array.map2 (+) x (apply output (Array.collect (attend t) [| 0 .. c.Heads - 1 |])))
        states <-
            attended
            |> Array.map (fun x ->
                let n = norm postNorm x
                let inner = Array.map2 (fun g u -> g / (1.0 + exp -g) * u) (apply gate n) (apply up n)
                Array.map2 (+) x (apply down inner))
    let head = matrix (if c.TieWordEmbeddings then "model.embed_tokens.weight" else "lm_head.weight") h
    let final = vector "model.norm.weight"
    states |> Array.map (fun x -> apply head (norm final x))

/// |a - b| / |b| in the Euclidean norm.
let relativeError (a: float32[]) (b: float[]) =
    let distance = Array.fold2 (fun s x y -> s + (float x - y) ** 2.0) 0.0 a b
    sqrt (distance / Array.sumBy (fun y -> y * y) b)
