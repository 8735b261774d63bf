/// Chat templates against the published Jinja texts, rendered by the real Jinja2 (chats.py), and how a folder's is found.
module Runtime.Tests.Tokenization.ChatTemplateTests

open System
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.Json
open System.Text.Json.Nodes
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Tokenization
open Support.RandomCheckpoint

let private folder = Path.Combine(__SOURCE_DIRECTORY__, "qwen3")

let private lines =
    lazy (File.ReadAllLines(Path.Combine(folder, "chats.jsonl")) |> Array.map (fun line -> JsonDocument.Parse(line).RootElement))

let private digest (text: string) = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes text))

let private textOf (value: JsonElement) (key: string) : string | null =
    match value.TryGetProperty key with
    | true, text when text.ValueKind = JsonValueKind.String -> text.GetString()
    | _ -> null

let private turn (message: JsonElement) =
    let calls =
        match message.TryGetProperty "tool_calls" with
        | true, calls ->
            [| for call in calls.EnumerateArray() ->
                   let inner =
                       match call.TryGetProperty "function" with
                       | true, f -> f
                       | _ -> call
                   ChatToolCall(nonNull (textOf inner "name"), inner.GetProperty "arguments") |]
        | _ -> [||]
    ChatTurn(
        nonNull (textOf message "role"),
        nonNull (textOf message "content"),
        Reasoning = textOf message "reasoning_content",
        ToolCalls = calls
    )

let private templates =
    [ "qwen3", ChatTemplate.Qwen3
      "qwen3-first", ChatTemplate.Qwen3
      "qwen3-gguf", ChatTemplate.Qwen3Gguf
      "qwen3-instruct-2507", ChatTemplate.Qwen3Instruct2507
      "qwen3-instruct-2507-plain", ChatTemplate.Qwen3Instruct2507
      "qwen3-thinking-2507", ChatTemplate.Qwen3Thinking2507 ]

let private against =
    testList
        "against Jinja2"
        [ for name, template in templates do
              test $"{name}: 150 conversations with tools, results and thinking" {
                  Expect.equal lines.Value.Length 151 "conversations"
                  let mutable withTools = 0
                  for chat in Array.skip 1 lines.Value do
                      let turns = [| for m in (chat.GetProperty "messages").EnumerateArray() -> turn m |]
                      let tools = [| for t in (chat.GetProperty "tools").EnumerateArray() -> t |]
                      if tools.Length > 0 then withTools <- withTools + 1
                      for mode, thinking in [ "on", true; "off", false ] do
                          let prompt = template.Render(turns, thinking, tools)
                          let expected = nonNull ((chat.GetProperty("prompts").GetProperty $"{name} {mode}").GetString())
                          Expect.equal (digest prompt) expected $"{mode}: {prompt}"
                  Expect.isGreaterThan withTools 40 "with tools"
              }
          test "the hashes that are known are those of the rendered texts" {
              for name, template in templates do
                  let hash = nonNull (lines.Value[0].GetProperty(name).GetString())
                  Expect.equal (ChatTemplate.Find hash) template name
          } ]

let private published = lazy (File.ReadAllText(Path.Combine(folder, "model", "tokenizer_config.json")))

let private jinja = lazy ((nonNull ((nonNull (JsonNode.Parse published.Value))["chat_template"])).GetValue<string>())

let private found (files: (string * string) list) (expected: Result<ChatTemplate, string>) =
    use folder = new TemporaryFolder()
    for name, text in files do
        File.WriteAllText(folder.File name, text)
    match expected with
    | Ok template -> Expect.equal (TokenizerFiles.LoadChatTemplate folder.Path) template "template"
    | Error part ->
        Expect.throwsC (fun () -> TokenizerFiles.LoadChatTemplate folder.Path |> ignore) (fun error ->
            Expect.isTrue (error :? ToolkitException) "in one line"
            Expect.stringContains error.Message part "the line"
            Expect.stringContains
                error.Message
                "chat_template: qwen3, qwen3-gguf, qwen3-instruct-2507, qwen3-thinking-2507"
                "names the key")

let private config (value: JsonNode) = JsonObject([ Collections.Generic.KeyValuePair("chat_template", value) ]).ToJsonString()

let private reading =
    testList
        "of a folder"
        [ test "tokenizer_config.json as published" { found [ "tokenizer_config.json", published.Value ] (Ok ChatTemplate.Qwen3) }
          test "chat_template.jinja comes first" {
              found [ "tokenizer_config.json", """{"chat_template":"x"}"""; "chat_template.jinja", jinja.Value ] (Ok ChatTemplate.Qwen3)
          }
          test "white space between tags, and a last line break, do not matter" {
              found [ "chat_template.jinja", jinja.Value.Replace("    ", "\t").Replace("\n", "\r\n") + "\r\n" ] (Ok ChatTemplate.Qwen3)
          }
          test "of several the default" {
              let one (name: string) (text: string) =
                  JsonObject(
                      [ Collections.Generic.KeyValuePair<string, JsonNode | null>("name", JsonValue.Create name)
                        Collections.Generic.KeyValuePair<string, JsonNode | null>("template", JsonValue.Create text) ]
                  )
              let list = JsonArray(one "tool_use" "x", one "default" jinja.Value)
              found [ "tokenizer_config.json", config list ] (Ok ChatTemplate.Qwen3)
          }
          test "one changed letter is another template" {
              found [ "chat_template.jinja", jinja.Value.Replace("# Tools", "# tools") ] (Error "got another (hash")
          }
          test "none" { found [] (Error "expected a chat template, got none") }
          test "null" { found [ "tokenizer_config.json", """{"chat_template":null}""" ] (Error "got none") } ]

[<Tests>]
let tests = testList "ChatTemplate" [ against; reading ]
