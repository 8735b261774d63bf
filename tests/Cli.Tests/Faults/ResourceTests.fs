/// Faults of the system around a command, made for real: a full disk, a file-size limit, a folder that cannot be written
/// to, a second process on the same folder, Ctrl-C.
module Cli.Tests.Faults.ResourceTests

open System
open System.Diagnostics
open System.IO
open Expecto
open Cli.Tests
open Cli.Tests.Faults.RandomRun

/// The shortest run with models, calibration, tables and report.
let private both = [ collect; run "statistical" ]

/// A folder inside the one that the test was given.
let private inside (folder: string) (name: string) = Directory.CreateDirectory(Path.Combine(folder, name)).FullName

/// .NET's own memory is a mapped file, which the limit would hit too unless write-xor-execute is off.
let private limited (kibibytes: int) = $"trap '' XFSZ; export DOTNET_EnableWriteXorExecute=0; ulimit -f {kibibytes}; exec \"$@\""

/// Whether this user can mount a file system in a namespace of its own.
let private canMount =
    lazy
        (OperatingSystem.IsLinux()
         && (let info =
                 ProcessStartInfo(
                     "bash",
                     [ "-c"; "d=$(mktemp -d) && unshare -rm mount -t tmpfs none $d; code=$?; rmdir $d; exit $code" ],
                     RedirectStandardError = true
                 )
             use probe = nonNull (Process.Start info)
             probe.WaitForExit()
             probe.ExitCode = 0))

let private onlyWithMounts () = if not canMount.Value then skiptest "this system lets this user mount nothing (unshare -rm)"

let private onlyUnix () = if OperatingSystem.IsWindows() then skiptest "needs a Unix shell"

/// A script that runs the toolkit with a small disk of its own at a folder, and copies what is on it to another folder.
let private onSmallDisk (kibibytes: int) (disk: string) (copy: string) =
    $"exec unshare -rm bash -c 'mount -t tmpfs -o size={kibibytes}k none {disk}; \"$@\"; code=$?; cp -a {disk}/. {copy}; exit $code' bash \"$@\""

let private readOnlyDisk (disk: string) = $"exec unshare -rm bash -c 'mount -t tmpfs -o ro none {disk}; exec \"$@\"' bash \"$@\""

let private full =
    testList
        "full disk"
        [ for command in both do
              test $"{command.Name} on a full disk says so, keeps the records, and goes on when there is room" {
                  onlyWithMounts ()
                  inNewFolder (fun folder ->
                      let expected = undisturbed command
                      let disk, out = inside folder "disk", inside folder "out"
                      let error = Toolkit.startIn (onSmallDisk 200 disk out) (command.First disk) |> Toolkit.finish |> failure
                      Expect.stringContains
                          error
                          (recordsOf disk + ": expected a place to write to, got: No space left on device")
                          "says where and why"
                      Expect.isGreaterThan (FileInfo(recordsOf out).Length) 100_000L "the disk was full of records"
                      expectNothingHalf expected out "full disk"
                      expectGoesOn command expected out)
              }
          test "run with room for the records but not for the report: the report is missing, nothing is half, --resume completes it" {
              onlyUnix ()
              inNewFolder (fun folder ->
                  let command = run "statistical"
                  let expected = undisturbed command
                  let out = inside folder "out"
                  let sizes = Directory.GetFiles expected |> Array.map (fun f -> FileInfo(f).Length) |> Array.sortDescending
                  Expect.isGreaterThan sizes[0] (2L * sizes[1]) "one file, the report, is larger than all others"
                  let error = Toolkit.startIn (limited (int (sizes[0] / 2L / 1024L))) (command.First out) |> Toolkit.finish |> failure
                  Expect.stringContains
                      error
                      (Path.Combine(out, "report.html") + ": expected a place to write to, got: the file would be larger")
                      "says where and why"
                  Expect.isFalse (File.Exists(Path.Combine(out, "report.html"))) "no report"
                  Expect.isEmpty (Directory.GetFiles(out, "*.part")) "no rest of it"
                  expectNothingHalf expected out "limit"
                  expectGoesOn command expected out)
          }
          test "collect under a file-size limit says so, keeps the records, and goes on without it" {
              onlyUnix ()
              inNewFolder (fun folder ->
                  let command = collect
                  let expected = undisturbed command
                  let out = inside folder "out"
                  let error = Toolkit.startIn (limited 100) (command.First out) |> Toolkit.finish |> failure
                  Expect.stringContains
                      error
                      (recordsOf out + ": expected a place to write to, got: the file would be larger")
                      "says where and why"
                  Expect.equal (FileInfo(recordsOf out).Length) 102_400L "written up to the limit, in the middle of a record"
                  expectNothingHalf expected out "limit"
                  expectGoesOn command expected out)
          }
          test "collect into a device that is always full" {
              if not (File.Exists "/dev/full") then skiptest "there is no /dev/full"
              let error = Toolkit.run [ "collect"; "--config"; config (); "--out"; "/dev/full" ] |> failure
              Expect.stringContains error "/dev/full: expected a place to write to, got: No space left on device" "says where and why"
          } ]

