module Torch.Tests.ModelExportTests

open Support
open System
open System.Collections.Generic
open System.IO
open Expecto
open TorchSharp
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Tasks
open OptimalStopping.Runtime.Tokenization
open OptimalStopping.Runtime.Torch

/// The trainable model's logits at every position of one packed row, for each text of the row by itself.
let private torchLogits (recipe: TrainingRecipe) (model: TrainableQwen3) : (int[] * float32[][])[] =
    let next = (NanoTexts null).Open(QuerySplit.Calibration, 9)
    let batch = PackedBatch.Pack(next, CharacterTokenizer.Nano.EndOfText, recipe.Rows, recipe.RowLength)
    use _ = torch.no_grad ()
    let rows, length = int64 recipe.Rows, int64 recipe.RowLength
    let positions = [| 0L .. rows * length - 1L |]
    let logits =
        model.Forward(
            torch.tensor(batch.Tokens: int64[]).reshape(rows, length),
            torch.tensor(batch.Mask: float32[]).reshape(rows, 1L, 1L, length, length),
            torch.tensor (positions: int64[])
        )
    let all = logits.data<float32>().ToArray() |> Array.chunkBySize CharacterTokenizer.Nano.VocabularySize
    [| for struct (query, first, count) in batch.Spans do
           let tokens = CharacterTokenizer.Nano.Encode(query.Prompt + query.Solution)
           let start = int batch.Positions.[first] - (query.Prompt.Length - 1)
           tokens, Array.sub all start tokens.Length |]

/// The weights of an exported folder by name, INT8 ones multiplied by their scales.
let private readWeights (folder: string) (config: Qwen3Config) =
    let weights = Dictionary<string, float32[]>()
    use file = SafeTensors.Open(Path.Combine(folder, "model.safetensors"))
    for entry in file.Entries.Values do
        if entry.Type = TensorType.I8 then
            let scales = file.ReadFloats file.Entries.[entry.Name + "_scale"]
            let columns = int entry.Shape.[1]
            weights.[entry.Name] <- file.ReadBytes entry |> Array.mapi (fun i v -> float32 v * scales.[i / columns])
        elif not (entry.Name.EndsWith "_scale") then
            weights.[entry.Name] <- file.ReadFloats entry
    weights

let private trained =
    lazy
        (let recipe = Recipes.small 150 1
         let trainer = new Trainer(recipe, Recipes.texts recipe, 1)
         Recipes.inFolder (fun folder -> trainer.Run(folder, ignore))
         recipe, trainer.Model)

let private meanError (ofText: int[] -> float32[][]) (expected: (int[] * float32[][])[]) =
    expected
    |> Array.map (fun (tokens, logits) ->
        ReferenceQwen3.relativeError (Array.concat (ofText tokens)) (Array.concat logits |> Array.map float))
    |> Array.average

let private engine (folder: string) (tokens: int[]) =
    use model = CpuModel.Load folder
    use sequence = model.NewSequence 100
    let logits = Array.zeroCreate (tokens.Length * model.VocabularySize)
    sequence.ForwardAll(ReadOnlySpan tokens, Span logits)
    Array.chunkBySize model.VocabularySize logits

let private reference (folder: string) =
    let config = Qwen3Config.Read(Path.Combine(folder, "config.json"))
    let weights = readWeights folder config
    fun tokens -> ReferenceQwen3.logits config weights ReferenceQwen3.Exact tokens |> Array.map (Array.map float32)

