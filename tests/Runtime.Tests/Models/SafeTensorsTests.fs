/// Files of weights: what is written is read back, and every malformed header is an error in one line.
module Runtime.Tests.Models.SafeTensorsTests

open System
open System.IO
open System.Text
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open Support.RandomCheckpoint

let private write (path: string) (header: string) (data: int) =
    let text = Encoding.UTF8.GetBytes header
    File.WriteAllBytes(path, Array.concat [ BitConverter.GetBytes(uint64 text.Length); text; Array.zeroCreate data ])

let private expectFault (path: string) (part: string) (call: unit -> unit) =
    let message =
        try
            call ()
            "(no fault)"
        with :? ToolkitException as e ->
            e.Message
    Expect.stringContains message part "says what was wrong"
    Expect.stringContains message path "names the file"
    Expect.isFalse (message.Contains '\n') "one line"

let private malformed =
    [ "no JSON", "{oops", 0, "expected JSON"
      "no object", "[]", 0, "expected a JSON object"
      "name twice",
      """{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}""",
      1,
      "expected JSON"
      "entry no object", """{"a":5}""", 0, "a: expected an object"
      "dtype missing", """{"a":{"shape":[1],"data_offsets":[0,1]}}""", 1, "dtype"
      "dtype unknown",
      """{"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,1]}}""",
      1,
      "a.dtype: expected F32, F16, BF16, I8, F8_E4M3 or I32"
      "shape missing", """{"a":{"dtype":"I8","data_offsets":[0,1]}}""", 1, "shape"
      "shape negative", """{"a":{"dtype":"I8","shape":[-1],"data_offsets":[0,1]}}""", 1, "a.shape"
      "shape fractional", """{"a":{"dtype":"I8","shape":[1.5],"data_offsets":[0,1]}}""", 1, "a.shape"
      "shape too large", """{"a":{"dtype":"I8","shape":[3],"data_offsets":[0,2]}}""", 2, "a.shape: expected the shape of 2 bytes"
      "shape overflows",
      """{"a":{"dtype":"F32","shape":[4611686018427387904,4,4611686018427387904,4],"data_offsets":[0,0]}}""",
      0,
      "a.shape"
      "offsets beyond the file",
      """{"a":{"dtype":"I8","shape":[9000000000000000],"data_offsets":[0,9000000000000000]}}""",
      8,
      "a.data_offsets"
      "offsets reversed", """{"a":{"dtype":"I8","shape":[1],"data_offsets":[2,1]}}""", 4, "a.data_offsets"
      "offsets not two", """{"a":{"dtype":"I8","shape":[1],"data_offsets":[0]}}""", 4, "a.data_offsets"
      "overlap",
      """{"a":{"dtype":"I8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"I8","shape":[2],"data_offsets":[2,4]}}""",
      4,
      "b: expected a tensor from offset" ]

