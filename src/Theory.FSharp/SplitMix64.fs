namespace OptimalStopping.Theory

open System

/// SplitMix64 (Steele, Lea and Flood 2014): a 64-bit generator whose bytes are the same on every platform and runtime.
/// Resampling draws tens of millions of indices, which is where System.Random's seeded (compatible, slow) form hurts.
/// Not safe for use by several threads at once.
[<Sealed>]
type SplitMix64(seed: uint64) =
    let mutable state = seed

    /// All there is to know of the generator: `SplitMix64(generator.State)` goes on where it stands.
    member _.State: uint64 = state

    /// The next 64 uniform bits.
    member _.NextUInt64() : uint64 =
        state <- state + 0x9E3779B97F4A7C15UL
        let z = (state ^^^ (state >>> 30)) * 0xBF58476D1CE4E5B9UL
        let z = (z ^^^ (z >>> 27)) * 0x94D049BB133111EBUL
        z ^^^ (z >>> 31)

    /// A uniform index in 0 .. bound-1, for bound >= 1 (multiply-shift; its bias is below bound / 2^64).
    member this.NextIndex(bound: int) : int =
        let mutable low = 0UL
        int (Math.BigMul(this.NextUInt64(), uint64 bound, &low))

    /// A uniform number in [0, 1) with 53 bits.
    member this.NextDouble() : float = float (this.NextUInt64() >>> 11) * (1.0 / 9007199254740992.0)
