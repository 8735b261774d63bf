/// docs/first-questions.md shows what the embedded cascade answers, word for word.
module Samples.Tests.FirstQuestionsTests

open System
open System.Globalization
open System.IO
open Expecto
open OptimalStopping.Runtime.Cascades

let private root = Support.Repository.root
let private page = Path.Combine(root, "docs", "first-questions.md")

let private questions =
    [ "Explain quantum computing"
      "What is 2+2?"
      "Capital of France?"
      "hello"
      "Who are you?"
      "thanks"
      "What is a compiler?"
      "What is photosynthesis?"
      "what is machine learning"
      "Explain recursion"
      "Why is the sky blue?"
      "What is the meaning of life?"
      "Who wrote Hamlet?"
      "What is the chemical symbol for gold?"
      "What is the capital of Mongolia?"
      "When did World War II end?"
      "How many days are in February?"
      "What is 17 * 23?"
      "What is 144 / 12?"
      "963 + 447"
      "Which is larger, 0.7 or 3/4?"
      "What is the plural of mouse?"
      "How do you spell necessary?"
      "Reverse hello"
      "Sort 7, 3, 9, 1"
      "How many r are in strawberry?"
      "Translate good morning into French"
      "What is the opposite of ancient?"
      "add 2+2="
      "Write a poem about the sea"
      "Who won the football match yesterday?"
      "Was ist die Hauptstadt von Frankreich?" ]

let private bar = "|---|---|---|---|"

let private row (cascade: AdaptiveCascade) (question: string) =
    let answer = cascade.Answer question
    let names =
        String.Join(", ", answer.Turns |> Seq.map (fun turn -> (cascade.Cascade.Stages[turn.Stage].Name).Replace("miniature", "")))
    let confidence = answer.Chosen.Confidence.ToString("F2", CultureInfo.InvariantCulture)
    let text = answer.Chosen.Text.ReplaceLineEndings(" ").Replace("|", "\\|")
    $"""| {question} | {text} | {names} | {confidence}{if answer.IsOutside then ", outside" else ""} |"""

[<Tests>]
let tests =
    testList
        "FirstQuestions"
        [ test "the page shows what the embedded cascade answers" {
              let file = CascadeFile.Load(Path.Combine(root, "configs", "miniature.yaml"))
              use models = Cascade.Load file
              let cascade = AdaptiveCascade.Fit(models, CascadeRecords.Load(nonNull file.CalibrationTrace), 0.01)
              let rows = questions |> List.map (row cascade)
              let text = File.ReadAllText page
              let head = text.Substring(0, text.IndexOf bar + bar.Length)
              let expected = head + "\n" + String.Join("\n", rows) + "\n"
              if Environment.GetEnvironmentVariable "TOOLKIT_WRITE_PAGES" = "1" then
                  File.WriteAllText(page, expected)
              else
                  Expect.equal text expected "written anew by TOOLKIT_WRITE_PAGES=1"
          } ]
