/// Reading config.json: every key matters, and every fault names file and key.
module Runtime.Tests.Models.Qwen3ConfigTests

open System.IO
open System.Text.Json.Nodes
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open Support.RandomCheckpoint

let private sample = config 48 3 6 2 16 80 64 false

let private read (edit: JsonObject -> unit) =
    use folder = new TemporaryFolder()
    let node = (nonNull (JsonNode.Parse(sample.ToJson()))).AsObject()
    edit node
    let path = folder.File "config.json"
    File.WriteAllText(path, node.ToJsonString())
    try
        Ok(Qwen3Config.Read path)
    with :? ToolkitException as e ->
        Expect.stringContains e.Message path "names the file"
        Error e.Message

let private expectFault (key: string) (result: Result<Qwen3Config, string>) =
    match result with
    | Ok _ -> failtest $"{key}: expected a fault"
    | Error message -> Expect.stringContains message $"{key}: expected" "names the key"

let tests =
    testList
        "Qwen3Config"
        [ testCase "what ToJson writes is read back" (fun () ->
              match read ignore with
              | Ok c ->
                  Expect.equal (c.ToJson()) (sample.ToJson()) "same"
                  Expect.equal (c.HiddenSize, c.Layers, c.Heads, c.KeyValueHeads, c.HeadDimension) (48, 3, 6, 2, 16) "shape"
                  Expect.equal (c.IntermediateSize, c.VocabularySize, c.MaxPositions) (80, 64, 128) "sizes"
                  Expect.equal (c.RmsNormEpsilon, c.RopeTheta, c.TieWordEmbeddings) (1e-6f, 1e4, false) "settings"
                  Expect.equal c.EndTokens [| 0 |] "end"
              | Error message -> failtest message)
          for key in
              [ "model_type"
                "hidden_size"
                "num_hidden_layers"
                "num_attention_heads"
                "num_key_value_heads"
                "head_dim"
                "intermediate_size"
                "vocab_size"
                "rms_norm_eps"
                "rope_theta"
                "tie_word_embeddings"
                "max_position_embeddings"
                "eos_token_id" ] do
              testCase $"{key} missing or of another kind" (fun () ->
                  read (fun o -> o.Remove key |> ignore) |> expectFault key
                  read (fun o -> o[key] <- JsonNode.Parse """{"a":1}""") |> expectFault key)
          for key, value in
              [ "model_type", "\"llama\""
                "hidden_size", "0"
                "hidden_size", "1000000000"
                "hidden_size", "1.5"
                "num_hidden_layers", "-1"
                "num_key_value_heads", "4"
                "head_dim", "15"
                "vocab_size", "99999999999"
                "rms_norm_eps", "0"
                "rope_theta", "-5"
                "eos_token_id", "64"
                "eos_token_id", "[]"
                "eos_token_id", "[1,-1]"
                "hidden_act", "\"gelu\""
                "attention_bias", "true"
                "rope_scaling", """{"type":"yarn"}"""
                "use_sliding_window", "true" ] do
              testCase $"{key} = {value} is refused" (fun () -> read (fun o -> o[key] <- JsonNode.Parse value) |> expectFault key)
          testCase "one end token, and rope_theta inside rope_parameters, are understood" (fun () ->
              match
                  read (fun o ->
                      o["eos_token_id"] <- JsonNode.Parse "5"
                      o.Remove "rope_theta" |> ignore
                      o["rope_parameters"] <- JsonNode.Parse """{"rope_type":"default","rope_theta":1000000}""")
              with
              | Ok c -> Expect.equal (c.EndTokens, c.RopeTheta) ([| 5 |], 1e6) "values"
              | Error message -> failtest message)
          testCase "a file that is absent or no JSON" (fun () ->
              use folder = new TemporaryFolder()
              Expect.throwsT<ToolkitException> (fun () -> Qwen3Config.Read(folder.File "none") |> ignore) "absent"
              File.WriteAllText(folder.File "bad", "{")
              Expect.throwsT<ToolkitException> (fun () -> Qwen3Config.Read(folder.File "bad") |> ignore) "no JSON") ]
