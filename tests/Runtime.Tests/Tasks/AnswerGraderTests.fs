module Runtime.Tests.Tasks.AnswerGraderTests

open Expecto
open OptimalStopping.Runtime.Tasks

let private extracts (grading: Grading) (pattern: string | null) (cases: (string * string | null) list) =
    let grader = AnswerGrader(grading, pattern)
    [ for text, expected in cases -> test $"'{text}'" { Expect.equal (grader.Extract text) expected "answer" } ]

[<Tests>]
let tests =
    testList
        "AnswerGrader"
        [ testList
              "numeric"
              (extracts
                  Grading.Numeric
                  null
                  [ "The answer is 72.", "72"
                    "48/2 = 24, so 48+24 = 72 clips. #### 72", "72"
                    "#### 1,234.50 dollars in 3 days", "1234.5"
                    @"so \boxed{18} (not 17)", "18"
                    @"\boxed{\frac{a}{2}} then \boxed{-3.0}", "-3"
                    "from $1,000,000 to $2,500", "2500"
                    "-0.0", "0"
                    "+7", "7"
                    ".5 or 0.50", "0.5"
                    "1e5", "5"
                    "in 12,34 parts", "34"
                    "123456789012345678901234567890123", "123456789012345678901234567890123"
                    "none", null
                    "", null
                    "<think>5 or 6?</think>\n\nIt is 6.", "6"
                    "<think>5 or 6? maybe 5", null
                    "٤٢ is not read", null ])
          testList
              "choice"
              (extracts
                  Grading.Choice
                  null
                  [ "B", "B"
                    "B.", "B"
                    "(C)", "C"
                    "**D**", "D"
                    "B. Because of A", "B"
                    "The answer is C.", "C"
                    "The correct answer is: (D)", "D"
                    "Answer: A", "A"
                    "I think A is wrong. The answer is **B**.", "B"
                    @"A or B? \boxed{C}", "C"
                    @"\boxed{\text{D}}", "D"
                    "We choose option A", "A"
                    "A good question has no letter", null
                    "no idea", null
                    "<think>The answer is A</think>B", "B"
                    "<think>The answer is A", null ])
          testList "exact" (extracts Grading.Exact null [ " Paris \n", "Paris"; "", null; "<think>x</think>\n\nParis", "Paris" ])
          testList "regex" (extracts Grading.Regex "is (\\w+)" [ "it is red; no, it is blue", "blue"; "red", null ])
          testList "regex without a group" (extracts Grading.Regex "[0-9]+" [ "a1 b22", "22" ])
          test "a reference is brought to the same form" {
              let numeric, choice, exact = AnswerGrader Grading.Numeric, AnswerGrader Grading.Choice, AnswerGrader Grading.Exact
              Expect.equal (numeric.Reference "He has 5+5=10.\n#### 1,010") "1010" "gsm8k"
              Expect.equal (numeric.Reference "n/a") "n/a" "no number"
              Expect.equal (choice.Reference " b ") "B" "letter"
              Expect.equal
                  (numeric.Grade("#### 1010.0", "1,010"), numeric.Grade("1011", "1010"), exact.Grade("Paris", "paris"))
                  (1.0, 0.0, 0.0)
                  "grades"
          } ]
