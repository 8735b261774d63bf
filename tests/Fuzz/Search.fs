/// The search: inputs by number, so that each can be made again from the target, the seed and the number.
module Fuzz.Search

open System
open System.IO
open Fuzz.Oracle
open Fuzz.Targets

/// The input with the number.
let input (target: Target) (seed: int) (number: int64) : byte[] =
    let mix = uint64 number * 0x9E3779B97F4A7C15UL + uint64 seed * 0xBF58476D1CE4E5B9UL
    target.Generate(Random(int ((mix ^^^ (mix >>> 31)) &&& 0x7FFFFFFFUL)))

type Tally = { mutable Accepted: int64; mutable Refused: int64; Findings: ResizeArray<struct (int64 * string)> }

/// A folder for the file that is read: in memory where the system has such a place.
let workFolder () : string =
    let root = if Directory.Exists "/dev/shm" then "/dev/shm" else Path.GetTempPath()
    Directory.CreateDirectory(Path.Combine(root, $"fuzz-{Guid.NewGuid():N}")).FullName

/// Judges the inputs `first` to `first + count - 1`; `starting` is told the number of each before it is read.
let run (target: Target) (seed: int) (first: int64) (count: int64) (mostFindings: int) (starting: int64 -> unit) : Tally =
    let folder = workFolder ()
    let path = Path.Combine(folder, target.File)
    let tally = { Accepted = 0L; Refused = 0L; Findings = ResizeArray() }
    try
        // What is allocated once, by the first input, is not that input's.
        File.WriteAllBytes(path, target.Generate(Random 0))
        judge target.Read target.Native path 0 |> ignore
        let mutable number = first
        while number < first + count && tally.Findings.Count < mostFindings do
            let bytes = input target seed number
            starting number
            File.WriteAllBytes(path, bytes)
            match judge target.Read target.Native path bytes.Length with
            | Accepted -> tally.Accepted <- tally.Accepted + 1L
            | Refused -> tally.Refused <- tally.Refused + 1L
            | Finding what -> tally.Findings.Add(struct (number, what.Replace(folder + "/", "")))
            number <- number + 1L
        tally
    finally
        Directory.Delete(folder, true)
