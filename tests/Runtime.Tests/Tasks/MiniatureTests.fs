module Runtime.Tests.Tasks.MiniatureTests

open System
open System.IO
open System.Text.RegularExpressions
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Tasks
open OptimalStopping.Runtime.Tasks.Miniature

let private folder = Path.Combine(Support.Repository.root, "models", "miniature", "knowledge")
let private knowledge = lazy (Knowledge.Load folder)
let private mix = lazy (QuestionMix knowledge.Value)
let private draw seed split count = MiniatureQuestions(mix.Value, seed, split).Distinct count

/// What two spellings of a question share, by other means than the generator's.
let private letters (text: string) = Regex.Replace(Regex.Replace(text.ToLowerInvariant(), @"[?.! =]+$", ""), @"[\s"",:?!]+", "")

/// A copy of the knowledge with one small file of each kind, in which a text is replaced.
let private loading (file: string) (content: string) =
    let root = Directory.CreateTempSubdirectory("knowledge-").FullName
    try
        for part in [ "explanations"; "facts" ] do
            Directory.CreateDirectory(Path.Combine(root, part)) |> ignore
        File.WriteAllText(Path.Combine(root, "explanations", "a.tsv"), "# a\n50\ta cell\tA cell is small.\n")
        File.WriteAllText(
            Path.Combine(root, "facts", "b.tsv"),
            "# b\n# question: Where is {0}?\n# answer: {0} is in {1}.\n# key: {1}\n7\tParis\tFrance\n"
        )
        if file <> "" then File.WriteAllText(Path.Combine(root, file), content)
        Knowledge.Load root
    finally
        Directory.Delete(root, true)

let private fault (file: string) (content: string) (part: string) =
    try
        loading file content |> ignore
        failtest $"expected a fault: {part}"
    with :? ToolkitException as error ->
        Expect.stringContains error.Message part "message"

