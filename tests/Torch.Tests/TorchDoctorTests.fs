/// The doctor on the processor, where every check must pass, and on a GPU that is not there.
module Torch.Tests.TorchDoctorTests

open Expecto
open OptimalStopping.Runtime.Models
open OptimalStopping.Runtime.Torch.Inference

[<Tests>]
let tests =
    testList
        "TorchDoctor"
        [ testCase "every check passes on the processor" (fun () ->
              let checks = Seq.toArray (TorchDoctor.Run "cpu")
              Expect.isGreaterThan checks.Length 9 "checks"
              for check in checks do
                  Expect.isTrue check.Passed $"{check.Name}: {check.Detail}")
          testCase "a library that does not load: the cause and the remedy, in a line each" (fun () ->
              let struct (cause, remedy) =
                  TorchLibrary.Explain
                      "Unable to load shared library 'x'\n/lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by x)\n"
              Expect.stringContains cause "asks for GLIBCXX_3.4.32 of libstdc++, which came with GCC 13" "cause"
              Expect.stringContains remedy "choose backend: cpu" "remedy"
              let struct (other, _) = TorchLibrary.Explain "libgomp.so.1: cannot open shared object file\nmore"
              Expect.equal other "TorchSharp's library cannot be loaded: libgomp.so.1: cannot open shared object file" "another cause"
              Expect.isFalse ((cause + remedy + other).Contains '\n') "lines")
          testCase "a GPU that is not there is one failed check, and nothing else runs" (fun () ->
              let checks = Seq.toArray (TorchDoctor.Run "cuda:63")
              Expect.equal (checks |> Array.map (fun c -> c.Passed)) [| false |] "checks"
              Expect.stringContains checks[0].Detail "expected one of this machine's" "detail")
          testCase "the memory of a GPU, as nvidia-smi prints it" (fun () ->
              Expect.equal (CudaMemory.Parse "80994\n") (System.Nullable(80994L <<< 20)) "mebibytes"
              Expect.equal (CudaMemory.Parse "[N/A]\n") (System.Nullable()) "none")
          testCase "layers are spread evenly, in order, and the estimate covers what is loaded" (fun () ->
              Expect.sequenceEqual
                  (LayerPlacement.Place(5, [| "cuda:4"; "cuda:5" |]))
                  [ "cuda:4"; "cuda:4"; "cuda:4"; "cuda:5"; "cuda:5" ]
                  "five layers"
              Expect.sequenceEqual (LayerPlacement.Place(1, [| "cpu"; "cuda:0" |])) [ "cpu" ] "fewer layers than devices"
              let c = Support.RandomCheckpoint.config 64 4 4 2 16 96 64 false
              let shares = LayerPlacement.Estimate(c, [| "cuda:0"; "cuda:1" |], 2, 100)
              Expect.equal [ for s in shares -> s.Device, s.FirstLayer, s.Layers ] [ "cuda:0", 0, 2; "cuda:1", 2, 2 ] "shares"
              // Per layer: INT8 values, float scales and norms, counted by hand.
              let layer = (64 + 64) * 64 + 64 * 64 + 192 * 64 + 64 * 96 + 4 * (128 + 64 + 192 + 64) + 4 * (2 * 64 + 2 * 16)
              Expect.equal shares[0].WeightBytes (int64 (2 * layer + 64 * 64 * 2)) "with the embedding in 16 bits"
              Expect.equal shares[1].WeightBytes (int64 (2 * layer + 64 * (64 + 4) + 4 * 64)) "with the head and the last norm"
              Expect.equal shares[0].CacheBytes (int64 (2 * 2 * 32 * 128 * 2)) "keys and values of 128 positions in bfloat16") ]
