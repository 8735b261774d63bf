/// The server of a remote stage is the one that the policy was calibrated on: recorded, kept in the policy file, compared at
/// the start and with every answer.
module Server.Tests.ServerWatchTests

open System
open System.IO
open System.Threading
open Expecto
open OptimalStopping.Experiments
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Tokenization
open OptimalStopping.Server
open Support.RandomCheckpoint
open Server.Tests.Servers
open Server.Tests.MockProvider

/// What a provider says of itself, and how sure it is; both can change under way.
type private Self = { Model: string; Version: string; Sure: float }

let private provider (self: Self ref) (answer: string) =
    new MockProvider(fun context body number ->
        let own = self.Value
        let piece = chunk (content answer) [ token answer own.Sure [ " x", -6.0 ] ] null
        let chunks =
            [ piece; last; usage ] |> List.map (_.Replace("\"model\":\"m\"", $"\"model\":\"{own.Model}\"").Replace("fp_1", own.Version))
        stream chunks context body number)

let private usual = { Model = "q-2026"; Version = "fp_7"; Sure = -0.1 }

/// Two remote stages, records of both, and the policy that they give, read back from its file.
let private withPolicy (action: Self ref -> (unit -> Cascade) -> PolicyFile -> CascadeRecords -> unit) =
    use folder = new TemporaryFolder()
    let cheap, large = ref usual, ref { usual with Model = "large" }
    use first = provider cheap "yes"
    use second = provider large "no"
    let answer i = if i % 3 = 0 then "no" else "yes"
    File.WriteAllLines(folder.File "q.jsonl", [ for i in 1..300 -> $"{{\"q\": \"Is {i} it?\", \"a\": \"{answer i}\"}}" ])
    let stage name (url: Uri) cost = $"  - {{ name: {name}, url: '{url}', model: q, cost: {cost} }}\n"
    File.WriteAllText(
        folder.File "c.yaml",
        "name: remote\ntasks: jsonl\ndata: { path: q.jsonl, prompt: q, reference: a, grading: exact }\nbackend: openai\nstages:\n"
        + stage "m1" first.Url 1
        + stage "m2" second.Url 2
        + "max_tokens: 64\ncalibration_queries: 200\ntest_queries: 100\n"
    )
    let file = CascadeFile.Load(folder.File "c.yaml")
    let traces, policy = folder.File "t.jsonl", folder.File "p.json"
    using (Cascade.Load file) (fun cascade ->
        let queries = CascadeQueries.Draw(file, 1)
        Collector.CollectAsync(cascade, queries, traces, infinity, null, false, CancellationToken.None).Wait())
    PolicyCalibration.Run(traces, CalibrationOptions(0.3, 0.05)).WithServersOf(traces).Save policy
    action cheap (fun () -> Cascade.Load file) (PolicyFile.Load policy) (CascadeRecords.Load traces)

let private servingPolicy (cascade: Cascade) (policy: PolicyFile) (action: CascadeServer -> Net.Http.HttpClient -> unit) =
    let server = CascadeServer.StartAsync(cascade, null, policy, 0.01, ServeOptions(Port = 0)).GetAwaiter().GetResult()
    try
        use client = new Net.Http.HttpClient(BaseAddress = server.Address)
        action server client
    finally
        server.DisposeAsync().AsTask().Wait()

let private ask (client: Net.Http.HttpClient) =
    let response = post client "v1/chat/completions" (chat "m1" "Is 4 it?" "")
    Expect.equal (int response.StatusCode) 200 (text response)

/// Waits until as many changes are counted under a label. The page of metrics is made anew after 300 ms.
let private expectChanges (client: Net.Http.HttpClient) (label: string) expected what =
    let counted () =
        Thread.Sleep 400
        metric client "toolkit_server_changes_total" label
    let last = Seq.init 20 (fun _ -> counted ()) |> Seq.tryFind (fun count -> count = expected)
    Expect.isSome last $"{what}: {expected} changes under {label}"

[<Tests>]
let tests =
    testList
        "ServerWatch"
        [ test "collect records each server, and the policy file keeps it" {
              withPolicy (fun _ _ policy _ ->
                  let first = nonNull policy.Servers[0]
                  Expect.equal first.Identity (ServerIdentity("q-2026", "fp_7", true)) "the first stage's"
                  Expect.equal (nonNull policy.Servers[1]).Identity.Model "large" "the second stage's"
                  Expect.equal first.Answers 300 "answers"
                  Expect.floatClose Accuracy.low first.Confidence (exp -0.1) "the scale of the confidence")
          }
          test "serve starts with the same servers, and with another version, which it counts" {
              withPolicy (fun cheap load policy _ ->
                  servingPolicy (load ()) policy (fun _ client ->
                      ask client
                      expectChanges client "m1" 0.0 "the same server"
                      cheap.Value <- { usual with Version = "fp_8" }
                      ask client
                      expectChanges client "what=\"version\"" 1.0 "under way"
                      cheap.Value <- { usual with Model = "q-2027" }
                      ask client
                      expectChanges client "what=\"model\"" 1.0 "another model"))
          }
          test "serve does not start on another model" {
              withPolicy (fun cheap load policy _ ->
                  cheap.Value <- { usual with Model = "q-2027" }
                  let message =
                      try
                          servingPolicy (load ()) policy (fun _ _ -> ())
                          "(started)"
                      with :? ToolkitException as e ->
                          e.Message
                  Expect.stringContains
                      message
                      "stage 'm1': expected the server that the policy was calibrated on (model q-2026, version fp_7, with log-probabilities), got another model (model q-2027,"
                      "why")
          }
          test "a hundred answers on another scale of confidence are seen" {
              withPolicy (fun cheap load policy _ ->
                  servingPolicy (load ()) policy (fun _ client ->
                      for _ in 1..100 do
                          ask client
                      expectChanges client "what=\"confidence\"" 0.0 "the same scale"
                      cheap.Value <- { usual with Sure = -0.9 }
                      for _ in 1..100 do
                          ask client
                      expectChanges client "what=\"confidence\"" 1.0 "another scale"))
          } ]
