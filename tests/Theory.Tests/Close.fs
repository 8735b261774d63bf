/// Comparison of floating-point results, shared by the tests of the theory.
module Theory.Tests.Close

open Expecto

/// Fails unless |actual - expected| <= tolerance (NaN fails).
let within tolerance (actual: float) (expected: float) message =
    Expect.isTrue (abs (actual - expected) <= tolerance) $"{message}: got {actual}, expected {expected} within {tolerance}"

/// The same for arrays, entry by entry.
let allWithin tolerance (actual: float[]) (expected: float[]) message =
    Expect.equal actual.Length expected.Length $"{message}: length"
    Array.iteri2 (fun i a e -> within tolerance a e $"{message}[{i}]") actual expected

/// Fails unless the action throws ArgumentException (or a kind of it).
let rejects (action: unit -> unit) message =
    let thrown =
        try
            action ()
            false
        with :? System.ArgumentException ->
            true
    Expect.isTrue thrown $"{message} should be rejected"

/// Fails unless a record written as JSON and read back is the same record.
let survivesJson (record: 'a) =
    let text = System.Text.Json.JsonSerializer.Serialize record
    let back = System.Text.Json.JsonSerializer.Deserialize(text, typeof<'a>)
    Expect.isTrue (box record = back) $"read back from {text}"
