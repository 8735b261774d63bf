module Runtime.Tests.Cascades.CollectorTests

open Support
open System
open System.IO
open System.Linq
open System.Text
open System.Threading
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Decoding
open OptimalStopping.Experiments
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Tasks
open OptimalStopping.Runtime.Traces

let private progress (action: int -> unit) =
    { new IProgress<int> with
        member _.Report done' = action done' }
let private silent = progress ignore

/// 280 queries a split: 560 in all, that is three chunks.
let private withCascade action =
    RandomCascade.using 2 5 280 (fun cascade folder -> action cascade (CascadeQueries.Draw(cascade.File, 1)) folder)

let private fault action =
    try
        action ()
        failtest "no fault"
    with :? ToolkitException as e ->
        e.Message

/// `collect --times`.
let private timed (cascade: Cascade) queries path =
    Collector.CollectAsync(cascade, queries, path, infinity, silent, true, CancellationToken.None).GetAwaiter().GetResult() |> ignore

[<Tests>]
let tests =
    testList
        "Collector"
        [ test "records what each model wrote, graded, in the order of the queries" {
              withCascade (fun cascade queries folder ->
                  let path = Path.Combine(folder, "records.jsonl")
                  let told = ResizeArray()
                  Collector.Run(cascade, queries, path, progress told.Add)
                  Expect.sequenceEqual told [ 0; 256; 512; 560 ] "progress"
                  let table = TraceReader.ReadTable path
                  Expect.equal (table.Cascade.Queries, Seq.toList table.Models) (560, [ "m1"; "m2" ]) "a trace file"
                  Expect.isTrue table.Cascade.HasAnswers "with answers"
                  let records = TraceReader.ReadRecords path |> Seq.toArray
                  let loaded = CascadeRecords.Load path
                  for i in [ 0; 255; 256; 559 ] do
                      let struct (query, split) = queries[i]
                      Expect.equal (records[i].Id, records[i].Split, records[i].Dataset) (query.Id, split, "random") "identity"
                      Expect.equal (loaded.Records[i].Family, loaded.Records[i].Level) (query.Family, query.Level) "family"
                      for k in 0..1 do
                          let g = cascade.Decoder(k).Decode(ReadOnlySpan(cascade.Tokenizer.Encode query.Prompt))
                          let text = cascade.Tokenizer.Decode g.Tokens
                          Expect.equal records[i].Stages[k].Quality (if g.Ended then query.Grade(text) else 0.0) "quality"
                          Expect.floatClose Accuracy.medium records[i].Stages[k].Confidence.Value g.Features.RawConfidence "confidence"
                          Array.iter2
                              (fun (a: float) e -> Expect.equal (float32 a) (float32 e) "signals")
                              (loaded.Records[i].Features[k].ToVector())
                              (g.Features.ToVector())
                  Expect.equal loaded.Models [| "m1"; "m2" |] "models"
                  for record in loaded.Records do
                      Expect.equal record.Cost [| 1.0; 2.0 |] "costs"
                  Expect.equal (loaded.Of(CascadeRecords.Test).Records.Count) 280 "test split")
          }
          test "with times every answer has its seconds, and all else is as without" {
              withCascade (fun cascade queries folder ->
                  let first = queries.Take(30).ToArray()
                  let plain, path = Path.Combine(folder, "plain.jsonl"), Path.Combine(folder, "timed.jsonl")
                  Collector.Run(cascade, first, plain, silent)
                  timed cascade first path
                  let without (line: string) = Text.RegularExpressions.Regex.Replace(line, ",\"seconds\":[0-9.eE-]+", "")
                  Expect.sequenceEqual (File.ReadAllLines path |> Array.map without) (File.ReadAllLines plain) "all else"
                  Expect.isTrue
                      (TraceReader.ReadTable(path, null, TraceObjective.Latency).Cascade.Cost |> Array.forall (fun s -> s > 0.0))
                      "seconds")
          }
          test "interrupted anywhere and gone on with, the bytes are the same" {
              withCascade (fun cascade queries folder ->
                  let path = Path.Combine(folder, "records.jsonl")
                  Collector.Run(cascade, queries, path, silent)
                  let whole = File.ReadAllBytes path
                  let random = Random 5
                  let secondLine = Array.IndexOf(whole, byte '\n') + 1
                  let cuts =
                      [ 0; 1; 5; secondLine - 1; secondLine; secondLine + 40; whole.Length - 1; whole.Length; random.Next whole.Length ]
                  for cut in cuts do
                      File.WriteAllBytes(path, whole[.. cut - 1])
                      Collector.Run(cascade, queries, path, silent)
                      Expect.isTrue (whole.AsSpan().SequenceEqual(File.ReadAllBytes path)) $"cut at {cut} of {whole.Length}"
                  File.Delete path
                  use source = new CancellationTokenSource()
                  let cancelLater = progress (fun count -> if count = 256 then source.Cancel())
                  Expect.throwsT<OperationCanceledException>
                      (fun () -> Collector.Run(cascade, queries, path, cancelLater, source.Token))
                      "cancelled"
                  Expect.equal (File.ReadLines path |> Seq.length) 256 "the first chunk is kept"
                  Collector.Run(cascade, queries, path, silent)
                  Expect.isTrue (whole.AsSpan().SequenceEqual(File.ReadAllBytes path)) "after a cancellation")
          }
          test "a file of something else is refused and stays as it is" {
              withCascade (fun cascade queries folder ->
                  let path = Path.Combine(folder, "records.jsonl")
                  let few = queries.Take(3).ToArray()
                  Collector.Run(cascade, few, path, silent)
                  let own = File.ReadAllText path
                  let refused (text: string) (asked: struct (Query * string)[]) expected =
                      File.WriteAllText(path, text)
                      Expect.stringStarts (fault (fun () -> Collector.Run(cascade, asked, path, silent))) (path + expected) expected
                      Expect.equal (File.ReadAllText path) text "untouched"
                  let other = CascadeQueries.Draw(cascade.File, 2).Take(3).ToArray()
                  refused own other ":1: expected query "
                  refused (own.Substring(0, own.Length - 9)) other ":1: expected query "
                  refused own few[..1] ":3: expected 2 records, got more"
                  refused (own + "{\"id\":") few ":4: expected 3 records, got more"
                  refused (own.Replace("\"m2\"", "\"m3\"")) few ":1: expected query "
                  refused (own.Replace("\"cost\":2", "\"cost\":3")) few ":1: expected query "
                  refused "Dear diary" few ":1: expected query "
                  refused "Dear diary,\ntoday" few ":1: line: expected one JSON object, got Dear diary,"
                  refused (own.Split('\n')[0] + "\n" + "today") few ":2: expected query ")
          }
          test "two writers of one file are refused, a missing folder too" {
              withCascade (fun cascade queries folder ->
                  let path = Path.Combine(folder, "records.jsonl")
                  let few = queries.Take(3).ToArray()
                  use writer = TraceWriter.Open(path, append = true)
                  let inUse = fault (fun () -> Collector.Run(cascade, few, path, silent))
                  Expect.stringStarts inUse $"{path}: expected a place to write to, got: " "in use"
                  Expect.stringContains inUse "being used by another process" "in use"
                  let missing = fault (fun () -> Collector.Run(cascade, few, Path.Combine(folder, "none", "x.jsonl"), silent))
                  Expect.stringContains missing "Could not find a part of the path" "folder")
          } ]
