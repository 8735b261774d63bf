/// What a reader may do with any bytes: accept them, or refuse them with the documented error in one line that names
/// the place. Anything else is a finding: another exception, a message without a place, more than a second, too much
/// memory.
module Fuzz.Oracle

open System
open System.Diagnostics
open System.IO
open OptimalStopping.Runtime

type Verdict =
    | Accepted
    | Refused
    | Finding of string

/// Managed memory that one input may allocate: what every reader needs for its buffers, and so much per byte.
let private allowance (length: int) = 16L * 1024L * 1024L + 2000L * int64 length

let private longest = TimeSpan.FromSeconds 1.0

/// The most address space that this process has had, in bytes; it counts memory outside the managed heap. Linux only.
let peakAddressSpace () : int64 =
    if not (OperatingSystem.IsLinux()) then
        0L
    else
        File.ReadLines "/proc/self/status"
        |> Seq.tryFind (fun line -> line.StartsWith("VmPeak:", StringComparison.Ordinal))
        |> Option.map (fun line -> 1024L * Int64.Parse(line.Substring(7).Replace("kB", "").Trim()))
        |> Option.defaultValue 0L

let private fault (file: string) (message: string) : Verdict =
    // An index may name other files of its folder, in which the fault then is.
    let place = nonNull (Path.GetDirectoryName file)
    if not (message.StartsWith(place, StringComparison.Ordinal)) then
        Finding $"the message does not begin with the file: {message}"
    elif not (message.Contains "expected ") then
        Finding $"the message does not say what was expected: {message}"
    elif message |> Seq.exists Char.IsControl then
        Finding $"the message holds control characters: {message}"
    elif message.Length > 1000 then
        Finding $"the message has {message.Length} characters: {message.Substring(0, 300)}..."
    else
        Refused

let private once (read: string -> unit) (place: string) : Verdict =
    try
        read place
        Accepted
    with
    | :? ToolkitException as e -> fault place e.Message
    | e -> Finding $"{e.GetType().Name}: {e.Message}\n{e.StackTrace}"

/// Reads the file, which holds `length` bytes. `native` also watches memory outside the managed heap.
let judge (read: string -> unit) (native: bool) (place: string) (length: int) : Verdict =
    let timed () =
        let watch = Stopwatch.StartNew()
        let verdict = once read place
        struct (verdict, watch.Elapsed)
    let before, peak = GC.GetAllocatedBytesForCurrentThread(), (if native then peakAddressSpace () else 0L)
    let struct (verdict, elapsed) = timed ()
    let allocated = GC.GetAllocatedBytesForCurrentThread() - before
    let grown = if native then peakAddressSpace () - peak else 0L
    match verdict with
    | Finding _ -> verdict
    | _ when allocated > allowance length -> Finding $"allocated {allocated} bytes for an input of {length}"
    | _ when grown > 64L * 1024L * 1024L + allowance length -> Finding $"the address space grew by {grown} bytes for an input of {length}"
    // Another process may have had the processor: three times in a row it is the reader.
    | _ when elapsed > longest && List.forall (fun _ -> (let struct (_, again) = timed () in again > longest)) [ 1; 2 ] ->
        Finding $"took {elapsed.TotalSeconds:F1} seconds for an input of {length} bytes"
    | _ -> verdict
