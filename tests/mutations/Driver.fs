/// The program of the mutated copy, in the place of the tests' own: switches one mutant on at a time in one process and asks the
/// tests that reach it, the quickest first, until one fails. Copied by sample.fsx; not part of the solution.
/// Arguments: folder of the lists, seconds for all mutants (what is measured first not counted), seconds of tests for one mutant, [only this mutant, on from the start].
module Theory.Tests.Program

open System
open System.Collections.Generic
open System.Diagnostics
open System.IO
open System.Reflection
open System.Runtime.CompilerServices
open System.Threading
open Expecto
open OptimalStopping.Theory

let suite = Support.Runner.discover (Assembly.GetExecutingAssembly()) |> Test.toTestCodeList |> Seq.toArray

let nameOf (test: FlatTest) = String.Join(".", test.name)

let execute (code: TestCode) =
    match code with
    | Sync test -> test ()
    | SyncWithCancel test -> test CancellationToken.None
    | Async test -> Async.RunSynchronously test
    | AsyncFsCheck(config, _, test) -> test (defaultArg config FsCheckConfig.defaultConfig) |> Async.RunSynchronously

/// When the test under way must have ended; a test that runs on is stopped by an exception at the next site that it reaches,
/// and if it reaches none, the program ends and is started again behind that mutant.
let mutable deadline = Int64.MaxValue
let mutable onHang = ignore
let grace = 10000L

let watch () =
    while true do
        Thread.Sleep 200
        let late = Environment.TickCount64 - Volatile.Read(&deadline)
        if late > grace then
            onHang ()
            exit 75
        elif late > 0L then
            Mutations.active <- -2

/// True when the test passes with the mutant on; a test that takes 20 times as long as without a mutant fails.
let passes mutant (seconds: float) test =
    Volatile.Write(&deadline, Environment.TickCount64 + grace + int64 (20000.0 * seconds))
    Mutations.active <- mutant
    let passed =
        try
            execute test.test
            Mutations.active <> -2
        with _ ->
            false
    Volatile.Write(&deadline, Int64.MaxValue)
    Mutations.active <- 0
    passed

/// For each test its seconds without a mutant and the sites that it reaches; NaN seconds where it fails without one.
let measure (folder: string) =
    let file = Path.Combine(folder, "reached.tsv")
    if not (File.Exists file) then
        // What is computed once and kept (static values) is computed here: mutants of it need a process of their own.
        Mutations.active <- -1
        for assembly in [ typeof<SplitMix64>.Assembly; Assembly.GetExecutingAssembly() ] do
            for kind in assembly.GetTypes() do
                if not kind.ContainsGenericParameters then
                    try
                        RuntimeHelpers.RunClassConstructor kind.TypeHandle
                    with _ ->
                        ()
        let reached () =
            let numbers =
                [| for i in 0 .. Mutations.seen.Length - 1 do
                       if Mutations.seen[i] then string i |]
            Array.Clear Mutations.seen
            String.Join(" ", numbers)
        let lines = List<string>()
        lines.Add $"0\tstatic\t{reached ()}"
        for test in suite do
            let clock = Stopwatch.StartNew()
            let passed = passes -1 600.0 test
            let seconds = if passed then clock.Elapsed.TotalSeconds else nan
            if not passed then eprintfn "without a mutant this fails: %s" (nameOf test)
            lines.Add $"{seconds}\t{nameOf test}\t{reached ()}"
        File.WriteAllLines(file, lines)
    [| for line in File.ReadAllLines file ->
           let cells = line.Split '\t'
           float cells[0], (if cells[2] = "" then Set.empty else cells[2].Split ' ' |> Seq.map int |> set) |]

[<EntryPoint>]
let main argv =
    let folder, seconds, each = argv[0], float argv[1], float argv[2]
    let results = Path.Combine(folder, "results.tsv")
    let say (mutant: int) (status: string) (by: string) = File.AppendAllLines(results, [ $"{mutant}\t{status}\t{by}" ])
    let watcher = Thread(watch, IsBackground = true)
    watcher.Start()
    let measured = measure folder
    let clock = Stopwatch.StartNew()
    let statics = snd measured[0]
    let ask mutant =
        let candidates =
            [| for i in 0 .. suite.Length - 1 do
                   let cost, reached = measured[i + 1]
                   if not (Double.IsNaN cost) && (reached.Contains mutant || statics.Contains mutant) then cost, suite[i] |]
            |> Array.sortBy fst
        let mutable used, caught, left = 0.0, None, 0
        for cost, test in candidates do
            if caught.IsNone then
                // The quickest test is always asked.
                if used > 0.0 && used + cost > each then
                    left <- left + 1
                else
                    used <- used + cost
                    onHang <- fun () -> say mutant "caught" ("(does not end) " + nameOf test)
                    if not (passes mutant cost test) then caught <- Some(nameOf test)
        match caught with
        | Some name -> say mutant "caught" name
        | None when candidates.Length = 0 -> say mutant "unreached" ""
        | None -> say mutant "survives" $"{candidates.Length - left} tests asked, {left} not"
    if argv.Length > 3 then
        ask (int argv[3])
    else
        let known =
            if File.Exists results then
                File.ReadAllLines results |> Seq.map (fun line -> int (line.Split('\t')[0])) |> set
            else
                Set.empty
        // A mutant that ended the program was begun and has no result: it is caught.
        let begun = Path.Combine(folder, "begun")
        let known =
            match if File.Exists begun then Int32.TryParse(File.ReadAllText begun) else (false, 0) with
            | true, mutant when not (known.Contains mutant) ->
                say mutant "caught" "(the program crashed)"
                known.Add mutant
            | _ -> known
        for mutant in File.ReadAllLines(Path.Combine(folder, "sites")) |> Seq.map int do
            if not (known.Contains mutant) && clock.Elapsed.TotalSeconds < seconds then
                if statics.Contains mutant then
                    say mutant "static" ""
                else
                    File.WriteAllText(begun, string mutant)
                    ask mutant
    0
