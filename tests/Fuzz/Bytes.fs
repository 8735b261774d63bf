/// Random bytes and their mutations: what does not know the format.
module Fuzz.Bytes

open System

/// Numbers at which readers break: around zero, powers of two and the limits of each width.
let interestingNumbers: int64[] =
    [| 0L
       1L
       -1L
       2L
       3L
       7L
       8L
       15L
       16L
       31L
       32L
       63L
       64L
       127L
       128L
       255L
       256L
       4095L
       4096L
       32767L
       32768L
       65535L
       65536L
       1L <<< 20
       1L <<< 24
       (1L <<< 31) - 1L
       1L <<< 31
       (1L <<< 32) - 1L
       1L <<< 32
       1L <<< 40
       1L <<< 53
       1L <<< 62
       Int64.MaxValue
       Int64.MinValue
       Int64.MaxValue - 7L
       -2L
       -128L
       -32768L
       int64 Int32.MinValue |]

let pick (random: Random) (items: 'a[]) : 'a = items[random.Next items.Length]

/// True with the probability.
let chance (random: Random) (probability: float) : bool = random.NextDouble() < probability

/// A small number most of the time, now and then one up to the limit.
let size (random: Random) (limit: int) : int =
    let top = if chance random 0.9 then min limit 8 else limit
    random.Next(top + 1)

let private splice (bytes: byte[]) (at: int) (remove: int) (insert: byte[]) : byte[] =
    Array.concat [ bytes[.. at - 1]; insert; bytes[at + remove ..] ]

/// One mutation: a bit, a byte, a number, a cut, a copy, a token of the format, or a piece of another input.
let mutateOnce (random: Random) (dictionary: byte[][]) (other: byte[]) (bytes: byte[]) : byte[] =
    let n = bytes.Length
    if n = 0 then
        pick random dictionary
    else
        let at = random.Next n
        let length = min (n - at) (1 + size random 64)
        match random.Next 10 with
        | 0 -> bytes |> Array.mapi (fun i b -> if i = at then b ^^^ (1uy <<< random.Next 8) else b)
        | 1 -> bytes |> Array.mapi (fun i b -> if i = at then byte (random.Next 256) else b)
        | 2 ->
            let width = pick random [| 1; 2; 4; 8 |]
            let number = BitConverter.GetBytes(pick random interestingNumbers)[.. width - 1]
            splice bytes at (min width (n - at)) number
        | 3 -> bytes[.. at - 1]
        | 4 -> splice bytes at length [||]
        | 5 -> splice bytes at 0 bytes[at .. at + length - 1]
        | 6 -> splice bytes at 0 (pick random dictionary)
        | 7 -> splice bytes at length (pick random dictionary)
        | 8 when other.Length > 0 ->
            let from = random.Next other.Length
            splice bytes at (if chance random 0.5 then length else 0) other[from .. min (other.Length - 1) (from + size random 64)]
        | _ ->
            // A run of one byte or token, now and then a long one.
            let unit = if chance random 0.5 then [| bytes[at] |] else pick random dictionary
            splice bytes at 0 (Array.concat (Array.replicate (1 + size random 2000) unit))

/// One to five mutations.
let mutate (random: Random) (dictionary: byte[][]) (other: byte[]) (bytes: byte[]) : byte[] =
    let mutable result = bytes
    for _ in 0 .. size random 4 do
        result <- mutateOnce random dictionary other result
    result
