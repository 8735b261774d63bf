/// Every program under samples is built with the tests and runs here.
module Samples.Tests.SampleTests

open System
open System.Diagnostics
open System.IO
open System.Net.Http
open System.Net.Http.Json
open System.Text.RegularExpressions
open System.Threading.Tasks
open Expecto
open OptimalStopping.Samples

let private root = Support.Repository.root

/// What a sample prints when it runs in the root of the repository, as its comment says.
let private output (main: unit -> Task) : string =
    let before, folder = Console.Out, Directory.GetCurrentDirectory()
    use output = new StringWriter()
    try
        Console.SetOut output
        Directory.SetCurrentDirectory root
        main().Wait()
    finally
        Console.SetOut before
        Directory.SetCurrentDirectory folder
    output.ToString()

/// A number that follows a text.
let private numberAfter (text: string) (output: string) =
    let found = Regex.Match(output, Regex.Escape text + @"\s*([0-9]+(\.[0-9]+)?)")
    Expect.isTrue found.Success $"expected '{text}' and a number in: {output}"
    Double.Parse(found.Groups[1].Value, Globalization.CultureInfo.InvariantCulture)

[<Tests>]
let tests =
    // In sequence: the console and the current folder are the process's.
    testSequenced
    <| testList
        "Programs"
        [ test "ChatConsole, the program of tutorial-dotnet.md" {
              let page = File.ReadAllText(Path.Combine(root, "docs", "tutorial-dotnet.md"))
              let program =
                  File.ReadAllLines(Path.Combine(root, "samples", "ChatConsole", "Program.cs")) |> Array.map _.Trim() |> Set.ofArray
              let blocks = Regex.Matches(page, @"(?ms)^```csharp\r?\n(.*?)^```")
              Expect.isGreaterThan blocks.Count 2 "blocks of code on the page"
              for block in blocks do
                  for line in block.Groups[1].Value.Split('\n') do
                      Expect.isTrue (program.Contains(line.Trim())) $"the program has the line: {line}"
              let printed = output ChatConsole.Program.Main
              Expect.stringContains printed "10277 queries, drafts of" "the sample size"
              Expect.stringContains printed "Paris. (stage" "the answer"
              Expect.stringContains printed "from miniature-" "the chat client's"
          }

          test "CustomPolicy" {
              let printed = output CustomPolicy.Program.Main
              let quality = numberAfter "second opinion: quality" printed
              Expect.isGreaterThan quality (numberAfter "planned: quality" printed - 0.1) "a sensible policy"
              Expect.isLessThan (numberAfter $"second opinion: quality {quality:F3}, cost" printed) 17.5 "which does not ask every model"
              Expect.stringContains printed "Madrid. after" "the live answer"
          }

          test "CustomBackend" {
              let printed = output CustomBackend.Program.Main
              Expect.stringContains printed "add 963+447= #1410 by calculator for 0.01" "what the backend computes"
              Expect.isMatch printed @"last kfa,zob= .*#zob by nano-3 for 4\.51" "what it leaves to the model"
          }

          test "AspNetHost answers, whole and streamed" {
              let folder = Directory.GetCurrentDirectory()
              try
                  Directory.SetCurrentDirectory root
                  use app = AspNetHost.Program.Build [| "--urls"; "http://127.0.0.1:0"; "--Logging:LogLevel:Default=Warning" |]
                  app.StartAsync().Wait()
                  use client = new HttpClient(BaseAddress = Uri(Seq.head app.Urls))
                  let answer = client.GetFromJsonAsync<AspNetHost.Answer>("/answer?prompt=What+is+the+capital+of+France%3F").Result
                  Expect.stringContains (nonNull answer).Text "Paris" "the answer"
                  Expect.stringStarts (nonNull answer).Stage "miniature-" "who gave it"
                  let events = client.GetStringAsync("/stream?prompt=What+is+the+capital+of+France%3F").Result
                  let text = Regex.Matches(events, @"(?m)^data: (.*)$") |> Seq.map _.Groups[1].Value |> String.concat ""
                  Expect.equal text (nonNull answer).Text "the same, in pieces"
                  app.StopAsync().Wait()
              finally
                  Directory.SetCurrentDirectory folder
          }

          test "theory.fsx" {
              let start =
                  ProcessStartInfo(
                      "dotnet",
                      [| "fsi"; "--quiet"; $"--lib:{AppContext.BaseDirectory}"; Path.Combine(root, "samples", "theory.fsx") |]
                  )
              start.RedirectStandardOutput <- true
              start.RedirectStandardError <- true
              use child = nonNull (Process.Start start)
              let printed, error = child.StandardOutput.ReadToEndAsync(), child.StandardError.ReadToEndAsync()
              child.WaitForExit()
              Expect.equal child.ExitCode 0 $"{printed.Result}{error.Result}"
              // By hand: bins 0 and 1 go on (0.577 - 0.1 > 0.2; 0.771 - 0.1 > 0.6), bin 2 stops (0.936 - 0.1 < 0.9).
              Expect.equal (numberAfter "from bin" printed.Result) 2.0 "the threshold"
              Expect.floatClose
                  Accuracy.low
                  (numberAfter "best policy:" printed.Result)
                  (round (1000.0 * (0.3 * 0.477 + 0.3 * 0.671 + 0.4 * 0.9)) / 1000.0)
                  "its value"
              Expect.isGreaterThan (numberAfter "graded queries:" printed.Result) 100.0 "a sample size"
          } ]
