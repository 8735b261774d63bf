/// Weight files: valid ones, written field by field, in which any field may lie.
module Fuzz.Binary

open System
open System.IO
open System.Text
open Fuzz.Bytes

/// Writes little-endian fields; each number is replaced by an interesting one with the probability.
type private Writer(random: Random, lies: float) =
    let stream = new MemoryStream()
    let out = new BinaryWriter(stream)
    let lie (x: int64) = if chance random lies then pick random interestingNumbers else x
    member _.U8(x: int) = out.Write(byte (lie (int64 x)))
    member _.U32(x: int64) = out.Write(uint32 (lie x &&& 0xFFFFFFFFL))
    member _.U64(x: int64) = out.Write(lie x)
    member _.F32(x: float32) = out.Write x
    member _.Bytes(x: byte[]) = out.Write x
    member this.Text(x: string) =
        let bytes = Encoding.UTF8.GetBytes x
        this.U64(int64 bytes.Length)
        out.Write bytes
    member _.PadTo(alignment: int) =
        while stream.Length % int64 alignment <> 0L do
            out.Write 0uy
    member _.Length = stream.Length
    member _.ToArray() = stream.ToArray()

let private types = [| "F32", 4; "F16", 2; "BF16", 2; "I8", 1 |]

/// A .safetensors file of a few small tensors; the header is a tree that `breakHeader` may edit.
let safetensors (random: Random) (breakHeader: JsonTree.Tree -> JsonTree.Tree) : byte[] =
    let mutable offset = 0
    let entries =
        [ if chance random 0.3 then "\"__metadata__\"", JsonTree.Fields [ "\"format\"", JsonTree.Raw "\"pt\"" ]
          for i in 0 .. size random 6 do
              let name, bytes = pick random types
              let shape = [ for _ in 1 .. random.Next 4 -> random.Next 5 ]
              let count = List.fold (*) 1 shape
              let first = offset
              offset <- offset + count * bytes
              $"\"t{i}\"",
              JsonTree.Fields
                  [ "\"dtype\"", JsonTree.Raw $"\"{name}\""
                    "\"shape\"", JsonTree.Items [ for d in shape -> JsonTree.Raw(string d) ]
                    "\"data_offsets\"", JsonTree.Items [ JsonTree.Raw(string first); JsonTree.Raw(string offset) ] ] ]
    let header = Encoding.UTF8.GetBytes(JsonTree.render random (breakHeader (JsonTree.Fields entries)))
    let data = Array.zeroCreate offset
    if chance random 0.7 then random.NextBytes data
    let writer = Writer(random, 0.1)
    writer.U64(int64 header.Length)
    writer.Bytes header
    writer.Bytes data
    writer.ToArray()

/// A GGUF file (version 3) of a Qwen3 model: most of its keys with values of their kind, others of every kind, and a few
/// tensors. Half of the files do not lie.
let gguf (random: Random) : byte[] =
    let honest = chance random 0.5
    let writer = Writer(random, (if honest then 0.0 else 0.05))
    let rarely = if honest then 0.0 else 0.1
    writer.Bytes(Encoding.ASCII.GetBytes "GGUF")
    writer.U32(if chance random rarely then int64 (random.Next 5) else 3L)
    let rec value (kind: int) (depth: int) =
        match kind with
        | 0
        | 1
        | 7 -> writer.U8(random.Next 2)
        | 2
        | 3 ->
            writer.U8 1
            writer.U8 0
        | 4
        | 5 -> writer.U32(int64 (1 + random.Next 64))
        | 6 -> writer.F32 1e-6f
        | 8 -> writer.Text(pick random [| "qwen3"; "gpt2"; ""; "a\u00e4\U0001F600"; "\n"; "\u001b[31m"; String('x', size random 2000) |])
        | 9 ->
            let inner = if depth > 0 && not honest then random.Next 13 else pick random [| 4; 5; 8 |]
            let count = size random 20
            writer.U32(int64 inner)
            writer.U64(int64 count)
            for _ in 1..count do
                value inner (depth - 1)
        | _ -> writer.U64(int64 (random.Next 1000))
    let keys =
        [ if not (chance random rarely) then "general.architecture", 8
          for key, kind in
              [ "general.alignment", 4
                "general.name", 8
                "qwen3.block_count", 4
                "qwen3.embedding_length", 4
                "qwen3.context_length", 4
                "qwen3.attention.head_count", 4
                "qwen3.attention.head_count_kv", 4
                "qwen3.attention.key_length", 4
                "qwen3.feed_forward_length", 4
                "qwen3.rope.freq_base", 6
                "qwen3.attention.layer_norm_rms_epsilon", 6
                "tokenizer.ggml.model", 8
                "tokenizer.ggml.pre", 8
                "tokenizer.ggml.tokens", 9
                "tokenizer.ggml.merges", 9
                "tokenizer.ggml.token_type", 9
                "tokenizer.ggml.eos_token_id", 4 ] do
              if chance random 0.8 then key, (if chance random rarely then random.Next 13 else kind)
          for i in 1 .. size random 3 do
              $"x.{i}", random.Next 13 ]
    let names = [| "token_embd.weight"; "output_norm.weight"; "blk.0.attn_q.weight"; "blk.1.ffn_up.weight"; "x_scale" |]
    let tensors =
        [ for i in 0 .. size random 4 - 1 ->
              (if chance random rarely then pick random names else names[i % 4] + (if i < 4 then "" else $"{i}")) ]
    writer.U64(int64 tensors.Length)
    writer.U64(int64 keys.Length)
    for key, kind in keys do
        writer.Text key
        writer.U32(int64 kind)
        if key = "general.architecture" then writer.Text "qwen3"
        elif key = "general.alignment" && honest then writer.U32 32L
        elif key = "tokenizer.ggml.model" && honest then writer.Text "gpt2"
        elif key = "tokenizer.ggml.pre" && honest then writer.Text "qwen2"
        else value kind 2
    let mutable offset = 0L
    for name in tensors do
        let dimensions = 32L :: [ for _ in 1 .. random.Next 2 -> int64 (pick random [| 1; 2; 32 |]) ]
        let kind = if chance random rarely then pick random [| 2; 12; 99 |] else pick random [| 0; 1; 8; 30 |]
        writer.Text name
        writer.U32(int64 dimensions.Length)
        for d in dimensions do
            writer.U64 d
        writer.U32(int64 kind)
        writer.U64 offset
        let count = List.fold (*) 1L dimensions
        let bytes =
            match kind with
            | 0 -> 4L * count
            | 1
            | 30 -> 2L * count
            | 8 -> count / 32L * 34L
            | _ -> count
        offset <- (offset + bytes + 31L) / 32L * 32L
    writer.PadTo 32
    writer.Bytes(Array.zeroCreate (int (min offset 20000L)))
    writer.ToArray()
