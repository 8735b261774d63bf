/// Greedy choice against a plain search.
module Runtime.Tests.Models.GreedyTests

open System
open Expecto
open OptimalStopping.Runtime.Models

[<Tests>]
let tests =
    testCase "Greedy chooses the first of the greatest logits, at every length" (fun () ->
        let random = Random 8
        for length in [ 1; 2; 15; 16; 17; 31; 32; 33; 64; 300 ] do
            for _ in 1..50 do
                let logits = Array.init length (fun _ -> float32 (random.Next(-5, 6)))
                Expect.equal (Greedy.Choose logits) (Array.findIndex ((=) (Array.max logits)) logits) $"{length} logits"
        Expect.equal (Greedy.Choose(ReadOnlySpan(Array.create 20 Single.NegativeInfinity))) 0 "nothing is possible"
        Expect.throwsT<ArgumentException> (fun () -> Greedy.Choose(ReadOnlySpan<float32>.Empty) |> ignore) "no logit")
