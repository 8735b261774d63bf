/// `toolkit serve` in a process of its own: killed in the middle of feedback, told to stop, and refused a port.
module Cli.Tests.ServeTests

open Support
open System
open System.Collections.Concurrent
open System.Diagnostics
open System.IO
open System.Net.Http
open System.Net.Sockets
open System.Text
open System.Text.Json
open System.Threading
open System.Threading.Tasks
open Expecto

let private start (arguments: string list) =
    let server = Toolkit.start 0 ([ "serve"; "--port"; "0" ] @ arguments)
    let line = server.StandardOutput.ReadLineAsync()
    if not (line.Wait 60_000) || isNull line.Result then
        failwith $"the server did not start: {server.StandardError.ReadToEnd()}"
    let line = nonNull line.Result
    let client = new HttpClient(BaseAddress = Uri(line.Split(": the cascade")[0]), Timeout = TimeSpan.FromSeconds 60.0)
    server, client, line

let private post (client: HttpClient) (path: string) (body: string) =
    client.PostAsync(path, new StringContent(body, Encoding.UTF8, "application/json"))

let private chat = """{"model":"miniature","messages":[{"role":"user","content":"What is the capital of France?"}]}"""

let private answer (client: HttpClient) = task {
    let! response = post client "v1/chat/completions" chat
    let! body = response.Content.ReadAsStringAsync()
    return JsonDocument.Parse(body).RootElement.GetProperty("id").GetString() |> nonNull
}

let private terminate (server: Process) =
    use kill = Process.Start("kill", [| "-TERM"; string server.Id |])
    kill.WaitForExit()

/// Grades answers from several clients until the server is killed; the ids whose grades were acknowledged.
let private gradeUntilKilled (server: Process) (client: HttpClient) (milliseconds: int) =
    let acknowledged = ConcurrentBag<string>()
    let workers =
        [| for _ in 1..6 ->
               Task.Run(fun () ->
                   task {
                       try
                           while true do
                               let! id = answer client
                               let! reply = post client "v1/toolkit/feedback" $"""{{"id":"{id}","quality":1}}"""
                               if reply.IsSuccessStatusCode then acknowledged.Add id
                       with
                       | :? HttpRequestException
                       | :? IOException
                       | :? JsonException
                       | :? TaskCanceledException -> ()
                   }
                   :> Task) |]
    // On a busy machine the first grade can take seconds.
    SpinWait.SpinUntil((fun () -> not acknowledged.IsEmpty), TimeSpan.FromSeconds 60.0) |> ignore
    Thread.Sleep milliseconds
    server.Kill() // SIGKILL
    Task.WaitAll workers
    server.WaitForExit()
    List.ofSeq acknowledged

