module Runtime.Tests.Tasks.GraderTests

open Expecto
open OptimalStopping.Runtime.Tasks

let private query = Query("sum-1-0", "sum", 1, "sum 3+4+9=", "3,7,16#16")

[<Tests>]
let tests =
    testList
        "Grader"
        [ testCase "the text after the last mark is the answer"
          <| fun _ ->
              Expect.equal (AnswerGrader.Marked.Extract "1#2#3") "3" "last"
              Expect.equal (AnswerGrader.Marked.Extract "1#") "" "empty"
              Expect.isNull (AnswerGrader.Marked.Extract "16") "none"
          testCase "only the final answer counts, and exactly"
          <| fun _ ->
              for text, grade in [ "3,7,16#16", 1.0; "wrong#16", 1.0; "3,7,16#17", 0.0; "3,7,16#16 ", 0.0; "16", 0.0; "", 0.0 ] do
                  Expect.equal (query.Grade(text)) grade text ]
