/// Stretched positions: every key that published files use is computed as the reference computes it, or refused.
module Runtime.Tests.Models.PositionScalingTests

open System.IO
open System.Text.Json.Nodes
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open Support
open Support.RandomCheckpoint

let private shape = configOf 64 48 2 4 2 16 80 64 true

/// Writes the model with an edited config.json.
let private saved (folder: string) (edit: JsonObject -> unit) =
    save folder shape (tensors shape (weights shape 5))
    let path = Path.Combine(folder, "config.json")
    let node = (nonNull (JsonNode.Parse(File.ReadAllText path))).AsObject()
    edit node
    File.WriteAllText(path, node.ToJsonString())

let private logitsOf (model: CpuModel) (tokens: int[]) =
    use sequence = model.NewSequence tokens.Length
    let all = Array.zeroCreate<float32>(tokens.Length * model.VocabularySize)
    sequence.ForwardAll(tokens, all)
    Array.chunkBySize model.VocabularySize all

let private median (errors: float[]) = (Array.sort errors)[errors.Length / 2]

/// The model's logits beyond its positions of training, against the reference with these positions and with plain ones.
let private agrees (model: CpuModel) (expected: PositionScaling) =
    let tokens = randomTokens shape 3 200
    let c = model.Config
    Expect.equal c.Scaling expected "scaling"
    Expect.isGreaterThanOrEqual model.MaxPositions 256 "positions"
    let got = logitsOf model tokens
    let error (config: Qwen3Config) =
        let reference = ReferenceQwen3.logits config (weights shape 5) ReferenceQwen3.Rounded tokens
        Array.map2 ReferenceQwen3.relativeError got reference |> Array.skip 64 |> median
    Expect.isLessThan (error c) 1e-4 "as the reference"
    Expect.isGreaterThan (error shape) 0.02 "not as plain positions"

let private yarn = PositionScaling(true, 4.0, 64, PositionScaling.UsualAttention 4.0)

let private set (key: string) (json: string) (o: JsonObject) = o[key] <- JsonNode.Parse json

let private accepted =
    [ "rope_scaling with rope_type", set "rope_scaling" """{"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":64}""", yarn
      "rope_scaling with the older type", set "rope_scaling" """{"type":"yarn","factor":4,"original_max_position_embeddings":64}""", yarn
      "rope_parameters",
      (fun o ->
          o.Remove "rope_theta" |> ignore
          set "rope_parameters" """{"rope_type":"yarn","rope_theta":1e4,"factor":4,"original_max_position_embeddings":64}""" o),
      yarn
      "both keys, alike",
      (fun o ->
          set "rope_scaling" """{"type":"yarn","factor":4,"original_max_position_embeddings":64}""" o
          set "rope_parameters" """{"rope_type":"yarn","factor":4,"original_max_position_embeddings":64}""" o),
      yarn
      "original positions from the model's own", set "rope_scaling" """{"rope_type":"yarn","factor":4}""", yarn
      "own betas, attention and no rounding",
      set
          "rope_scaling"
          """{"rope_type":"yarn","factor":8,"original_max_position_embeddings":32,"beta_fast":16,"beta_slow":2,"attention_factor":1.5}""",
      PositionScaling(true, 8.0, 32, 1.5, 16.0, 2.0)
      "linear", set "rope_scaling" """{"type":"linear","factor":4.0}""", PositionScaling(false, 4.0, 64, 1.0) ]

