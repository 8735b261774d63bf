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

[<Tests>]
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
              testCase $"{key} missing (where transformers has no default) or of another kind" (fun () ->
                  if not (List.contains key [ "head_dim"; "rms_norm_eps"; "rope_theta"; "tie_word_embeddings" ]) then
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
                "use_sliding_window", "true"
                "layer_types", """["full_attention","sliding_attention"]"""
                "architectures", """["Qwen3ForSequenceClassification"]"""
                "model_type", "\"qwen3_moe\"" ] do
              testCase $"{key} = {value} is refused" (fun () -> read (fun o -> o[key] <- JsonNode.Parse value) |> expectFault key)
          testCase "keys that are missing have transformers' defaults" (fun () ->
              let keys = [ "architectures"; "head_dim"; "rms_norm_eps"; "rope_theta"; "tie_word_embeddings"; "hidden_act" ]
              match
                  read (fun o ->
                      for key in keys do
                          o.Remove key |> ignore)
              with
              | Ok c ->
                  Expect.equal (c.HeadDimension, c.RmsNormEpsilon, c.RopeTheta, c.TieWordEmbeddings) (128, 1e-6f, 1e4, false) "values"
              | Error message -> failtest message)
          for place, ends, generation, expected in
              [ "config.json where generation_config.json says null", "5", Some """{"eos_token_id":null}""", Some [| 5 |]
                "config.json where generation_config.json lacks it", "5", Some "{}", Some [| 5 |]
                "generation_config.json where config.json says null", "null", Some """{"eos_token_id":[7,3]}""", Some [| 7; 3 |]
                "generation_config.json before config.json", "5", Some """{"eos_token_id":[7,3]}""", Some [| 7; 3 |]
                "neither", "null", Some "{}", None ] do
              testCase $"end tokens from {place}" (fun () ->
                  use folder = new TemporaryFolder()
                  let node = (nonNull (JsonNode.Parse(sample.ToJson()))).AsObject()
                  node["eos_token_id"] <- JsonNode.Parse ends
                  File.WriteAllText(folder.File "config.json", node.ToJsonString())
                  generation |> Option.iter (fun text -> File.WriteAllText(folder.File "generation_config.json", text))
                  match expected with
                  | Some tokens -> Expect.equal (Qwen3Config.Read(folder.File "config.json").EndTokens) tokens "tokens"
                  | None ->
                      Expect.throwsC (fun () -> Qwen3Config.Read(folder.File "config.json") |> ignore) (fun error ->
                          Expect.stringContains error.Message "eos_token_id: expected a token number" "the line"))
          for name, json, message in
              [ "a rotation", """{"quant_method":"compressed-tensors","transform_config":{"config_groups":{"R1":{}}}}""", "transform_config"
                "bitsandbytes", """{"quant_method":"bitsandbytes","load_in_4bit":true}""", "got 'bitsandbytes'"
                "4 bits",
                """{"quant_method":"compressed-tensors","config_groups":{"g":{"weights":{"num_bits":4,"type":"int","strategy":"channel"}}}}""",
                "config_groups.g.weights.num_bits: expected 8, got 4"
                "a quantised cache", """{"quant_method":"compressed-tensors","kv_cache_scheme":{"num_bits":8}}""", "kv_cache_scheme"
                "packed", """{"quant_method":"compressed-tensors","format":"pack-quantized"}""", "format" ] do
              testCase $"quantization_config: {name} is refused" (fun () ->
                  match read (fun o -> o["quantization_config"] <- JsonNode.Parse json) with
                  | Ok _ -> failtest "expected an error"
                  | Error line -> Expect.stringContains line message "the line")
          for key, type' in
              [ for key in [ "rope_scaling"; "rope_parameters" ] do
                    for type' in [ "dynamic"; "longrope"; "llama3"; "su"; "ntk"; "mrope"; "proportional" ] -> key, type' ] do
              testCase $"{key} of the type {type'} is refused, under both names of the key" (fun () ->
                  for name in [ "rope_type"; "type" ] do
                      let json = $$"""{"{{name}}":"{{type'}}","factor":4.0,"original_max_position_embeddings":64}"""
                      match read (fun o -> o[key] <- JsonNode.Parse json) with
                      | Ok _ -> failtest "expected an error"
                      | Error line ->
                          Expect.stringContains line $"{key}.rope_type: expected 'default', 'linear' or 'yarn', got '{type'}'" "the line"
                          Expect.isFalse (line.Contains '\n') "one line")
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
