/// The long run: `dotnet run --project tests/Fuzz -c Release -- [--target NAME] [--inputs N] [--seed S] [--out FOLDER]`.
/// Each target is searched in a process of its own, so that a crash or a hang is a finding like any other; the input of
/// each finding is written to the folder. Without a command line of ours, Expecto's (--filter, ...) runs the suite's part.
module Fuzz.Program

open System
open System.Diagnostics
open System.IO
open System.IO.MemoryMappedFiles
open Fuzz.Targets

let private value (argv: string[]) (name: string) : string option =
    match Array.tryFindIndex ((=) name) argv with
    | Some i when i + 1 < argv.Length -> Some argv[i + 1]
    | _ -> None

let private save (folder: string) (target: Target) (seed: int) (number: int64) (what: string) =
    let at = Path.Combine(folder, target.Name)
    Directory.CreateDirectory at |> ignore
    let path = Path.Combine(at, $"{seed}-{number}")
    File.WriteAllBytes(path, Search.input target seed number)
    File.WriteAllText(path + ".txt", what)
    printfn "FINDING %s, seed %d, input %d: %s" target.Name seed number (what.Split('\n')[0])

/// The child: searches, with the number of the present input in a mapped file that outlives it.
let private child (target: Target) (seed: int) (first: int64) (count: int64) (state: string) (out: string) : int =
    use map = MemoryMappedFile.CreateFromFile(state, FileMode.OpenOrCreate, null, 8L)
    use view = map.CreateViewAccessor()
    let watch = Stopwatch.StartNew()
    let tally = Search.run target seed first count 20 (fun number -> view.Write(0L, number))
    for struct (number, what) in tally.Findings do
        save out target seed number what
    printfn
        "%-18s seed %d, inputs %d to %d: %d accepted, %d refused, %d findings, %.0f s"
        target.Name
        seed
        first
        (first + tally.Accepted + tally.Refused + int64 tally.Findings.Count - 1L)
        tally.Accepted
        tally.Refused
        tally.Findings.Count
        watch.Elapsed.TotalSeconds
    if tally.Findings.Count > 0 then 1 else 0

/// The parent: starts the child, and again after the input at which it crashed or hung.
let private search (target: Target) (seed: int) (count: int64) (out: string) : int =
    let state = Path.GetTempFileName()
    File.WriteAllBytes(state, Array.zeroCreate 8)
    let current () =
        use file = new FileStream(state, FileMode.Open, FileAccess.Read, FileShare.ReadWrite)
        let bytes: byte[] = Array.zeroCreate 8
        file.ReadExactly(bytes, 0, 8)
        BitConverter.ToInt64(bytes, 0)
    let mutable first, worst, crashes = 0L, 0, 0
    while first < count && crashes < 10 do
        let start = ProcessStartInfo(nonNull Environment.ProcessPath)
        if not ((nonNull Environment.ProcessPath).EndsWith "Fuzz") then
            start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "Fuzz.dll"))
        for argument in
            [ "--child"
              target.Name
              "--seed"
              string seed
              "--first"
              string first
              "--inputs"
              string (count - first)
              "--state"
              state
              "--out"
              out ] do
            start.ArgumentList.Add argument
        // glibc reserves 128 MiB of addresses for each new thread's memory; the oracle looks at what readers take.
        start.Environment["MALLOC_ARENA_MAX"] <- "1"
        use running = nonNull (Process.Start start)
        let mutable seen, since, hung = -1L, TimeSpan.Zero, false
        while not (running.WaitForExit 500) && not hung do
            let now = current ()
            // Its own processor time: what other processes take does not count.
            if now <> seen then
                seen <- now
                since <- running.TotalProcessorTime
            elif (running.TotalProcessorTime - since).TotalSeconds > 10.0 then
                hung <- true
                running.Kill()
                running.WaitForExit()
        if not hung && (running.ExitCode = 0 || running.ExitCode = 1) then
            worst <- max worst running.ExitCode
            first <- count
        else
            save
                out
                target
                seed
                (current ())
                (if hung then "hangs: 10 seconds of processor time" else $"ends the process with exit code {running.ExitCode}")
            worst <- 1
            crashes <- crashes + 1
            first <- current () + 1L
    File.Delete state
    worst

[<EntryPoint>]
let main argv =
    let number name (otherwise: int64) = value argv name |> Option.map int64 |> Option.defaultValue otherwise
    let find name =
        all
        |> List.tryFind (fun t -> t.Name = name)
        |> Option.defaultWith (fun () ->
            eprintfn "fuzz: --target: expected one of %s, got '%s'" (String.Join(", ", all |> List.map _.Name)) name
            exit 2)
    let seed, count = int (number "--seed" 1L), number "--inputs" 1_000_000L
    let out = value argv "--out" |> Option.defaultValue (Path.Combine("results", "fuzz"))
    match value argv "--child" with
    | Some name -> child (find name) seed (number "--first" 0L) count (value argv "--state" |> Option.defaultValue "") out
    | None when argv |> Array.exists (fun a -> a = "--target" || a = "--inputs" || a = "--all") ->
        let targets =
            match value argv "--target" with
            | Some name -> [ find name ]
            | None -> all
        targets |> List.map (fun target -> search target seed count out) |> List.max
    | None -> Support.Runner.runAll argv (System.Reflection.Assembly.GetExecutingAssembly())
