#nowarn "9"
/// The floating-point steps against double precision.
module Runtime.Tests.Models.VectorMathTests

open System
open System.Runtime.Intrinsics
open Microsoft.FSharp.NativeInterop
open Expecto
open OptimalStopping.Runtime.Models

let private padded (values: float32[]) : float32[] = Array.append values (Array.zeroCreate ((16 - values.Length % 16) % 16))

/// Scale, bias and values of each segment of 64.
let private quantise (values: float32[]) : (float32 * int * sbyte[])[] =
    let x = padded values
    let segments = Array.zeroCreate<byte>((values.Length + 63) / 64 * 72)
    use px = fixed x
    use ps = fixed segments
    VectorMath.Quantise(px, x.Length, NativePtr.ofNativeInt (NativePtr.toNativeInt ps))
    segments
    |> Array.chunkBySize 72
    |> Array.map (fun s -> BitConverter.ToSingle(s, 64), BitConverter.ToInt32(s, 68), s[..63] |> Array.map sbyte)

[<Tests>]
let tests =
    testList
        "VectorMath"
        [ testCase "exp is within 3e-7 of the true value over its range, and cut beyond it" (fun () ->
              for i in -87000..37..88000 do
                  let x = float32 i / 1000f
                  let got, exact = float (VectorMath.Exp(Vector512.Create x).ToScalar()), exp (float x)
                  Expect.isLessThan (abs (got - exact) / exact) 3e-7 $"exp {x}"
              let at (x: float32) = VectorMath.Exp(Vector512.Create x).ToScalar()
              Expect.equal (at 1e9f) (at 88f) "above"
              Expect.equal (at Single.NegativeInfinity) (at -87f) "below"
              Expect.equal (at 0f) 1f "zero")
          testCase "softmax sums to 1 over any count and leaves zeros behind it" (fun () ->
              let random = Random 3
              for count in 1..70 do
                  let values = Array.init count (fun _ -> float32 (random.NextDouble() * 40.0 - 20.0))
                  let buffer = padded values |> Array.mapi (fun i v -> if i < count then v else 99f)
                  use p = fixed buffer
                  VectorMath.Softmax(p, count, buffer.Length)
                  let e = values |> Array.map (fun v -> exp (float v - float (Array.max values)))
                  for i in 0 .. buffer.Length - 1 do
                      let exact = if i < count then e[i] / Array.sum e else 0.0
                      // A score minus the greatest is up to 40, where float rounds by 2e-6; exp makes that a relative error.
                      Expect.isLessThan (abs (float buffer[i] - exact)) (4e-6 * exact + 1e-30) $"{i} of {count}")
          testCase "quantising keeps each segment's greatest at 127, errs by half a step at most, and zeros stay zeros" (fun () ->
              let random = Random 4
              for count in [ 1; 5; 16; 37; 64; 65; 100; 192 ] do
                  for size in [ 1e-12; 1.0; 1e12 ] do
                      let values = Array.init count (fun i -> float32 ((random.NextDouble() - 0.5) * size * float (1 + i / 64)))
                      for part, (scale, bias, bytes) in Array.zip (Array.chunkBySize 64 values) (quantise values) do
                          Expect.equal scale ((Array.max (Array.map abs part)) / 127f) "scale"
                          Expect.equal (bytes |> Array.map abs |> Array.max) 127y "greatest"
                          Expect.equal bias (-128 * Array.sumBy int bytes) "bias"
                          Expect.all bytes[part.Length ..] ((=) 0y) "nothing behind the end"
                          for v, q in Array.zip part bytes[.. part.Length - 1] do
                              Expect.isLessThan (abs (float v / float scale - float q)) 0.5001 "half a step"
              for nothing in [ 0f; 1e-40f ] do
                  Expect.equal (quantise (Array.create 20 nothing)) [| 0f, 0, Array.zeroCreate 64 |] "zeros")
          testCase "RMSNorm divides by the root mean square of the true length" (fun () ->
              let random = Random 5
              for length in [ 1; 7; 16; 30; 48 ] do
                  let x = Array.init length (fun _ -> float32 (random.NextDouble() - 0.5))
                  let w = Array.init length (fun _ -> float32 (random.NextDouble() + 0.5))
                  let px, pw, y = padded x, padded w, padded (Array.zeroCreate<float32> length)
                  use a = fixed px
                  use b = fixed pw
                  use c = fixed y
                  VectorMath.RmsNorm(a, b, c, length, 1e-3f)
                  let root = sqrt (Array.averageBy (fun v -> float v * float v) x + 1e-3)
                  for i in 0 .. length - 1 do
                      Expect.isLessThan (abs (float y[i] - float x[i] * float w[i] / root)) 1e-6 $"{i} of {length}") ]
