module Runtime.Tests.TraceReaderTests

open System
open System.Text
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Traces
open Support.TraceFiles

let private a = stage "a" 1.0 (Some 0.5) 1.0
let private b = stage "b" 2.5 None 0.25
let private good = line "x" [ a; b ]

/// The message of the fault that the reader finds in the lines, by both ways of reading.
let private faults lines =
    withLines lines (fun path ->
        let message action =
            try
                action ()
                failtest "no fault was found"
            with :? ToolkitException as e ->
                Expect.stringStarts e.Message path "starts with the file"
                e.Message.Substring path.Length
        message (fun () -> TraceReader.ReadTable path |> ignore), message (fun () -> TraceReader.ReadRecords path |> Seq.length |> ignore))

let private malformed =
    [ "not JSON", "{\"id\":", "line: expected one JSON object"
      "an array", "[1,2]", "line: expected one JSON object"
      "two objects", good + good, "line: expected one JSON object"
      "no id", """{"stages":[]}""".Replace("[]", $"[{a}]"), "id: expected a string, got nothing"
      "id a number", """{"id":3,"stages":[S]}""".Replace("S", a), "id: expected a string, got 3"
      "no stages", """{"id":"x"}""", "stages: expected an array of at least one stage, got nothing"
      "empty stages", line "x" [], "stages: expected an array of at least one stage, got []"
      "a stage that is a number", line "x" [ "3" ], "stages[0]: expected an object, got 3"
      "no model", line "x" [ """{"cost":1,"quality":1}""" ], "stages[0].model: expected a string, got nothing"
      "no cost", line "x" [ a; """{"model":"b","quality":1}""" ], "stages[1].cost: expected a number of at least 0, got nothing"
      "a negative cost", line "x" [ stage "a" -1.0 None 1.0 ], "stages[0].cost: expected a number of at least 0, got -1"
      "a cost in words",
      line "x" [ a.Replace("\"cost\":1", "\"cost\":\"1\"") ],
      "stages[0].cost: expected a number of at least 0, got \"1\""
      "confidence above 1", line "x" [ stage "a" 1.0 (Some 1.5) 1.0 ], "stages[0].confidence: expected a number in [0,1] or null, got 1.5"
      "no quality",
      line "x" [ """{"model":"a","cost":1,"confidence":null}""" ],
      "stages[0].quality: expected a number in [0,1], got nothing"
      "quality true", line "x" [ a.Replace("\"quality\":1", "\"quality\":true") ], "stages[0].quality: expected a number in [0,1], got true"
      "quality above 1", line "x" [ stage "a" 1.0 None 2.0 ], "stages[0].quality: expected a number in [0,1], got 2" ]