let private readOnly =
    testList
        "read-only"
        [ test "every command that writes, on a read-only disk: one line with the place, nothing else" {
              onlyWithMounts ()
              inNewFolder (fun folder ->
                  let disk = inside folder "disk"
                  let at name = Path.Combine(disk, name)
                  let traces = Path.Combine(folder, "traces.jsonl")
                  File.WriteAllLines(traces, Support.TraceFiles.cascade 60 4)
                  for arguments in
                      [ [ "collect"; "--config"; config (); "--out"; at "records.jsonl" ]
                        [ "run"; "--config"; config (); "--out"; at "run" ]
                        [ "run"; "--traces"; traces; "--out"; disk ]
                        [ "evaluate"; "--traces"; traces; "--out"; at "evaluation" ] ] do
                      let error = Toolkit.startIn (readOnlyDisk disk) arguments |> Toolkit.finish |> failure
                      Expect.stringContains error disk $"{arguments.Head}: the place"
                      Expect.stringContains error "Read-only file system" $"{arguments.Head}: the reason")
          }
          test "a folder below a file: one line with the place" {
              let below = Path.Combine(config (), "out")
              for command in both do
                  let error = Toolkit.run (command.First below) |> failure
                  Expect.stringContains error below command.Name
          } ]

let private second =
    testList
        "second process"
        [ for command in both do
              test $"{command.Name} in a folder where another is at work is refused, and the other ends undisturbed" {
                  onlyUnix ()
                  inNewFolder (fun folder ->
                      let expected = undisturbed command
                      let out = inside folder "out"
                      let first = Toolkit.start 0 (command.First out)
                      waitUntil first (hasRecords out)
                      signal "STOP" first
                      Expect.isFalse first.HasExited "still at work"
                      let error = Toolkit.run (command.GoOn out) |> failure
                      signal "CONT" first
                      Expect.stringContains error out "the place"
                      Expect.stringContains error "is being used by another process" "the reason"
                      let result = Toolkit.finish first
                      Expect.equal (result.Code, result.Error) (0, "") "the first"
                      Expect.equal (contents out) (contents expected) "its bytes")
              }
          test "two that start at the same moment: at least one is refused or finds all done, and the bytes are those of one" {
              inNewFolder (fun folder ->
                  let command = collect
                  let expected = undisturbed command
                  for round in 1..3 do
                      let out = inside folder $"out{round}"
                      let both = [ for _ in 1..2 -> Toolkit.start 0 (command.First out) ] |> List.map Toolkit.finish
                      Expect.exists both (fun result -> result.Code = 0) "one does it"
                      for result in both do
                          if result.Code <> 0 then
                              Expect.stringContains (failure result) "is being used by another process" "the other says why"
                      Expect.equal (contents out) (contents expected) "the bytes of one")
          } ]