let private refused =
    [ "rope_scaling", """{"type":"dynamic","factor":4.0}""", "rope_scaling.rope_type: expected 'default', 'linear' or 'yarn', got 'dynamic'"
      "rope_scaling", """{"rope_type":"llama3","factor":8,"low_freq_factor":1}""", "rope_type"
      "rope_scaling", """{"rope_type":"longrope","short_factor":[1]}""", "rope_type"
      "rope_parameters", """{"rope_type":"su"}""", "rope_parameters.rope_type"
      "rope_scaling", """{"type":"yarn"}""", "rope_scaling.factor: expected a number from 1 to 1024, got nothing"
      "rope_scaling", """{"factor":4}""", "rope_scaling.rope_type"
      "rope_scaling", """{"type":"linear","rope_type":"yarn","factor":4}""", "rope_scaling.type"
      "rope_parameters", """{"rope_theta":5}""", "rope_parameters.rope_theta: expected 10000 as elsewhere in the file, got 5"
      "rope_parameters", """{"rope_type":"default","partial_rotary_factor":0.5}""", "partial_rotary_factor"
      "partial_rotary_factor", "0.25", "partial_rotary_factor"
      "rope_scaling", "\"yarn\"", "rope_scaling: expected an object" ]

let private gguf (keys: (string * byte[]) list) (action: string -> unit) =
    use folder = new TemporaryFolder()
    let file = folder.File "model.gguf"
    let header = CheckpointFormats.ggufHeader shape @ keys
    File.WriteAllBytes(file, CheckpointFormats.ggufBytes header (CheckpointFormats.ggufTensors shape (weights shape 5) false))
    action file

[<Tests>]
let tests =
    testList
        "PositionScaling"
        [ for name, edit, expected in accepted do
              testCase $"{name}: the reference's logits beyond the positions of training" (fun () ->
                  use folder = new TemporaryFolder()
                  saved folder.Path edit
                  use model = CpuModel.Load folder.Path
                  agrees model expected)
          for key, json, message in refused do
              testCase $"{key} = {json} is refused" (fun () ->
                  use folder = new TemporaryFolder()
                  saved folder.Path (set key json)
                  try
                      use _model = CpuModel.Load folder.Path
                      failtest "expected an error"
                  with :? ToolkitException as error ->
                      Expect.stringContains error.Message message "the line")
          for json in [ "null"; "{}"; """{"rope_type":"default"}"""; """{"type":"linear","factor":1.0}""" ] do
              testCase $"rope_scaling = {json} stretches nothing" (fun () ->
                  use folder = new TemporaryFolder()
                  saved folder.Path (set "rope_scaling" json)
                  Expect.isNull (Qwen3Config.Read(folder.File "config.json").Scaling) "scaling")
          testCase "what is written is read back" (fun () ->
              use folder = new TemporaryFolder()
              saved folder.Path (set "rope_scaling" """{"rope_type":"yarn","factor":3.5,"beta_slow":0.5}""")
              let once = Qwen3Config.Read(folder.File "config.json")
              File.WriteAllText(folder.File "config.json", once.ToJson())
              Expect.equal (Qwen3Config.Read(folder.File "config.json").Scaling) once.Scaling "scaling")
          testCase "GGUF: YaRN under llama.cpp's keys" (fun () ->
              gguf
                  [ "qwen3.rope.scaling.type", CheckpointFormats.ggufText "yarn"
                    "qwen3.rope.scaling.factor", CheckpointFormats.ggufReal 4f
                    "qwen3.rope.scaling.original_context_length", CheckpointFormats.ggufNumber 64 ]
                  (fun file ->
                      use model = CpuModel.Load file
                      Expect.equal model.Config.Scaling yarn "scaling"
                      Expect.equal model.MaxPositions 256 "positions"))
          for key, value, message in
              [ "qwen3.rope.scaling.type", CheckpointFormats.ggufText "longrope", "expected none, linear or yarn, got 'longrope'"
                "qwen3.rope.dimension_count", CheckpointFormats.ggufNumber 8, "expected attention.key_length (16), got 8" ] do
              testCase $"GGUF: {key} is refused" (fun () ->
                  gguf [ key, value ] (fun file ->
                      try
                          use _model = CpuModel.Load file
                          failtest "expected an error"
                      with :? ToolkitException as error ->
                          Expect.stringContains error.Message message "the line")) ]
