/// docs/json.md holds a schema for what each command prints with --json; here each prints it.
module Cli.Tests.JsonTests

open System
open System.IO
open System.Text.Json.Nodes
open System.Text.RegularExpressions
open System.Threading
open Expecto
open Json.Schema
open OptimalStopping.Cli
open OptimalStopping.Cli.Commands

/// The schemas of the page by the command line in the title above each.
let private schemas =
    lazy
        (Regex.Matches(
            File.ReadAllText(Path.Combine(Support.Repository.root, "docs", "json.md")),
            @"## `toolkit (?<title>[^`]+)`\n\n```json\n(?<schema>.*?)\n```",
            RegexOptions.Singleline
         )
         |> Seq.map (fun found -> found.Groups["title"].Value, JsonSchema.FromText(found.Groups["schema"].Value))
         |> Map.ofSeq)

let private printed (arguments: string list) : string =
    let before = Console.Out
    use out = new StringWriter()
    try
        Console.SetOut out
        Expect.equal (Program.execute (List.toArray arguments) CancellationToken.None) 0 (String.Join(" ", arguments))
    finally
        Console.SetOut before
    out.ToString()

let private faults (schema: JsonSchema) (json: JsonNode) : string list =
    let result = schema.Evaluate(json, EvaluationOptions(OutputFormat = OutputFormat.List))
    if result.IsValid then
        []
    else
        [ for detail in result.Details do
              if detail.HasErrors then
                  for error in nonNull detail.Errors do
                      $"{detail.InstanceLocation}: {error.Value}" ]

/// Answers every request with a streamed word.
type private StreamServer() =
    let listener = new Net.Sockets.TcpListener(Net.IPAddress.Loopback, 0)
    do
        listener.Start()
        Threading.Tasks.Task.Run(fun () ->
            try
                while true do
                    use client = listener.AcceptTcpClient()
                    use stream = client.GetStream()
                    stream.Read(Array.zeroCreate<byte> 65536, 0, 65536) |> ignore
                    let event = """data: {"choices":[{"delta":{"content":"yes"}}]}"""
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
                    stream.Write(Text.Encoding.UTF8.GetBytes($"{head}{event}\n\ndata: [DONE]\n\n"))
            with
            | :? Net.Sockets.SocketException
            | :? ObjectDisposedException -> ())
        |> ignore
    member _.Url = $"http://127.0.0.1:{(listener.LocalEndpoint :?> Net.IPEndPoint).Port}/v1"
    interface IDisposable with
        member _.Dispose() = listener.Stop()

