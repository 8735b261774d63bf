module Theory.Tests.SplitMix64Tests

open Expecto
open OptimalStopping.Theory

[<Tests>]
let tests =
    testList
        "Examples.SplitMix64"
        [ testCase "first outputs for seed 1234567 (Vigna's splitmix64.c, as listed on Rosetta Code)"
          <| fun () ->
              let random = SplitMix64 1234567UL
              let expected =
                  [ 6457827717110365317UL; 3203168211198807973UL; 9817491932198370423UL; 4593380528125082431UL; 16408922859458223821UL ]
              Expect.equal [ for _ in 1..5 -> random.NextUInt64() ] expected "stream"

          testCase "indices cover their range evenly and doubles stay in [0,1)"
          <| fun () ->
              let random = SplitMix64 7UL
              let counts = Array.zeroCreate 6
              for _ in 1..60000 do
                  let i = random.NextIndex 6
                  counts[i] <- counts[i] + 1
              // Six standard deviations of a binomial count are about 550.
              Expect.all counts (fun c -> abs (c - 10000) < 550) "counts"
              let uniforms = Array.init 10000 (fun _ -> random.NextDouble())
              Expect.all uniforms (fun u -> u >= 0.0 && u < 1.0) "range" ]
