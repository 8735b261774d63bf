#nowarn "9"
/// Kernel sets against a sum written out here.
module Runtime.Tests.Models.KernelTests

open System
open Microsoft.FSharp.NativeInterop
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Models
open Support.RandomCheckpoint

/// One block of weights and the activations of some tokens, as the kernels take them.
type private Problem =
    {
        Groups: int
        Tokens: int
        /// [input, row]
        Weights: sbyte[,]
        /// [token, input]
        Inputs: sbyte[,]
        /// [token, segment]
        InputScales: float32[,]
        RowScales: float32[]
    }

let private segments groups = (groups + 15) / 16

let private problem (groups: int) (tokens: int) (weight: unit -> sbyte) (input: unit -> sbyte) (scale: unit -> float32) : Problem =
    { Groups = groups
      Tokens = tokens
      Weights = Array2D.init (4 * groups) 32 (fun _ _ -> weight ())
      Inputs = Array2D.init tokens (4 * groups) (fun _ _ -> input ())
      InputScales = Array2D.init tokens (segments groups) (fun _ _ -> scale ())
      RowScales = Array.init 32 (fun _ -> scale ()) }

/// Weights -128..127, activations -127..127, scales of both signs and several sizes.
let private randomProblem (random: Random) groups tokens =
    problem groups tokens (fun () -> sbyte (random.Next(-128, 128))) (fun () -> sbyte (random.Next(-127, 128))) (fun () ->
        float32 ((random.NextDouble() - 0.3) * Math.Pow(10.0, float (random.Next 4))))

/// The output's bits by the kernels; the token's outputs lie 35 floats apart, and what lies between stays untouched.
let private run (kernels: KernelSet) (p: Problem) : int[,] =
    let stride, n = 35, segments p.Groups
    let weights =
        Array.init (128 * p.Groups) (fun b ->
            let value = byte p.Weights[b / 128 * 4 + b % 4, b % 128 / 4]
            if kernels.OffsetWeights then value ^^^ 0x80uy else value)
    let inputs =
        Array.init (p.Tokens * n * 72) (fun b ->
            let t, s, i = b / (72 * n), b / 72 % n, b % 72
            let values = [| for j in 64 * s .. 64 * s + 63 -> if j < 4 * p.Groups then p.Inputs[t, j] else 0y |]
            if i < 64 then byte values[i]
            elif i < 68 then BitConverter.GetBytes(p.InputScales[t, s])[i - 64]
            else BitConverter.GetBytes(-128 * Array.sumBy int values)[i - 68])
    let output = Array.create (stride * p.Tokens) 77f
    use w = fixed weights
    use x = fixed inputs
    use scales = fixed p.RowScales
    use o = fixed output
    let rows = ActivationRows(NativePtr.ofNativeInt (NativePtr.toNativeInt x), n)
    kernels.MultiplyBlock(w, p.Groups, &rows, 0, p.Tokens, scales, o, int64 stride)
    for t in 0 .. p.Tokens - 1 do
        for r in 32 .. stride - 1 do
            Expect.equal output[stride * t + r] 77f "between the outputs"
    Array2D.init p.Tokens 32 (fun t r -> BitConverter.SingleToInt32Bits output[stride * t + r])

/// The definition, written out.
let private expected (p: Problem) : int[,] =
    Array2D.init p.Tokens 32 (fun t r ->
        let mutable total = 0f
        for s in 0 .. segments p.Groups - 1 do
            let sum = Seq.sum (seq { for i in 64 * s .. min (64 * s + 63) (4 * p.Groups - 1) -> int p.Weights[i, r] * int p.Inputs[t, i] })
            total <- MathF.FusedMultiplyAdd(float32 sum, p.InputScales[t, s], total)
        BitConverter.SingleToInt32Bits(total * p.RowScales[r]))

let private available =
    [ yield! KernelSets.Available |> Seq.map (fun k -> k.Name, k)
      let windows = Avx512VnniKernels(saveVectors = true) // as Windows calls it
      if windows.Supported then yield windows.Name + ", registers kept", windows :> KernelSet ]

[<Tests>]
let tests =
    testList
        "KernelSet"
        [ for name, kernels in available do
              testCase $"{name} gives the bits of the definition, for every count of groups and tokens" (fun () ->
                  let random = Random 11
                  for groups in [ 4; 8; 12; 16; 20; 28; 32; 48; 64; 76 ] do
                      for tokens in 1..14 do
                          let p = randomProblem random groups tokens
                          Expect.equal (run kernels p) (expected p) $"{groups} groups, {tokens} tokens")
              testCase $"{name} does not saturate at the extremes" (fun () ->
                  for w in [ -128y; 127y ] do
                      for x in [ -127y; 127y ] do
                          let p = problem 20 5 (fun () -> w) (fun () -> x) (fun () -> 1f)
                          Expect.equal
                              (run kernels p)
                              (Array2D.create 5 32 (BitConverter.SingleToInt32Bits(float32 (int w * int x * 80))))
                              $"{w} * {x}")
          testCase "the scalar set is always there, the best is the first, and an unknown name is refused" (fun () ->
              Expect.equal (Seq.last KernelSets.Available).Name "scalar" "last"
              Expect.equal (KernelSets.Named "scalar").Name "scalar" "by name"
              Expect.equal KernelSets.Best.Name KernelSets.Available[0].Name "best"
              Expect.throwsT<ToolkitException> (fun () -> KernelSets.Named "abacus" |> ignore) "unknown")
          testCase "every set gives bitwise the scalar set's logits" (fun () ->
              let c = config 60 2 6 2 10 45 37 false
              let tokens = randomTokens c 5 23
              let run (kernels: KernelSet) =
                  use model = load c 4 kernels
                  use sequence = model.NewSequence 30
                  let all = Array.zeroCreate<float32>(tokens.Length * c.VocabularySize)
                  sequence.ForwardAll(tokens, all)
                  all |> Array.map BitConverter.SingleToInt32Bits
              let scalar = run (KernelSets.Named "scalar")
              for kernels in KernelSets.Available do
                  Expect.equal (run kernels) scalar kernels.Name) ]