/// What a shell says of a program that the signal has ended.
let private codeOf (signal: string) = if signal = "INT" then 130 else 143

let private interrupt =
    testList
        "interrupt"
        [ for command in both do
              for kind, text in [ "INT", "Ctrl-C"; "TERM", "the end of a service" ] do
                  test $"{command.Name}, interrupted ({text}): one line that says how to go on, and it does" {
                      onlyUnix ()
                      inNewFolder (fun folder ->
                          let expected = undisturbed command
                          let out = inside folder "out"
                          // A shell in the background hands down an ignored SIGINT.
                          let running = Toolkit.startIn "exec env --default-signal=INT \"$@\"" (command.First out)
                          waitUntil running (hasRecords out)
                          signal kind running
                          let error = Toolkit.finish running |> failureWith (codeOf kind)
                          Expect.stringContains error "interrupted; " "interrupted"
                          Expect.stringContains
                              error
                              (if command.Name <> "collect" then "the same command with --resume goes on" else "the same command goes on")
                              "how"
                          expectNothingHalf expected out "interrupted"
                          expectGoesOn command expected out)
                  }
          for name in [ "evaluate"; "evaluate --seeds"; "evaluate --suite"; "calibrate"; "calibrate --check"; "import" ] do
              test $"{name}, interrupted at work (Ctrl-C): exit code 130 within five seconds, one line, nothing written" {
                  onlyUnix ()
                  inNewFolder (fun folder ->
                      let traces, logs = inside folder "traces", inside folder "logs"
                      let file, log = Path.Combine(traces, "traces.jsonl"), Path.Combine(logs, "log.csv")
                      let out = Path.Combine(folder, "out")
                      let policy = Path.Combine(out, "policy.json")
                      if name = "import" then
                          File.WriteAllLines(
                              log,
                              seq {
                                  "id,model,cost,quality"
                                  for q in 1..1_500_000 do
                                      $"q{q},m{q % 3},1,1"
                              }
                          )
                      else
                          File.WriteAllLines(file, Support.TraceFiles.cascade 6000 4)
                      let arguments =
                          match name with
                          | "evaluate" -> [ "evaluate"; "--traces"; file; "--out"; out; "--resamples"; "50000" ]
                          | "evaluate --seeds" -> [ "evaluate"; "--traces"; file; "--out"; out; "--seeds"; "50" ]
                          | "evaluate --suite" -> [ "evaluate"; "--suite"; traces; "--resamples"; "50000" ]
                          | "calibrate" -> [ "calibrate"; "--traces"; file; "--out"; policy ]
                          | "calibrate --check" -> [ "calibrate"; "--traces"; file; "--check"; "5000" ]
                          | _ -> [ "import"; log; "--out"; policy ]
                      // Ctrl-C before the program listens for it ends it by the system's own hand: then later.
                      let rec interrupted (milliseconds: int) =
                          let running = Toolkit.startIn "exec env --default-signal=INT \"$@\"" arguments
                          Threading.Thread.Sleep milliseconds
                          Expect.isFalse running.HasExited $"still at work after {milliseconds} ms"
                          let clock = Stopwatch.StartNew()
                          signal "INT" running
                          let result = Toolkit.finish running
                          if result.Error = "" then interrupted (milliseconds + milliseconds / 2) else clock.Elapsed, result
                      let taken, result = interrupted 600
                      Expect.equal (failureWith 130 result) "toolkit: interrupted" "one line"
                      Expect.equal result.Out "" "nothing printed"
                      Expect.isLessThan taken.TotalSeconds 5.0 "at once"
                      Expect.isFalse
                          (Directory.Exists out && Directory.EnumerateFileSystemEntries out |> Seq.isEmpty |> not)
                          "nothing written")
              } ]

[<Tests>]
let tests = testList "Faults.Resources" [ full; readOnly; second; interrupt ]
