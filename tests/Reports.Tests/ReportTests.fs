module Reports.Tests.ReportTests

open Support
open System
open System.Diagnostics
open System.IO
open System.Text.Json
open System.Text.RegularExpressions
open Expecto
open OptimalStopping.Reports
open OptimalStopping.Experiments

let private page (prepare: string -> unit) =
    SampleRun.inFolder (fun dir ->
        prepare dir
        Report.html (RunData.Load dir))

let private embedded (id: string) (html: string) =
    let found = Regex.Match(html, $"<script type=\"application/json\" id=\"{id}\">(.*?)</script>", RegexOptions.Singleline)
    JsonDocument.Parse(found.Groups[1].Value).RootElement

/// The page without its scripts and styles, whose text no browser shows.
let private visible (html: string) = Regex.Replace(html, "<(script|style)[ >].*?</\\1>", "", RegexOptions.Singleline)

let private count (pattern: string) text = Regex.Matches(text, pattern).Count

let private chromium =
    lazy
        (seq {
            for folder in (nonNull (Environment.GetEnvironmentVariable "PATH")).Split Path.PathSeparator do
                for name in [ "chromium"; "chromium-browser"; "google-chrome" ] -> Path.Combine(folder, name)
         }
         |> Seq.tryFind File.Exists)

/// The page as a headless browser of a width has it after its scripts ran.
let private rendered (html: string) (width: int) (dark: bool) =
    match chromium.Value with
    | None -> skiptest "no chromium in PATH"
    | Some program ->
        SampleRun.inFolder (fun dir ->
            let file = Path.Combine(dir, "report.html")
            File.WriteAllText(file, html)
            let arguments =
                [ "--headless"
                  "--no-sandbox"
                  "--disable-gpu"
                  $"--user-data-dir={dir}/profile"
                  $"--window-size={width},900"
                  "--virtual-time-budget=10000"
                  "--dump-dom"
                  if dark then "--blink-settings=preferredColorScheme=0"
                  Uri(file).AbsoluteUri ]
            let start = ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true)
            use child = nonNull (Process.Start start)
            let output, error = child.StandardOutput.ReadToEndAsync(), child.StandardError.ReadToEndAsync()
            if not (child.WaitForExit 120_000) then
                child.Kill true
                failtest "the browser did not end within two minutes"
            Expect.equal child.ExitCode 0 error.Result
            // The root element's attributes, then what a reader sees.
            Regex.Match(output.Result, "<html[^>]*>").Value, visible output.Result)

let private full = lazy (page SampleRun.writeAll)

