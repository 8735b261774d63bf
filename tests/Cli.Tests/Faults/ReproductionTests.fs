/// The same seed gives the same bytes with every set of instructions (one thread and two: ProgramTests), and
/// `run --reproduce` sees it when something is not the same.
module Cli.Tests.Faults.ReproductionTests

open System
open System.IO
open System.Globalization
open Expecto
open Cli.Tests
open Cli.Tests.Faults.RandomRun

/// The result files: all but the manifest, which names the machine, and the report, which shows it.
let private results (folder: string) = contents folder |> List.filter (fun (name, _) -> name <> "manifest.json" && name <> "report.html")

/// Environments in which the runtime compiles for less than the processor has.
let private lesser =
    [ "no AVX-512", [ "DOTNET_EnableAVX512", "0" ]
      "no AVX2", [ "DOTNET_EnableAVX2", "0" ]
      "no vectors", [ "DOTNET_EnableHWIntrinsic", "0" ] ]

/// What NEST's weights decide. It adds as many of them at once as a vector of the processor holds, so that the order of
/// its additions, and with it the last digits, change with the width.
let private nest = [ "figure1a.csv"; "figure1a_slopes.csv"; "regret_checks.csv"; "regret_claims.csv"; "regret_sizes.csv" ]

/// The same but for numbers that differ by less than 1e-6 of the larger of them and 1.
let private expectClose (expected: string) (out: string) (name: string) =
    let cells folder = (File.ReadAllText(Path.Combine(folder, name))).Split(',', '\n')
    let before, after = cells expected, cells out
    Expect.equal after.Length before.Length $"{name}: cells"
    for x, y in Array.zip before after do
        if x <> y then
            let a, b = Double.Parse(x, CultureInfo.InvariantCulture), Double.Parse(y, CultureInfo.InvariantCulture)
            Expect.isLessThan (abs (a - b)) (1e-6 * max 1.0 (max (abs a) (abs b))) $"{name}: {x} and {y}"

let private expectSame (name: string) (environment: (string * string) list) (command: Command) =
    let expected = undisturbed command
    // The vector figures write the digits of what they draw.
    let exact =
        List.filter (fun (file: string, _: string) -> not (List.contains file nest || file = "figure1a.svg" || file = "figure1a.pdf"))
    inNewFolder (fun out ->
        let result = Toolkit.finish (Toolkit.startWith environment (command.First out))
        Expect.equal (result.Code, result.Error) (0, "") name
        Expect.equal (exact (results out)) (exact (results expected)) name
        for file in nest do
            expectClose expected out file)

[<Tests>]
let tests =
    testList
        "Faults.Reproduction"
        [ for name, environment in lesser do
              testCase $"every experiment gives the same bytes with {name}, NEST's regret the same within 1e-6" (fun () ->
                  expectSame name environment (run "all"))
          testCase "run --reproduce: the same bytes, from the manifest alone" (fun () ->
              let first = undisturbed (run "statistical")
              inNewFolder (fun folder ->
                  let again = Path.Combine(folder, "again")
                  let result = Toolkit.run [ "run"; "--reproduce"; Path.Combine(first, "manifest.json"); "--out"; again ]
                  Expect.equal (result.Code, result.Error) (0, "") "the same"
                  let count = (contents again |> List.filter (fun (name, _) -> name.EndsWith ".csv" || name = "records.jsonl")).Length
                  Expect.stringContains result.Out $"{count} of {count} files are the same" "all of them"
                  Expect.isGreaterThan count 3 "files"))
          testCase "run --reproduce: another result, another model, a faulty manifest are each named" (fun () ->
              let first = undisturbed (run "statistical")
              let text = File.ReadAllText(Path.Combine(first, "manifest.json"))
              inNewFolder (fun folder ->
                  let manifest = Path.Combine(folder, "manifest.json")
                  let reproduce (text: string) =
                      File.WriteAllText(manifest, text)
                      Toolkit.run [ "run"; "--reproduce"; manifest; "--out"; Path.Combine(folder, "again") ]
                  let altered (name: string) =
                      let at = text.IndexOf($"\"{name}\": \"", StringComparison.Ordinal) + name.Length + 5
                      text.Substring(0, at) + String('0', 64) + text.Substring(at + 64)
                  let other = reproduce (altered "table1.csv")
                  Expect.stringContains other.Out "other bytes" "the file"
                  Expect.stringContains (failure other) "expected the same bytes in" "the whole"
                  let config = Path.GetRelativePath(Directory.GetCurrentDirectory(), config ())
                  Expect.stringContains (failure (reproduce (altered config))) "expected the file of the run" "an input"
                  Expect.stringContains (failure (reproduce "{}")) $"{manifest}: settings: expected an object, got nothing" "faulty"
                  let usage = Toolkit.run [ "run"; "--reproduce"; manifest; "--seed"; "2" ]
                  Expect.equal
                      (usage.Code, usage.Error)
                      (2, "toolkit: --seed: expected none with --reproduce, whose manifest decides it\n")
                      "usage")) ]