[<Tests>]
let tests =
    testList
        "Miniature"
        [ test "The knowledge is large, and explanations begin with their term" {
              let k = knowledge.Value
              Expect.isGreaterThan k.Explanations.Count 1900 "explanations"
              Expect.isGreaterThan (k.Relations |> Seq.sumBy _.Facts.Count) 7500 "facts"
              let bare (text: string) = Regex.Replace(text, "^(a|an|the) ", "", RegexOptions.IgnoreCase).ToLowerInvariant()
              for entry in k.Explanations do
                  Expect.isTrue ((bare entry.Text).StartsWith(bare (entry.Term.Replace("why ", "")))) entry.Text
          }

          test "Faults of the knowledge name file, line, what was expected and got" {
              Expect.equal (loading "" "").Relations[0].Facts.Count 1 "the sample is in order"
              fault "explanations/a.tsv" "# a\n50\ta cell\n" "a.tsv:2: expected popularity, TAB, subject, TAB, text"
              fault "explanations/a.tsv" "# a\n0\ta cell\tA cell.\n" "a.tsv:2: popularity: expected 1 to 100, got '0'"
              fault "explanations/a.tsv" "# a\n5\ta\tA.\n5\ta\tA.\n" "a.tsv:3: expected a term of its own"
              fault "explanations/a.tsv" "# a\n5\ta\tA\n" "a.tsv:2: expected sentences"
              fault "facts/b.tsv" "# question: Where is it?\n" "b.tsv:1: expected {0} once"
              fault "facts/b.tsv" "# question: Where is {0}?\n7\tParis\tFrance\n" "b.tsv: expected lines '# question: ' and one"
              fault "facts/b.tsv" "# question: {0}?\n# answer: {1}.\n# key: {0}\n7\ta\tb\n" "b.tsv:3: expected '# key: {1}'"
          }

          test "Every family is drawn, and its own answers are right by its grader, those to other questions mostly wrong" {
              let queries = draw 3 QuerySplit.Train 8_000
              let byFamily = queries |> Array.groupBy _.Family
              Expect.equal (set (Array.map fst byFamily)) (set mix.Value.Families) "families"
              for family, queries in byFamily do
                  for query in queries do
                      Expect.equal (query.Grade(query.Solution)) 1.0 $"{query.Prompt} -> {query.Solution}"
                  let wrong =
                      Array.pairwise queries
                      |> Array.filter (fun (a, b) ->
                          Object.ReferenceEquals(a.Grader, b.Grader) && a.Answer <> b.Answer && a.Grade(b.Solution) = 1.0)
                  if family <> "smalltalk" then Expect.isEmpty wrong $"{family}: answers to another question of the family"
          }

          test "Arithmetic is right" {
              let operation = Regex(@"(\d+) ?([-+*/x]) ?(\d+)")
              let mutable checkedCount = 0
              for query in draw 4 QuerySplit.Test 6000 do
                  if List.contains query.Family [ "addition"; "subtraction"; "multiplication"; "division" ] then
                      let found = operation.Match query.Prompt
                      if found.Success then
                          let a, b = int64 found.Groups[1].Value, int64 found.Groups[3].Value
                          let expected =
                              match found.Groups[2].Value with
                              | "+" -> a + b
                              | "-" -> a - b
                              | "/" -> a / b
                              | _ -> a * b
                          Expect.equal query.Answer (string expected) query.Prompt
                          // Every step of the working holds too.
                          for step in Regex.Matches(query.Solution, @"([-+\d* ]+) = (-?\d+)") do
                              let terms = Regex.Match(step.Groups[1].Value, @"^ ?(-?\d+) ([-+*]) (\d+)$")
                              if terms.Success then
                                  let x, y = int64 terms.Groups[1].Value, int64 terms.Groups[3].Value
                                  let value =
                                      match terms.Groups[2].Value with
                                      | "+" -> x + y
                                      | "-" -> x - y
                                      | _ -> x * y
                                  Expect.equal (int64 step.Groups[2].Value) value query.Solution
                          checkedCount <- checkedCount + 1
              Expect.isGreaterThan checkedCount 300 "questions with signs"
          }

          test "Words are spelled, counted and reversed rightly" {
              for query in draw 5 QuerySplit.Calibration 8000 do
                  let word = Regex.Match(query.Solution, "^\"?([a-z](?:-[a-z])*)").Groups[1].Value.Replace("-", "")
                  match query.Family with
                  | "reverse" -> Expect.equal query.Answer (String(Array.rev (word.ToCharArray()))) query.Prompt
                  | "spelling" -> Expect.stringContains (query.Prompt.ToLowerInvariant()) (query.Answer.Replace(" ", "")) query.Solution
                  | "count-letters" -> Expect.equal (int query.Answer) (Regex.Matches(query.Solution, "[a-z] ").Count) query.Solution
                  | _ -> ()
          }

          test "The same seed gives the same questions; no question is in two splits, in whatever spelling" {
              let texts seed split = draw seed split 3000 |> Array.map _.Prompt
              Expect.equal (texts 1 QuerySplit.Test) (texts 1 QuerySplit.Test) "same seed"
              Expect.notEqual (texts 1 QuerySplit.Test) (texts 2 QuerySplit.Test) "other seed"
              let split kind = texts 1 kind |> Array.map letters |> set
              let train, calibration, test = split QuerySplit.Train, split QuerySplit.Calibration, split QuerySplit.Test
              Expect.isEmpty (Set.intersect train test) "train and test"
              Expect.isEmpty (Set.intersect train calibration) "train and calibration"
              Expect.isEmpty (Set.intersect calibration test) "calibration and test"
          }

          test "Popular entries are asked for more often, unless the mix is flat" {
              let level mix =
                  let questions = MiniatureQuestions(mix, 1, QuerySplit.Train)
                  [ for _ in 1..4000 -> questions.Next() ]
                  |> List.filter (fun q -> q.Family = "explanation")
                  |> List.averageBy (fun q -> float q.Level)
              Expect.isLessThan
                  (level mix.Value + 0.5)
                  (level (QuestionMix(knowledge.Value, true)))
                  "mean level, 1 for popular to 5 for rare"
          }

          test "Keys are found in normal form, and explanations agree by their words" {
              let key = AnswerGrader(Grading.Key, "(?i)^The capital of .+ is (.+?)\\.$")
              Expect.equal (key.Extract "The capital of  France is The PARIS. ") "paris" "article, case and spaces"
              Expect.isNull (key.Extract "Paris") "another sentence has no key"
              Expect.equal (key.Grade("The capital of France is Lyon.", "The capital of France is Paris.")) 0.0 "wrong"
              Expect.equal (key.Grade("The capital of Spain is Paris.", "The capital of France is Paris.")) 1.0 "only the key counts"
              let agreement = AnswerGrader(Grading.Agreement)
              let grade text = agreement.Grade(text, "A cat is a small animal that purrs and hunts mice.")
              Expect.equal (grade "a cat is a small animal that purrs and hunts rats") 1.0 "ten of eleven words"
              Expect.equal (grade "A cat is a large plant that grows and hunts mice.") 0.0 "eight of eleven words"
              Expect.equal (grade "") 0.0 "nothing"
          } ]