[<Tests>]
let tests =
    testSequenced (
        testList
            "Serve"
            [ test "killed in the middle of feedback: no acknowledged grade is lost" {
                  SampleRun.inFolder (fun folder ->
                      let state = Path.Combine(folder, "state")
                      let all = ResizeArray<string>()
                      let rounds = if isNull (Environment.GetEnvironmentVariable "TOOLKIT_LONG") then 2 else 20
                      for round in 1..rounds do
                          let server, client, _ = start [ "--state"; state; "--learn" ]
                          use _ = server
                          use client = client
                          let got = gradeUntilKilled server client (400 + 137 * round % 600)
                          all.AddRange got
                      Expect.isGreaterThan all.Count 0 "some were acknowledged"
                      let server, client, line = start [ "--state"; state; "--learn" ]
                      use _ = server
                      use _ = client
                      let kept =
                          let file = Path.Combine(state, "state.db")
                          use database = new Microsoft.Data.Sqlite.SqliteConnection($"Data Source={file}")
                          database.Open()
                          use command = database.CreateCommand()
                          command.CommandText <- "SELECT id FROM toolkit_grades"
                          use reader = command.ExecuteReader()
                          [ while reader.Read() do
                                reader.GetString 0 ]
                      Expect.isEmpty (set all - set kept) "acknowledged and lost"
                      Expect.equal (kept.Length) (List.distinct kept).Length "none twice"
                      Expect.stringContains line $"; {kept.Length} grades read from" "the server says what it read"
                      terminate server
                      Expect.isTrue (server.WaitForExit 30_000) "it ends when told to")
              }
              test "told to stop: requests under way are answered, the exit code is 0" {
                  SampleRun.inFolder (fun folder ->
                      let server, client, _ = start [ "--state"; folder; "--concurrency"; "1" ]
                      use server = server
                      use client = client
                      answer client |> _.Wait()
                      let under = [| for _ in 1..30 -> post client "v1/chat/completions" chat |]
                      Task.WhenAny(under).Wait()
                      terminate server
                      let outcome (t: Task<HttpResponseMessage>) =
                          try
                              int t.Result.StatusCode
                          with :? AggregateException ->
                              -1
                      let codes = under |> Array.map outcome
                      Expect.isTrue
                          (codes |> Array.forall (fun c -> c = 200 || c = 503))
                          $"answered, or told that the server stops: {codes |> Array.countBy id |> Array.toList}"
                      Expect.isTrue (server.WaitForExit 30_000) "ends"
                      Expect.equal server.ExitCode 0 "code")
              }
              test "the openai package of npm, unchanged: whole, streamed, errors" {
                  SampleRun.inFolder (fun folder ->
                      let server, client, _ =
                          start [ "--config"; Path.Combine(Support.Repository.root, "configs", "nano.yaml"); "--state"; folder ]
                      use server = server
                      use client = client
                      try
                          Support.Node.script "openai.mjs" [ (nonNull client.BaseAddress).AbsoluteUri ] |> ignore
                      finally
                          server.Kill())
              }
              test "the page in headless Chromium: decode, slider, error, dark, phone" {
                  SampleRun.inFolder (fun folder ->
                      let server, client, _ = start [ "--state"; folder ]
                      use server = server
                      use client = client
                      try
                          Support.Node.script "page.mjs" [ (nonNull client.BaseAddress).AbsoluteUri; folder ] |> ignore
                          for picture in [ "decode.png"; "slider-cheapest.png"; "slider-best.png"; "error.png"; "dark.png"; "phone.png" ] do
                              Expect.isGreaterThan (FileInfo(Path.Combine(folder, picture))).Length 10_000L picture
                      finally
                          server.Kill())
              }
              test "a port in use, a missing key, a policy that is none: one line, exit code 1" {
                  SampleRun.inFolder (fun folder ->
                      let listener = new TcpListener(Net.IPAddress.Loopback, 0)
                      listener.Start()
                      let port = (listener.LocalEndpoint :?> Net.IPEndPoint).Port
                      let failsIn (state: string) (says: string) arguments =
                          let result = Toolkit.run ([ "serve"; "--state"; state ] @ arguments)
                          Expect.equal result.Code 1 $"{result.Error}"
                          Expect.stringContains result.Error says "message"
                          Expect.equal (result.Error.Trim().Split('\n').Length) 1 $"one line: {result.Error}"
                      let fails = failsIn folder
                      fails $"port {port}: expected a free port" [ "--port"; string port ]
                      let state = Path.Combine(folder, "state")
                      failsIn state $"port {port}: expected a free port" [ "--port"; string port ]
                      Expect.isFalse (Directory.Exists state) "no folder is left where nothing was served"
                      fails
                          "expected API keys in the environment variable TOOLKIT_NO_SUCH_KEY, got none"
                          [ "--key-env"; "TOOLKIT_NO_SUCH_KEY" ]
                      File.WriteAllText(Path.Combine(folder, "p.json"), "{}")
                      fails "p.json" [ "--policy"; Path.Combine(folder, "p.json") ]
                      listener.Stop())
              } ]
    )