[<Tests>]
let tests =
    testSequenced (
        testList
            "Json"
            [ test "what every command prints with --json is what docs/json.md says" {
                  Support.SampleRun.inFolder (fun folder ->
                      let traces = Path.Combine(folder, "traces.jsonl")
                      let calibration = Shared.repositoryFile (Path.Combine("models", "nano", "calibration.jsonl"))
                      File.WriteAllLines(traces, Seq.truncate 300 (File.ReadLines calibration))
                      let nanoConfig = Shared.repositoryFile (Path.Combine("configs", "nano.yaml"))
                      let fresh = Path.Combine(folder, "fresh.jsonl")
                      File.WriteAllLines(fresh, File.ReadLines calibration |> Seq.skip 300 |> Seq.truncate 300)
                      let decisions = Path.Combine(folder, "decisions.jsonl")
                      File.WriteAllLines(
                          decisions,
                          [ for q in 1..200 do
                                let model, propensity = if q % 4 = 0 then "large", 0.25 else "small", 0.75
                                $"""{{"id":"q{q}","propensity":{propensity},"stages":[{{"model":"{model}","cost":1}}],"quality":{q % 3 % 2}}}""" ]
                      )
                      let out = Path.Combine(folder, "out")
                      let suite = Path.Combine(folder, "suite")
                      Directory.CreateDirectory suite |> ignore
                      for name in [ "a.jsonl"; "b.jsonl" ] do
                          File.Copy(traces, Path.Combine(suite, name))
                      let evaluate = [ "evaluate"; "--traces"; traces; "--out"; out; "--resamples"; "20"; "--json" ]
                      let hubFile = { Support.TestHub.Name = "m.gguf"; Support.TestHub.Bytes = "x"B; Support.TestHub.Large = true }
                      let hub = Support.TestHub.TestHub(Map [ "a/b", [ hubFile ] ])
                      use _ = hub.Start()
                      Environment.SetEnvironmentVariable("HF_ENDPOINT", string hub.Endpoint)
                      Environment.SetEnvironmentVariable("HF_HUB_CACHE", Path.Combine(folder, "hub"))
                      use _ =
                          { new IDisposable with
                              member _.Dispose() =
                                  for name in [ "HF_ENDPOINT"; "HF_HUB_CACHE" ] do
                                      Environment.SetEnvironmentVariable(name, null) }
                      use stream = new StreamServer()
                      let commands =
                          [ "pull NAME --json", [ "pull"; "a/b"; "--json" ]
                            "decode PROMPT --json", [ "decode"; "What is 17 * 23?"; "--json" ]
                            "info --json", [ "info"; "--json" ]
                            "evaluate --json", evaluate
                            "evaluate --json", evaluate @ [ "--ablation" ]
                            "evaluate --suite DIR --json", [ "evaluate"; "--suite"; suite; "--resamples"; "20"; "--ablation"; "--json" ]
                            "evaluate --off-policy LOG --json", [ "evaluate"; "--off-policy"; decisions; "--json" ]
                            "evaluate --seeds N --json", evaluate @ [ "--seeds"; "2" ]
                            "calibrate --json", [ "calibrate"; "--traces"; traces; "--out"; Path.Combine(folder, "p.json"); "--json" ]
                            "calibrate --json",
                            [ "calibrate"; "--traces"; traces; "--out"; Path.Combine(folder, "a.json"); "--json" ]
                            @ [ "--max-loss"; "0.2"; "--abstain"; "0.4"; "--groups"; "split" ]
                            "decode PROMPT --json",
                            [ "decode"; "sub 8388-6714="; "--config"; nanoConfig; "--policy"; Path.Combine(folder, "a.json"); "--json" ]
                            "check --json", [ "check"; "--policy"; Path.Combine(folder, "p.json"); "--traces"; fresh; "--json" ]
                            "calibrate --check N --json", [ "calibrate"; "--traces"; traces; "--check"; "2"; "--sample"; "60"; "--json" ]
                            "theory --json", [ "theory"; "--traces"; traces; "--json" ]
                            "theory --json", [ "theory"; "--json" ]
                            "bench --json", [ "bench"; "--rounds"; "1"; "--prefill"; "8"; "--context"; "0"; "--batch"; "1"; "--json" ]
                            "bench --serve URL --json", [ "bench"; "--serve"; stream.Url; "--requests"; "3"; "--json" ]
                            "bench --accuracy N --json", [ "bench"; "--accuracy"; "2"; "--json" ] ]
                      Expect.equal (commands |> List.map fst |> Set) (schemas.Value |> Map.keys |> Set) "a schema for each, and no other"
                      for title, arguments in commands do
                          let json = nonNull (JsonNode.Parse(printed arguments))
                          Expect.equal (faults schemas.Value[title] json) [] title
                          // The schema has teeth: a key that it does not know, and one that is missing, are faults.
                          let whole = json.AsObject()
                          let first = Seq.head whole
                          whole["unknown_key"] <- JsonValue.Create(1)
                          Expect.isNonEmpty (faults schemas.Value[title] json) $"{title}: an unknown key"
                          whole.Remove("unknown_key") |> ignore
                          whole.Remove(first.Key) |> ignore
                          Expect.isNonEmpty (faults schemas.Value[title] json) $"{title}: a missing key")
              } ]
    )