[<Tests>]
let tests =
    testList
        "Report"
        [ test "the page asks nobody for anything" {
              let html = full.Value
              Expect.stringContains html "Content-Security-Policy\" content=\"default-src 'none';" "policy"
              Expect.equal (count "(src|href|action)=\"(?!#)" (visible html)) 0 "no address outside the page"
              Expect.equal (count "<script[^>]*\\ssrc" html) 0 "no script from elsewhere"
              Expect.isGreaterThan html.Length 3_000_000 "plotly.js is inside"
          }
          test "each script element is closed once, whatever its content says" {
              let html = full.Value
              Expect.equal (count "<script" (visible html)) 0 "nothing left open"
              let hostile = SampleRun.tradeoff @ [ "</script><b>,0.1,3,3,3,0.5,0.4,0.6,0" ]
              let html = page (fun dir -> SampleRun.write dir "figure1b.csv" hostile)
              Expect.equal (count "</script><b>" html) 0 "the name cannot close the element"
              Expect.isTrue ((embedded "figures" html).GetRawText().Contains "u003c/script>") "but it is there"
          }
          test "there is one chart for each placeholder" {
              let html = full.Value
              let placeholders = [ for m in Regex.Matches(visible html, "class=\"chart\" id=\"([^\"]+)\"") -> m.Groups[1].Value ]
              let charts = [ for chart in (embedded "figures" html).EnumerateObject() -> chart.Name ]
              Expect.equal (set placeholders) (set charts) "ids"
              Expect.equal (List.length placeholders) 7 "trade-off, 2 instances, 2 reliability diagrams, 2 heat maps"
          }
          test "simulated instances are marked, recorded ones come first" {
              let shown = visible full.Value
              Expect.equal (count "class=\"badge\">simulated" shown) 1 "simulated"
              Expect.equal (count "class=\"badge measured\">recorded" shown) 1 "recorded"
              Expect.isLessThan (shown.IndexOf "<h3>Recorded cascade") (shown.IndexOf "<h3>Simulated: n4") "order"
              Expect.stringContains shown "<strong>Simulated</strong>, with queries drawn from a known distribution" "in words"
          }
          test "the slider has our points by rising lambda with shares and thresholds" {
              let settings = [ for s in (embedded "settings" full.Value).EnumerateArray() -> s ]
              Expect.equal (settings |> List.map (fun s -> s.GetProperty("lambda").GetString())) [ "0.01"; "0.02"; "0.1" ] "lambdas"
              let stops = [ for s in settings[0].GetProperty("stops").EnumerateArray() -> s ]
              Expect.equal (stops |> List.map (fun s -> s.GetProperty("share").GetDouble())) [ 0.25; 0.75 ] "shares"
              Expect.equal (stops[0].GetProperty("threshold").GetDouble()) 0.9 "threshold"
              Expect.equal (stops[1].GetProperty("threshold").ValueKind) JsonValueKind.Null "the last stage has none"
              Expect.equal (settings[1].GetProperty("stops").GetArrayLength()) 0 "no shares for this lambda"
          }
          test "the chart data are the numbers of the table" {
              let traces = [ for t in (embedded "figures" full.Value).GetProperty("tradeoff").GetProperty("data").EnumerateArray() -> t ]
              let main =
                  traces
                  |> List.find (fun t ->
                      match t.TryGetProperty "name" with
                      | true, name -> name.GetString() = "default"
                      | _ -> false)
              Expect.equal [ for x in main.GetProperty("x").EnumerateArray() -> x.GetDouble() ] [ 2.0; 4.0; 6.0 ] "costs"
              Expect.equal [ for y in main.GetProperty("y").EnumerateArray() -> y.GetDouble() ] [ 0.7; 0.86; 0.9 ] "qualities"
          }
          test "each cell of a heat map has its own text, and an empty cell has no number" {
              let map = (embedded "figures" full.Value).GetProperty("accuracy-1").GetProperty("data")[0]
              let rows (name: string) =
                  [ for row in map.GetProperty(name).EnumerateArray() -> [ for cell in row.EnumerateArray() -> cell.ToString() ] ]
              Expect.equal (rows "z") [ [ "0.8"; "NaN" ] ] "accuracies"
              let texts = List.exactlyOne (rows "hovertext")
              Expect.stringContains texts[0] "level 1<br>accuracy 0.800 on 40 queries<br>12.5 tokens" "first cell"
              Expect.stringContains texts[1] "level 2<br>accuracy – on 0 queries" "empty cell"
          }
          test "parts that were not run are left out" {
              let shown = visible (page (fun dir -> SampleRun.write dir "figure1b.csv" SampleRun.tradeoff))
              Expect.equal (count "<section id=" shown) 1 "sections"
              Expect.stringContains shown "Nothing on this page is simulated." "provenance"
          }
          test "text of the files is escaped" {
              let html =
                  page (fun dir ->
                      SampleRun.write dir "figure1b.csv" SampleRun.tradeoff
                      SampleRun.write dir "manifest.json" [ """{"note": "<img src=x onerror=alert(1)> & co"}""" ])
              Expect.stringContains html "&lt;img src=x onerror=alert(1)&gt; &amp; co" "manifest"
          }
          testSequenced (
              testList
                  "in a browser"
                  [ for width, dark in [ 1280, false; 390, false; 1280, true ] do
                        testCase $"""{width} pixels wide, {if dark then "dark" else "light"}""" (fun () ->
                            let root, shown = rendered full.Value width dark
                            Expect.stringContains root "data-charts=\"7\"" "all charts are drawn"
                            Expect.stringContains root "data-fits=\"true\"" "nothing sticks out to the right"
                            Expect.stringContains shown "Quality 0.8" "the slider's text is filled in"
                            Expect.stringContains shown "id=\"lambda-value\">0.02<" "at the price in the middle") ]
          ) ]