[<Tests>]
let tests =
    testList
        "TraceReader"
        [ test "an objective with latency takes the seconds, sorts by them, and names the stage that has none" {
              let timed (stage: string) (seconds: float) = stage.Replace("\"cost\"", $"\"seconds\":{seconds},\"cost\"")
              let read objective lines = withLines lines (fun path -> TraceReader.ReadTable(path, null, objective))
              let lines = [ line "x" [ timed a 0.5; timed b 0.25 ]; line "y" [ timed a 1.5; timed b 0.25 ] ]
              let latency = read TraceObjective.Latency lines
              Expect.sequenceEqual latency.Models [ "b"; "a" ] "the quicker first"
              Expect.equal latency.Cascade.Cost [| 0.25; 0.5; 0.25; 1.5 |] "seconds"
              // In units of the dearest stage's mean: 2.5 of cost (b), 1 second (a).
              let both = read TraceObjective.Both lines
              Expect.sequenceEqual both.Models [ "b"; "a" ] "by the sum: 1.25 and 1.4 on average"
              Expect.equal both.Cascade.Cost [| 1.25; 0.9; 1.25; 1.9 |] "both"
              Expect.equal (read TraceObjective.Cost lines).Cascade.Cost [| 1.0; 2.5; 1.0; 2.5 |] "cost"
              let missing () = read TraceObjective.Latency [ lines[0]; line "y" [ timed a 1.5; b ] ] |> ignore
              let message =
                  try
                      missing ()
                      "no fault"
                  with :? ToolkitException as e ->
                      e.Message
              Expect.stringContains message ":2: stages[1].seconds: expected a number of at least 0" "where"
          }
          test "reads confidences, nulls, costs and qualities in place" {
              withLines [ good; ""; line "y" [ stage "a" 3.0 (Some 0.0) 0.0; b ] ] (fun path ->
                  let table = TraceReader.ReadTable path
                  Expect.sequenceEqual table.Models [ "a"; "b" ] "models"
                  Expect.equal table.Cascade.Queries 2 "queries; the blank line is none"
                  Expect.equal table.Cascade.Cost [| 1.0; 2.5; 3.0; 2.5 |] "cost"
                  Expect.equal table.Cascade.Quality [| 1.0; 0.25; 0.0; 0.25 |] "quality"
                  Expect.equal (Array.map Double.IsNaN table.Cascade.Confidence) [| false; true; false; true |] "nulls"
                  Expect.equal table.Cascade.Confidence[0] 0.5 "confidence")
          }

          test "a line may leave models out; the order comes from all lines" {
              let c = stage "c" 9.0 None 1.0
              withLines [ line "1" [ a; c ]; line "2" [ b; c ]; line "3" [ a; b ] ] (fun path ->
                  let table = TraceReader.ReadTable path
                  Expect.sequenceEqual table.Models [ "a"; "b"; "c" ] "models"
                  let recorded = Array.init 9 (fun i -> table.Cascade.IsRecorded(i / 3, i % 3))
                  Expect.equal recorded [| true; false; true; false; true; true; true; true; false |] "recorded")
          }

          test "equal answers get equal labels, features are taken along" {
              let withAnswer (s: string) (answer: string) = s.Insert(s.Length - 1, $",\"answer\":\"{answer}\"")
              let text =
                  (line "x" [ withAnswer a "7"; b; withAnswer (stage "c" 3.0 None 1.0) "7" ])
                      .Replace("\"stages\"", "\"features\":[1.5,-2],\"stages\"")
              withLines [ text ] (fun path ->
                  let cascade = (TraceReader.ReadTable path).Cascade
                  Expect.equal cascade.Answer [| 0; -1; 0 |] "labels"
                  Expect.equal cascade.Context [| 1.5; -2.0 |] "features")
          }

          test "byte order mark, CRLF, a missing last line end and lines longer than the buffer" {
              let long = (line "x" [ a; b ]).Replace("\"x\"", "\"" + String('x', 3_000_000) + "\"")
              withText ("\uFEFF" + good + "\r\n" + long + "\r\n" + good) (fun path ->
                  Expect.equal (TraceReader.ReadTable path).Cascade.Queries 3 "queries"
                  Expect.equal (TraceReader.ReadRecords path |> Seq.length) 3 "records")
          }

          for name, text, expected in malformed do
              test $"names the line and the reason: {name}" {
                  for message in (let x, y = faults [ good; good; text; good ] in [ x; y ]) do
                      Expect.stringStarts message $":3: {expected}" "fault"
              }

          test "stages in any order are sorted by mean cost, and the table says so" {
              withLines [ good; line "y" [ b; a ] ] (fun path ->
                  let table = TraceReader.ReadTable path
                  Expect.sequenceEqual table.Models [ "a"; "b" ] "cheap before dear"
                  Expect.isTrue table.Sorted "told"
                  Expect.equal table.Cascade.Cost [| 1.0; 2.5; 1.0; 2.5 |] "costs follow their models")
              withLines [ good; good ] (fun path -> Expect.isFalse (TraceReader.ReadTable path).Sorted "nothing to tell")
          }

          test "numbers, flags and punctuation make no other answer; texts, datasets and recorded numbers are kept" {
              let answered (s: string) extra = s.Insert(s.Length - 1, extra)
              let first =
                  line
                      "x"
                      [ answered a ",\"answer\":18,\"tokens\":7"
                        answered b ",\"answer\":\"$18.00.\",\"signals\":{\"verbal\":0.5,\"note\":\"n\"}" ]
              let second = line "y" [ answered a ",\"answer\":\"Paris\""; answered b ",\"answer\":\"paris.\"" ]
              let put (key: string) (s: string) = s.Replace("\"stages\"", key + ",\"stages\"")
              withLines
                  [ put "\"prompt\":\"How much is 9 + 9?\"" first
                    (put "\"prompt\":\"Capital of France\"" second).Replace("\"dataset\":\"d\"", "\"dataset\":\"e\"") ]
                  (fun path ->
                      let table = TraceReader.ReadTable path
                      Expect.equal table.Cascade.Answer [| 0; 0; 0; 0 |] "the same answers"
                      let features = Option.ofObj table.Features |> Option.get
                      Expect.sequenceEqual features.Recorded [ "tokens"; "verbal" ] "numbers by name"
                      Expect.equal
                          (features.Values |> Array.map Single.IsNaN)
                          [| false; true; true; false; true; true; true; true |]
                          "where"
                      Expect.equal (features.Values[0], features.Values[3]) (7.0f, 0.5f) "values"
                      Expect.isTrue features.HasText "texts"
                      let digits = Seq.findIndex ((=) "digits") QuestionText.Measures
                      Expect.isTrue (abs (features.Measures[digits] - 2.0 / 18.0) < 1e-9) "share of digits"
                      Expect.isTrue ((features.Grams[0]).ToTuple() |> fst |> Array.forall (fun bin -> int bin < QuestionText.Bins)) "bins")
          }

          test "a model twice, too many models, no query, no file" {
              let fault lines =
                  withLines lines (fun path ->
                      try
                          TraceReader.ReadTable path |> ignore
                          ""
                      with :? ToolkitException as e ->
                          e.Message)
              Expect.stringContains (fault [ good; line "y" [ a; a ] ]) ":2: stages[1].model: expected a model once per line" "twice"
              Expect.stringContains
                  (fault
                      [ line
                            "x"
                            [ for k in 0..16 do
                                  stage $"m{k}" 1.0 None 1.0 ] ])
                  "at most 16 models"
                  "many"
              Expect.stringContains (fault []) "expected at least one query, got none" "empty"
              Expect.stringEnds (fault [ line "x" [ a ]; line "y" [ a ] ]) ": expected at least 2 models, got 1 (a)" "one model"
              Expect.stringContains
                  (fault [ good.Replace("\"cost\":1,", "\"cost\":1,\"cost\":2,") ])
                  ":1: stages[0].cost: expected each key once"
                  "a key twice"
              Expect.throwsT<ToolkitException> (fun () -> TraceReader.ReadTable "/no/such/file" |> ignore) "no file"
          }

          test "ids that stand twice are counted" {
              withLines [ good; line "y" [ a; b ]; good; good ] (fun path ->
                  Expect.equal (TraceReader.ReadTable path).RepeatedIds 2 "twice more")
              withLines [ good; line "y" [ a; b ] ] (fun path -> Expect.equal (TraceReader.ReadTable path).RepeatedIds 0 "none")
          }

          test "both ways of reading agree, and what is written reads back to the same bytes" {
              withLines (cascade 200 1) (fun path ->
                  let table = TraceReader.ReadTable path
                  let records = TraceReader.ReadRecords path |> Seq.toArray
                  let costs = records |> Array.collect (fun r -> r.Stages |> Seq.map (fun s -> s.Cost) |> Seq.toArray)
                  Expect.equal costs table.Cascade.Cost "cost"
                  let bytes (records: TraceRecord seq) =
                      use memory = new IO.MemoryStream()
                      use writer = new TraceWriter(memory)
                      for r in records do
                          writer.Write r
                      memory.ToArray()
                  let first = bytes records
                  withText (Encoding.UTF8.GetString first) (fun again ->
                      Expect.equal (bytes (TraceReader.ReadRecords again)) first "bytes"))
          }

          test "unknown fields survive a round trip" {
              let text =
                  """{"id":"é","dataset":"d","split":"s","stages":[{"model":"a","cost":0.1,"confidence":null,"quality":1,"tokens":12,"signals":{"min":0.5}}],"prompt":"2+2\n?","seconds":1.250}"""
              use memory = new IO.MemoryStream()
              use writer = new TraceWriter(memory)
              writer.Write(TraceRecord.Parse(text, "f", 1L))
              Expect.equal (Encoding.UTF8.GetString(memory.ToArray())) (text + "\n") "line"
          } ]
