module Reports.Tests.Table1Tests

open Support
open System
open Expecto
open OptimalStopping.Reports
open OptimalStopping.Experiments

let private load (lines: string seq) =
    SampleRun.inFolder (fun dir ->
        SampleRun.write dir "table1.csv" lines
        SampleRun.write dir "reliability.csv" SampleRun.reliability
        RunData.Load dir)

let private latex (lines: string seq) = (Table1.latex (load lines)).Value

[<Tests>]
let tests =
    testList
        "Table1"
        [ test "p-values have three significant digits, and tiny ones are not spelt out" {
              let cases =
                  [ 0.5, "0.500"
                    1.0, "1.00"
                    0.0123456, "0.0123"
                    0.00098765, "0.000988"
                    1e-4, "0.000100"
                    9.9e-5, "<1e-4"
                    0.0, "<1e-4"
                    nan, "–"
                    0.99999, "1.00"
                    0.09999, "0.100" ]
              for p, text in cases do
                  Expect.equal (Numbers.pValue p) text (string p)
          }
          test "numbers carry no sign that their digits do not show" {
              Expect.equal (Numbers.decimals (2, -0.001)) "0.00" "minus zero"
              Expect.equal (Numbers.signed (2, 0.001)) "0.00" "plus zero"
              Expect.equal (Numbers.signed (2, 0.126)) "+0.13" "plus"
              Expect.equal (Numbers.signed (2, -0.126)) "-0.13" "minus"
              Expect.equal (Numbers.decimals (2, nan)) "–" "not available"
          }
          test "parameters have four significant digits and no exponent" {
              let cases = [ 0.01, "0.01"; 0.0136965, "0.0137"; 5e-5, "0.00005"; 0.0, "0"; 12345.6, "12346"; 2.0, "2"; nan, "" ]
              for x, text in cases do
                  Expect.equal (Numbers.parameter x) text (string x)
          }
          test "significance is what Holm's correction says, with the sign of the difference" {
              let rows = (load SampleRun.comparisons).Table<PolicyComparison>()
              Expect.equal (rows |> Array.map _.Verdict) [| 1; -1; 0 |] "verdicts"
          }
          test "the caption counts pairs and verdicts of the rows" {
              let caption = Table1.caption (load SampleRun.comparisons)
              for part in
                  [ "500 paired test queries"; "lambda = 0.01"; "Of 3 comparisons"; "better (+) in 1"; "worse (-) in 1"; "and 1 are not" ] do
                  Expect.stringContains caption part "caption"
              let more = SampleRun.comparisons @ [ SampleRun.comparisons[1].Replace("chain,0.01,500", "random,0.02,450") ]
              let caption = Table1.caption (load more)
              Expect.stringContains caption "450 to 500 paired" "pairs that differ"
              Expect.stringContains caption "lambda = 0.01, 0.02" "several lambdas"
          }
          test "the caption names the rule of each operating point that the run has" {
              let one = Table1.caption (load SampleRun.comparisons)
              Expect.stringContains
                  one
                  "One rule chooses a point of the default policy on the calibration queries: the point of best utility at lambda"
                  "one"
              SampleRun.inFolder (fun dir ->
                  SampleRun.write dir "table1.csv" SampleRun.comparisons
                  SampleRun.write dir "headline.csv" SampleRun.headline
                  let data = RunData.Load dir
                  Expect.stringContains (Table1.caption data) "keeps 99% of the largest model's quality there" "both"
                  let tex = (Table1.latex data).Value
                  Expect.stringContains tex @"keeps 99\% of" "percent sign"
                  Expect.stringContains tex @"headline ($\lambda$ = 0.02: quality 0.860 at cost 4.00)" "lambda")
              let neither = SampleRun.inFolder RunData.Load
              Expect.isNone (Table1.rules neither) "none"
          }
          test "the fragment is a booktabs table with one line for each baseline" {
              let lines = (latex SampleRun.comparisons).Split '\n'
              let rows = lines |> Array.filter (fun l -> l.EndsWith @" \\" && l.Contains " & ")
              Expect.equal rows.Length 4 "heading and three rows"
              for row in rows do
                  Expect.equal (row.Split(" & ").Length) 9 row
              Expect.stringContains
                  rows[1]
                  "full chain & $+0.0400$$^{+}$ $[+0.0200, +0.0600]$ & $<10^{-4}$ & $<10^{-4}$ & $+0.20$ $[+0.10, +0.30]$"
                  "first row"
              Expect.stringContains rows[2] "one threshold & $+0.0020$ $[-0.0100, +0.0140]$ & $" "not marked"
              Expect.stringContains rows[2] "$0.500$" "its p-value"
              Expect.stringContains rows[3] "small alone & $-0.0100$$^{-}$" "a loss is marked as one"
              let count (part: string) = lines |> Array.filter (fun l -> l.Contains part) |> Array.length
              Expect.equal (List.map count [ @"\toprule"; @"\bottomrule"; @"\midrule"; @"\begin{"; @"\end{" ]) [ 1; 1; 1; 2; 2 ] "rules"
          }
          test "a p-value that resampling cannot show to be smaller is called a bound, others are not" {
              let floor =
                  SampleRun.comparisons[1]
                      .Replace("0.00001,0.00003,0.00003,", "0.0001,0.0009,0.0005,")
                      .Replace(",0.00001,0.11", ",0.0001,0.11")
              let text = latex [ SampleRun.comparisonHeader; floor; SampleRun.comparisons[3] ]
              Expect.stringContains text @"$\le 0.000900$" "at the floor"
              Expect.stringContains text "& $0.500$ &" "above it"
              let data = load [ SampleRun.comparisonHeader; floor ]
              Expect.stringContains (Table1.caption data) "where no resample was as extreme" "caption"
              let exact = load [ SampleRun.comparisonHeader; floor.Replace(",0.0001,0.11", ",0,0.11") ]
              Expect.isFalse (Table1.caption(exact).Contains "at most") "an exact p-value is no bound"
          }
          test "paired and unpaired deltas stand side by side with their intervals, few pairs with a warning" {
              let text = latex SampleRun.comparisons
              Expect.stringContains text "$+0.11$ $[+0.05, +0.17]$ & $+0.09$ $[+0.04, +0.14]$" "both"
              Expect.isFalse (Table1.caption(load SampleRun.comparisons).Contains "cover less") "500 pairs"
              let few = load [ SampleRun.comparisonHeader; SampleRun.comparisons[1].Replace(",500,", ",49,") ]
              Expect.stringContains (Table1.caption few) "Fewer than 50 pairs" "49 pairs"
          }
          test "several lambdas are groups with their own heading" {
              let more = SampleRun.comparisons @ [ SampleRun.comparisons[1].Replace("chain,0.01,500", "random,0.002,450") ]
              let text = latex more
              let first, second = text.IndexOf @"$\lambda = 0.002$, 450 pairs", text.IndexOf @"$\lambda = 0.01$, 500 pairs"
              Expect.isTrue (first > 0 && second > first) "groups by rising lambda"
          }
          test "every special character of a name is escaped" {
              Expect.equal
                  (Table1.escape @"a\b~c^d&e%f$g#h_i{j}k<l>")
                  @"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d\&e\%f\$g\#h\_i\{j\}k\textless{}l\textgreater{}"
                  "escaped"
              let text = latex [ SampleRun.comparisonHeader; SampleRun.comparisons[1].Replace("chain,", "mine_50%&co,") ]
              Expect.stringContains text @"mine\_50\%\&co & " "in the table"
          }
          test "no comparisons, no table" { Expect.isNone (Table1.latex (load [ SampleRun.comparisonHeader ])) "none" } ]
