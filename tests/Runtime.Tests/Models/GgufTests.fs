/// GGUF files read back field by field, as ggml's documentation describes them.
module Runtime.Tests.Models.GgufTests

open System
open System.Collections.Generic
open System.IO
open System.Text
open Expecto
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Tokenization
open Support.RandomCheckpoint

/// Values by key, and for each tensor its shape in the file's order, its type and its bytes up to the next tensor.
let private read (file: string) =
    use reader = new BinaryReader(File.OpenRead file)
    let text () = Encoding.UTF8.GetString(reader.ReadBytes(int (reader.ReadUInt64())))
    Expect.equal (Encoding.ASCII.GetString(reader.ReadBytes 4)) "GGUF" "magic"
    Expect.equal (reader.ReadUInt32()) 3u "version"
    let tensors, pairs = int (reader.ReadUInt64()), int (reader.ReadUInt64())
    let values =
        dict
            [ for _ in 1..pairs do
                  let key = text ()
                  match reader.ReadUInt32() with
                  | 4u -> yield key, box (reader.ReadUInt32())
                  | 6u -> yield key, box (reader.ReadSingle())
                  | 8u -> yield key, box (text ())
                  | other -> failtest $"type {other}" ]
    let entries =
        [| for _ in 1..tensors do
               let name = text ()
               let shape = Array.init (int (reader.ReadUInt32())) (fun _ -> int64 (reader.ReadUInt64()))
               let kind = reader.ReadUInt32()
               yield name, shape, kind, int64 (reader.ReadUInt64()) |]
    let start = (reader.BaseStream.Position + 31L) / 32L * 32L
    let ends = Array.append (entries[1..] |> Array.map (fun (_, _, _, offset) -> offset)) [| reader.BaseStream.Length - start |]
    let content = Dictionary()
    for (name, shape, kind, offset), last in Array.zip entries ends do
        Expect.equal (offset % 32L) 0L "alignment"
        reader.BaseStream.Position <- start + offset
        content[name] <- (shape, kind, reader.ReadBytes(int (last - offset)))
    values, content

[<Tests>]
let tests =
    testList
        "GGUF"
        [ testCase "an exported checkpoint holds the engine's INT8 weights with their row's scale" (fun () ->
              let c = config 64 2 2 1 32 96 40 true
              let values = weights c 12
              use folder = new TemporaryFolder()
              save folder.Path c (tensors c values)
              GgufExport.Write(folder.Path, folder.File "model.gguf")
              let metadata, content = read (folder.File "model.gguf")
              Expect.equal (string metadata["general.architecture"]) "qwen3" "architecture"
              Expect.equal (Convert.ToUInt32 metadata["qwen3.embedding_length"]) 64u "width"
              Expect.equal (Convert.ToUInt32 metadata["qwen3.attention.head_count_kv"]) 1u "key heads"
              Expect.equal (Convert.ToSingle metadata["qwen3.rope.freq_base"]) 1e4f "theta"
              Expect.equal content.Count (3 + 11 * 2) "tensors"
              let shape, kind, bytes = content["token_embd.weight"]
              Expect.equal (shape, kind) ([| 64L; 40L |], 0u) "embedding"
              Expect.equal bytes (floatBytes values["model.embed_tokens.weight"]) "embedding's values"
              let shape, kind, bytes = content["blk.1.ffn_down.weight"]
              Expect.equal (shape, kind) ([| 96L; 64L |], 8u) "down"
              let rows = values["model.layers.1.mlp.down_proj.weight"] |> Array.chunkBySize 96
              for r, row in Array.indexed rows do
                  let scale = (row |> Array.map abs |> Array.max) / 127f
                  for i in 0..95 do
                      let block = (r * 3 + i / 32) * 34
                      Expect.equal (BitConverter.ToHalf(bytes, block)) (Half.CreateTruncating scale) "scale"
                      Expect.equal (sbyte bytes[block + 2 + i % 32]) (sbyte (MathF.Round(row[i] / scale))) $"row {r}, input {i}")
          for source in [ "folder"; "GGUF" ] do
              for kind in [ GgufType.F16; GgufType.Q8_0 ] do
                  testCase $"a model written as {kind} from a {source} is read back: logits, tokenizer, template" (fun () ->
                      let c = config 32 1 2 1 16 32 151936 true
                      use folder = new TemporaryFolder()
                      save folder.Path c (tensors c (weights c 3))
                      let qwen = Path.Combine(Support.Repository.root, "tests", "Runtime.Tests", "Tokenization", "qwen3", "model")
                      for name in [ "tokenizer.json"; "tokenizer_config.json"; "generation_config.json" ] do
                          File.Copy(Path.Combine(qwen, name), folder.File name)
                      let write (from: string) (name: string) =
                          GgufExport.WriteModel(from, folder.File name, kind, TokenizerFiles.GgufKeys(from, c.VocabularySize))
                          folder.File name
                      let first = write folder.Path "first.gguf"
                      let file = if source = "folder" then first else write first "second.gguf"
                      let logits (path: string) =
                          use model = CpuModel.Load path
                          use sequence = model.NewSequence 8
                          let row = Array.zeroCreate<float32> c.VocabularySize
                          sequence.Forward(ReadOnlySpan [| 5; 900; 77 |], Span row)
                          row
                      let exact, got = logits folder.Path, logits file
                      let error = Support.ReferenceQwen3.relativeError got (Array.map float exact)
                      // Both are INT8 in memory: where F16 moves a weight over the middle between two steps, a whole step is lost.
                      Expect.isLessThan error (if kind = GgufType.F16 then 0.02 else 0.03) "logits"
                      let own, other = TokenizerFiles.Load folder.Path, TokenizerFiles.Load file
                      Expect.isTrue (own.SharesTokensWith other && own.Fingerprint = other.Fingerprint) "tokens"
                      Expect.sequenceEqual other.StopTokens own.StopTokens "stops"
                      Expect.equal (TokenizerFiles.LoadChatTemplate file) ChatTemplate.Qwen3 "template")
          testCase "a tensor that writes too little is a fault, and no file is left" (fun () ->
              use folder = new TemporaryFolder()
              let file = folder.File "broken.gguf"
              let tensor = GgufTensor("x", GgufType.F32, [| 3L |], fun stream -> stream.WriteByte 1uy)
              Expect.throwsT<ArgumentException> (fun () -> GgufWriter.Write(file, [||], [| tensor |])) "too little"
              Expect.isEmpty (Directory.GetFiles folder.Path) "files"
              let odd = GgufTensor("x", GgufType.Q8_0, [| 2L; 33L |], fun _ -> ())
              Expect.throwsT<ArgumentException> (fun () -> GgufWriter.Write(file, [||], [| odd |])) "no whole number of blocks") ]