[<Tests>]
let tests =
    testList
        "ModelExport"
        [ testCase "exported weights give the trained model's logits: float32 to bfloat16's error, INT8 to INT8's"
          <| fun _ ->
              Recipes.inFolder (fun root ->
                  let recipe, model = trained.Value
                  let int8, float = Path.Combine(root, "int8"), Path.Combine(root, "float")
                  ModelExport.Write(model, recipe, Recipes.texts recipe, int8)
                  ModelExport.Write(model, recipe, Recipes.texts recipe, float, ExportPrecision.Float32)
                  let expected = torchLogits recipe model |> Array.truncate 8
                  let exact = meanError (reference float) expected
                  let rounded = meanError (reference int8) expected
                  let run = meanError (engine int8) expected
                  printfn $"relative error of the logits: float32 export {exact:E1}, INT8 weights {rounded:E1}, INT8 engine {run:E1}"
                  Expect.isLessThan exact 0.01 "float32 export"
                  Expect.isLessThan rounded 0.03 "INT8 weights"
                  Expect.isLessThan run 0.05 "INT8 engine"
                  Expect.isLessThan exact rounded "the float32 export is closer than the INT8 weights")

          testCase "the same model gives the same bytes"
          <| fun _ ->
              Recipes.inFolder (fun root ->
                  let recipe, model = trained.Value
                  let write name =
                      let folder = Path.Combine(root, name)
                      ModelExport.Write(model, recipe, Recipes.texts recipe, folder)
                      Directory.GetFiles folder
                      |> Array.sort
                      |> Array.map (fun f -> Path.GetFileName f, Convert.ToHexString(File.ReadAllBytes f))
                  Expect.equal (write "a") (write "b") "bytes")

          testCase "a row's scale is no worse than max|w|/127, and an all-zero row is zero"
          <| fun _ ->
              let random = Random 1
              let error (row: float32[]) (values: sbyte[]) (scale: float32) =
                  Array.fold2 (fun sum w v -> sum + float (w - scale * float32 v) ** 2.0) 0.0 row values
              for _ in 1..200 do
                  let row = Array.init 40 (fun _ -> float32 (random.NextDouble() ** 3.0 - 0.3))
                  let values = Array.zeroCreate 40
                  let scale = ModelExport.QuantiseRow(ReadOnlySpan row, Span values)
                  let plain = Array.max (Array.map abs row) / 127f
                  let plainValues = row |> Array.map (fun w -> sbyte (MathF.Round(w / plain)))
                  Expect.isLessThanOrEqual (error row values scale) (error row plainValues plain) "squared error"
              let values = Array.create 3 1y
              Expect.isGreaterThan (ModelExport.QuantiseRow(ReadOnlySpan [| 0f; 0f; 0f |], Span values)) 0f "scale"
              Expect.sequenceEqual values [ 0y; 0y; 0y ] "values"

          testCase "a text that does not fit begins the next row; questions weigh as asked for"
          <| fun _ ->
              let lengths = [| 5; 6; 7; 30; 4; 12; 3; 8; 2; 9 |]
              let mutable at = 0
              let next () =
                  let length = lengths.[at % lengths.Length]
                  at <- at + 1
                  TrainingText(Query(string at, "f", 1, "p", "s"), Array.replicate length at, 1 + length / 3)
              let batch = PackedBatch.Pack(next, 0, 3, 20, 0.5)
              let ids = [ for struct (query, _, _) in batch.Spans -> query.Id ]
              Expect.equal ids [ "1"; "2"; "3"; "5"; "6"; "7"; "8"; "9"; "10" ] "all but the one longer than a row, in order"
              Expect.equal
                  batch.Tokens.[0..19]
                  (Array.concat [ Array.replicate 5 1L; Array.replicate 6 2L; Array.replicate 7 3L; [| 0L; 0L |] ])
                  "row"
              Expect.floatClose Accuracy.medium (Seq.sumBy float batch.Weights) 1.0 "weights"
              let struct (_, first, count) = batch.Spans.[1]
              Expect.equal count 3 "tokens of the second solution"
              Expect.equal batch.Positions.[first .. first + count - 1] [| 7L; 8L; 9L |] "each is predicted from the one before"
              // Beside its solution, at weight 1/sqrt(3) a token, its question's two later tokens weigh 0.5/sqrt(3) each.
              Expect.floatClose Accuracy.medium (float batch.Weights.[first + count] / float batch.Weights.[first]) 0.5 "question" ]
