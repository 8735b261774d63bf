#nowarn "9"
/// Kernel sets against a sum written out here.
module Runtime.Tests.Models.KernelTests

open System
open Microsoft.FSharp.NativeInterop
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open Runtime.Tests.Models.RandomCheckpoint

/// Sums of every kernel set for random weights (-128..127) and activations (-127..127), or for the extreme ones.
let private sums (kernels: KernelSet) (weights: sbyte[]) (groups: int) (inputs: sbyte[]) (tokens: int) : int[] =
    let result = Array.zeroCreate<int> (16 * tokens)
    let words = inputs |> Array.map int16
    use w = fixed weights
    use b = fixed inputs
    use h = fixed words
    use s = fixed result
    let scales: nativeptr<float32> = NativePtr.ofNativeInt 0n
    let rows = QuantisedRows(b, h, scales, 4 * groups)
    kernels.MultiplyBlock(w, groups, &rows, tokens, s)
    result

let private expected (weights: sbyte[]) (groups: int) (inputs: sbyte[]) (tokens: int) : int[] =
    Array.init (16 * tokens) (fun n ->
        let t, r = n / 16, n % 16
        Seq.sum (seq { for i in 0 .. 4 * groups - 1 ->
                         int weights[(i / 4) * 64 + r * 4 + i % 4] * int inputs[t * 4 * groups + i] }))

let tests =
    testList "KernelSet" [
        for kernels in KernelSet.Available do
            testCase $"{kernels.Name} equals the written-out sum, for every count of groups and tokens" (fun () ->
                let random = Random 11
                for groups in [ 1; 2; 3; 5; 8; 13; 16; 33; 64 ] do
                    for tokens in 1 .. 9 do
                        let weights = Array.init (64 * groups) (fun _ -> sbyte (random.Next(-128, 128)))
                        let inputs = Array.init (4 * groups * tokens) (fun _ -> sbyte (random.Next(-127, 128)))
                        Expect.equal (sums kernels weights groups inputs tokens) (expected weights groups inputs tokens)
                            $"{groups} groups, {tokens} tokens")
            testCase $"{kernels.Name} does not saturate at the extremes" (fun () ->
                for w in [ -128y; 127y ] do
                    for x in [ -127y; 127y ] do
                        let weights, inputs = Array.create (64 * 20) w, Array.create (4 * 20 * 5) x
                        Expect.equal (sums kernels weights 20 inputs 5) (Array.create 80 (int w * int x * 80)) $"{w} * {x}")
        testCase "the scalar set is always there, the best is the first, and an unknown name is refused" (fun () ->
            Expect.equal (Seq.last KernelSet.Available).Name "scalar" "last"
            Expect.equal (KernelSet.Named "scalar").Name "scalar" "by name"
            Expect.equal KernelSet.Best.Name KernelSet.Available[0].Name "best"
            Expect.throwsT<ToolkitException> (fun () -> KernelSet.Named "abacus" |> ignore) "unknown")
        testCase "every set gives bitwise the scalar set's logits" (fun () ->
            let c = config 60 2 6 2 10 45 37 false
            let tokens = randomTokens c 5 23
            let run (kernels: KernelSet) =
                use model = load c 4 kernels
                use sequence = model.NewSequence 30
                let all = Array.zeroCreate<float32> (tokens.Length * c.VocabularySize)
                sequence.ForwardAll(tokens, all)
                all |> Array.map BitConverter.SingleToInt32Bits
            let scalar = run (KernelSet.Named "scalar")
            for kernels in KernelSet.Available do
                Expect.equal (run kernels) scalar kernels.Name)
    ]