[<Tests>]
let tests =
    testList
        "SafeTensors"
        [ testCase "what is written is read back, and the same tensors give the same bytes in any order" (fun () ->
              use folder = new TemporaryFolder()
              let floats = [| 1.5f; -0.25f; 3e-20f; 0f; 65504f; -7f |]
              let half = floats |> Array.collect (fun v -> BitConverter.GetBytes(Half.op_Explicit v: Half))
              let brain = floats |> Array.collect (fun v -> BitConverter.GetBytes(uint16 (BitConverter.SingleToUInt32Bits v >>> 16)))
              let content =
                  [| TensorData("f", TensorType.F32, [| 2L; 3L |], ReadOnlyMemory(floatBytes floats))
                     TensorData("h", TensorType.F16, [| 6L |], ReadOnlyMemory(half))
                     TensorData("b", TensorType.BF16, [| 3L; 2L |], ReadOnlyMemory(brain))
                     TensorData("i", TensorType.I8, [| 5L |], ReadOnlyMemory(Array.map byte [| 0; 1; 127; 128; 255 |]))
                     TensorData("empty", TensorType.F32, [| 0L; 4L |], ReadOnlyMemory.Empty) |]
              let first, second = folder.File "1.safetensors", folder.File "2.safetensors"
              SafeTensorsWriter.Write(first, content)
              SafeTensorsWriter.Write(second, Array.rev content)
              Expect.equal (File.ReadAllBytes first) (File.ReadAllBytes second) "deterministic"
              Expect.equal (Directory.GetFiles(folder.Path).Length) 2 "no temporary file is left"
              use file = SafeTensors.Open first
              Expect.equal file.Entries.Count 5 "count"
              Expect.equal (file.ReadFloats file.Entries["f"]) floats "F32"
              Expect.equal (file.ReadFloats file.Entries["h"]) [| 1.5f; -0.25f; 0f; 0f; 65504f; -7f |] "F16"
              Expect.equal
                  (file.ReadFloats file.Entries["b"])
                  (floats |> Array.map (fun v -> BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits v &&& 0xFFFF0000u)))
                  "BF16"
              Expect.equal (file.ReadBytes file.Entries["i"]) [| 0y; 1y; 127y; -128y; -1y |] "I8"
              Expect.equal file.Entries["b"].Shape [| 3L; 2L |] "shape"
              Expect.throwsT<ToolkitException> (fun () -> file.ReadFloats file.Entries["i"] |> ignore) "I8 is no float"
              Expect.throwsT<ToolkitException> (fun () -> file.ReadBytes file.Entries["f"] |> ignore) "F32 is no I8")
          testCase "values that are not finite are refused with their offset" (fun () ->
              use folder = new TemporaryFolder()
              let path = folder.File "a.safetensors"
              SafeTensorsWriter.Write(path, [| TensorData("w", TensorType.F32, [| 3L |], ReadOnlyMemory(floatBytes [| 1f; nanf; 2f |])) |])
              use file = SafeTensors.Open path
              let offset = file.Entries["w"].Offset + 4L
              expectFault path $"offset {offset}: expected a finite value" (fun () -> file.ReadFloats file.Entries["w"] |> ignore))
          for name, header, data, part in malformed do
              testCase $"malformed: {name}" (fun () ->
                  use folder = new TemporaryFolder()
                  let path = folder.File "bad.safetensors"
                  write path header data
                  expectFault path part (fun () -> SafeTensors.Open(path).Dispose()))
          testCase "a length that lies about the header allocates nothing by it" (fun () ->
              use folder = new TemporaryFolder()
              let path = folder.File "bad.safetensors"
              for length in [ UInt64.MaxValue; 1UL <<< 40; 100UL; 0UL ] do
                  File.WriteAllBytes(path, Array.append (BitConverter.GetBytes length) (Encoding.UTF8.GetBytes "{}  "))
                  expectFault path "offset 0: expected a header" (fun () -> SafeTensors.Open(path).Dispose())
              File.WriteAllBytes(path, [| 1uy; 2uy |])
              expectFault path "expected at least 8 bytes" (fun () -> SafeTensors.Open(path).Dispose())
              expectFault (folder.File "none") "expected a readable file" (fun () -> SafeTensors.Open(folder.File "none").Dispose()))
          testCase "a file cut at any byte is an error, never a crash" (fun () ->
              use folder = new TemporaryFolder()
              let path = folder.File "whole.safetensors"
              SafeTensorsWriter.Write(path, [| TensorData("w", TensorType.F32, [| 3L |], ReadOnlyMemory(floatBytes [| 1f; 2f; 3f |])) |])
              let bytes = File.ReadAllBytes path
              let cut = folder.File "cut.safetensors"
              for length in 0 .. bytes.Length - 1 do
                  File.WriteAllBytes(cut, bytes[.. length - 1])
                  Expect.throwsT<ToolkitException> (fun () -> SafeTensors.Open(cut).Dispose()) $"{length} bytes")
          testCase "shards give the model of the single file; a wrong index is named" (fun () ->
              let c = config 32 2 2 1 16 40 24 false
              let all = tensors c (weights c 6)
              use folder = new TemporaryFolder()
              save folder.Path c all
              let tokens = [| 1; 2; 3 |]
              let run () =
                  use model = CpuModel.Load folder.Path
                  use s = model.NewSequence 4
                  let row = Array.zeroCreate<float32> c.VocabularySize
                  s.Forward(ReadOnlySpan(tokens: int[]), row)
                  row
              let whole = run ()
              File.Delete(folder.File "model.safetensors")
              expectFault folder.Path "expected model.safetensors" (fun () -> run () |> ignore)
              let shard i = $"model-0000{i % 2 + 1}-of-00002.safetensors"
              for i in 0..1 do
                  SafeTensorsWriter.Write(
                      folder.File(shard i),
                      all |> Array.indexed |> Array.filter (fun (n, _) -> n % 2 = i) |> Array.map snd
                  )
              let index = folder.File "model.safetensors.index.json"
              let entries = all |> Array.mapi (fun n t -> $"\"{t.Name}\":\"{shard n}\"") |> String.concat ","
              File.WriteAllText(index, "{\"weight_map\":{" + entries + "}}")
              Expect.equal (run ()) whole "logits"
              // What no model needs may be listed and be nowhere.
              File.WriteAllText(index, "{\"weight_map\":{\"unneeded\":\"" + shard 0 + "\"," + entries + "}}")
              Expect.equal (run ()) whole "logits"
              for wrong, part in
                  [ "{}", "weight_map"
                    """{"weight_map":{"a":"../b.safetensors"}}""", "a file in the same folder"
                    """{"weight_map":{"a":7}}""", "a file in the same folder"
                    "{\"weight_map\":{\"absent\":\"" + shard 0 + "\"}}", "model.embed_tokens.weight: expected a tensor, got nothing" ] do
                  File.WriteAllText(index, wrong)
                  expectFault folder.Path part (fun () -> run () |> ignore)) ]
