module Runtime.Tests.Tasks.QueryFilesTests

open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Tasks
open Support.TraceFiles

let private source kind path grading pattern = TaskSource(kind, path, null, "question", "answer", grading, pattern, null)

let private inFile (name: string) (text: string) (action: string -> unit) =
    withFolder (fun folder ->
        let path = Path.Combine(folder, name)
        File.WriteAllText(path, text)
        action path)

let private gsm8k =
    """{"question": "Natalia sold 48 clips.", "answer": "48/2 = <<48/2=24>>24\n#### 72"}
{"question": "A second.", "answer": "#### 1,200"}

{"question": "A third.", "answer": "#### -3"}
"""

let private mmlu = "What is 2+2?,1,2,3,4,D\n\"A, \"\"quoted\"\"\nquestion\",x,\"y,z\",w,v,B\n"

let private fault (text: string) (source: string -> TaskSource) (part: string) =
    inFile "f.jsonl" text (fun path ->
        try
            QueryFiles.Read(source path, path) |> ignore
            failtest "no fault"
        with :? ToolkitException as e ->
            Expect.stringContains e.Message part "message"
            Expect.isFalse (e.Message.Contains '\n') "one line")

[<Tests>]
let tests =
    testList
        "QueryFiles"
        [ test "GSM8K as published" {
              inFile "test.jsonl" gsm8k (fun path ->
                  let queries = QueryFiles.Read(source "gsm8k" path Grading.Numeric null, path)
                  Expect.equal
                      [ for q in queries -> q.Id, q.Family, q.Answer ]
                      [ "test-1", "gsm8k", "72"; "test-2", "gsm8k", "1200"; "test-4", "gsm8k", "-3" ]
                      "queries"
                  Expect.stringStarts queries[0].Prompt "Natalia sold 48 clips.\nPlease reason step by step" "prompt"
                  Expect.equal (queries[1].Grade(@"so \boxed{1200}"), queries[1].Grade("1201")) (1.0, 0.0) "grades")
          }
          test "MMLU as published: a file, or a folder of files" {
              withFolder (fun folder ->
                  File.WriteAllText(Path.Combine(folder, "anatomy_test.csv"), mmlu)
                  File.WriteAllText(Path.Combine(folder, "botany_test.csv"), "Q?,a,b,c,d,A\n")
                  let queries = QueryFiles.Read(source "mmlu" folder Grading.Choice null, folder)
                  Expect.equal
                      [ for q in queries -> q.Id, q.Family, q.Answer ]
                      [ "anatomy_test-1", "anatomy_test", "D"; "anatomy_test-3", "anatomy_test", "B"; "botany_test-1", "botany_test", "A" ]
                      "queries"
                  Expect.stringEnds queries[1].Prompt "A, \"quoted\"\nquestion\nA. x\nB. y,z\nC. w\nD. v" "prompt"
                  Expect.equal (queries[0].Grade("D"), queries[0].Grade("The answer is A.")) (1.0, 0.0) "grades")
          }
          test "any jsonl, with the fields and the grading that the cascade file names" {
              inFile
                  "q.jsonl"
                  """{"q": "Colour of the sky?", "a": "blue"}
{"q": "Two?", "a": 2}"""
                  (fun path ->
                      let source = TaskSource("jsonl", path, null, "q", "a", Grading.Regex, "it is (\\w+)", "Answer briefly.")
                      let queries = QueryFiles.Read(source, path)
                      Expect.equal
                          [ for q in queries -> q.Prompt, q.Answer ]
                          [ "Answer briefly.\nColour of the sky?", "blue"; "Answer briefly.\nTwo?", "2" ]
                          "queries"
                      Expect.equal (queries[0].Grade("well, it is blue")) 1.0 "grade")
          }
          test "calibration and test queries are disjoint, follow the seed, and are as many as asked" {
              let text = String.concat "\n" [ for i in 1..300 -> $$"""{"question": "q{{i % 250}}", "answer": "{{i}}"}""" ]
              inFile "all.jsonl" text (fun path ->
                  let source = source "jsonl" path Grading.Numeric null
                  let struct (calibration, test) = QueryFiles.Draw(source, 7, 100, 150)
                  let prompts (queries: Query[]) = [ for q in queries -> q.Prompt ]
                  let drawn seed = (let struct (c, _) = QueryFiles.Draw(source, seed, 100, 150) in prompts c)
                  Expect.equal (List.length (List.distinct (prompts calibration @ prompts test))) 250 "each once"
                  Expect.equal (drawn 7) (prompts calibration) "same seed"
                  Expect.notEqual (drawn 8) (prompts calibration) "other seed"
                  Expect.throwsT<ToolkitException> (fun () -> QueryFiles.Draw(source, 7, 101, 150) |> ignore) "too few"
                  let other = TaskSource("jsonl", path, path, "question", "answer", Grading.Numeric, null, null)
                  Expect.throwsT<ToolkitException> (fun () -> QueryFiles.Draw(other, 7, 1, 1) |> ignore) "a test query may not calibrate")
          }
          testList
              "faults name file, line and field"
              [ let lines path = source "jsonl" path Grading.Exact null
                let choices path = source "mmlu" path Grading.Choice null
                for name, text, source, part in
                    [ "no JSON", "{\"question\": \"a\", \"answer\": \"b\"}\n{", lines, "f.jsonl:2: expected a JSON object, got: "
                      "a list", "[]", lines, "f.jsonl:1: expected a JSON object, got array"
                      "no question",
                      """{"answer": "b"}""",
                      lines,
                      "f.jsonl:1: key 'question': expected a text that is not empty, got nothing"
                      "an empty answer",
                      """{"question": "a", "answer": " "}""",
                      lines,
                      "f.jsonl:1: key 'answer': expected a text that is not empty, got \" \""
                      "an answer that is a list",
                      """{"question": "a", "answer": [1]}""",
                      lines,
                      "key 'answer': expected a text that is not empty, got [1]"
                      "five fields", "q,a,b,c,d\n", choices, "f.jsonl:1: expected question, 4 choices and the answer's letter, got 5 fields"
                      "another letter", "q,a,b,c,d,E\n", choices, "f.jsonl:1: field 6: expected A, B, C or D, got 'E'"
                      "a quote that does not end", "\"q,a,b,c,d,A\n", choices, "f.jsonl:" ] do
                    test name { fault text source part } ]
          test "word problems: the same for the same seed, all different, and read back as a file of questions" {
              let drawn = WordProblems.Draw(300, 4) |> Seq.toArray
              Expect.sequenceEqual (WordProblems.Draw(300, 4)) drawn "the same"
              Expect.equal (drawn |> Seq.map (fun struct (q, _, _) -> q) |> Seq.distinct |> Seq.length) 300 "different"
              Expect.equal (drawn |> Seq.countBy (fun struct (_, _, steps) -> steps) |> List.ofSeq) [ for s in 1..6 -> s, 50 ] "steps"
              Expect.all drawn (fun struct (_, a, _) -> int64 a >= 0L) "answers"
              inFile "q.jsonl" (WordProblems.ToJsonLines drawn) (fun path ->
                  let read = QueryFiles.Read(source "jsonl" path Grading.Numeric null, path)
                  Expect.equal read.Count 300 "lines"
                  let struct (question, answer, _) = drawn[7]
                  Expect.equal read[7].Prompt question "question"
                  Expect.equal read[7].Solution answer "answer")
          }
          test "no such file" {
              Expect.throwsT<ToolkitException>
                  (fun () -> QueryFiles.Read(source "jsonl" "/nowhere/x.jsonl" Grading.Exact null, "/nowhere/x.jsonl") |> ignore)
                  "missing"
          } ]
