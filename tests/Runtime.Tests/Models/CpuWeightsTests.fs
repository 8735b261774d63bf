/// Weights of a checkpoint: INT8 taken as it is, and every missing tensor named.
module Runtime.Tests.Models.CpuWeightsTests

open System
open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open Support.RandomCheckpoint

let private forwardAll (sequence: ITokenSequence) (vocabulary: int) (tokens: int[]) : float32[][] =
    let all = Array.zeroCreate<float32>(tokens.Length * vocabulary)
    sequence.ForwardAll(tokens, all)
    Array.chunkBySize vocabulary all

let private bits (row: float32[]) = Array.map BitConverter.SingleToInt32Bits row

[<Tests>]
let tests =
    testList
        "CpuWeights"
        [ testCase "INT8 weights as compressed-tensors stores them give the bits of the same weights rounded on load" (fun () ->
              let c = config 40 2 3 1 24 56 33 true
              let values = weights c 31
              let quantised =
                  tensors c values
                  |> Array.collect (fun t ->
                      if t.Shape.Length = 1 || t.Name = "model.embed_tokens.weight" then
                          [| t |]
                      else
                          let rows = values[t.Name] |> Array.chunkBySize (int t.Shape[1])
                          let scales = rows |> Array.map (fun row -> (Array.max (Array.map abs row)) / 127f)
                          let bytes =
                              Array.map2
                                  (fun (row: float32[]) s -> row |> Array.map (fun w -> byte (sbyte (MathF.Round(w / s)))))
                                  rows
                                  scales
                          [| TensorData(t.Name, TensorType.I8, t.Shape, ReadOnlyMemory(Array.concat bytes))
                             TensorData(t.Name + "_scale", TensorType.F32, [| t.Shape[0]; 1L |], ReadOnlyMemory(floatBytes scales)) |])
              let tokens = randomTokens c 1 12
              let run (content: TensorData[]) =
                  use folder = new TemporaryFolder()
                  save folder.Path c content
                  use model = CpuModel.Load folder.Path
                  use s = model.NewSequence 12
                  Expect.equal model.Name (DirectoryInfo(folder.Path).Name) "name"
                  forwardAll s c.VocabularySize tokens |> Array.map bits
              Expect.equal (run quantised) (run (tensors c values)) "logits"
              let withZeroPoint (zero: byte) =
                  Array.append
                      quantised
                      [| TensorData(
                             "model.layers.0.mlp.up_proj.weight_zero_point",
                             TensorType.I8,
                             [| 1L |],
                             ReadOnlyMemory(Array.create 1 zero)
                         ) |]
              Expect.throwsT<ToolkitException> (fun () -> run (withZeroPoint 3uy) |> ignore) "zero point"
              Expect.equal (run (withZeroPoint 0uy)) (run quantised) "zero points of 0")
          testCase "a missing or misshapen tensor is named" (fun () ->
              let c = config 32 2 2 2 16 48 40 true
              let all = tensors c (weights c 1)
              let fault (content: TensorData[]) =
                  use folder = new TemporaryFolder()
                  save folder.Path c content
                  try
                      CpuModel.Load(folder.Path).Dispose()
                      "(no fault)"
                  with :? ToolkitException as e ->
                      e.Message
              for victim in all do
                  Expect.stringContains (fault (all |> Array.filter (fun t -> t.Name <> victim.Name))) victim.Name "missing"
              let misshapen =
                  all
                  |> Array.map (fun t ->
                      if t.Name.EndsWith "v_proj.weight" then TensorData(t.Name, t.Type, Array.append t.Shape [| 1L |], t.Bytes) else t)
              Expect.stringContains (fault misshapen) "v_proj.weight: expected shape" "shape") ]
