/// A policy's guarantee held against fresh losses: right whenever it is looked at, and it sees what breaks.
module Runtime.Tests.Cascades.PolicyCheckTests

open System
open Expecto
open OptimalStopping.Runtime.Cascades

let private guarantee = PolicyGuarantee(0.05, 0.1, "large", 1000, 10, 3)

/// Losses of 1, -1 and 0 with the mean given: the policy loses on some queries, and gains on a tenth as many.
let private losses (seed: int) (count: int) (mean: float) =
    let random = Random seed
    Array.init count (fun _ ->
        let u = random.NextDouble()
        let lost = mean + 0.02
        if u < lost then 1.0
        elif u < lost + 0.02 then -1.0
        else 0.0)

let private verdict all = PolicyCheck.Test(guarantee, all).Verdict

[<Tests>]
let tests =
    testList
        "PolicyCheck"
        [ test "at the very edge of the guarantee it is called broken in at most delta of the logs" {
              let broken =
                  Seq.init 200 (fun seed -> verdict (losses seed 2000 0.05)) |> Seq.filter ((=) GuaranteeVerdict.Broken) |> Seq.length
              // delta is 0.1; three standard errors of 200 logs are 0.064.
              Expect.isLessThanOrEqual broken 32 "broken"
          }
          test "a loss of three times what is allowed is seen" {
              for seed in 0..19 do
                  let check = PolicyCheck.Test(guarantee, losses seed 2000 0.15)
                  Expect.equal check.Verdict GuaranteeVerdict.Broken $"seed {seed}"
                  Expect.isLessThan check.RaisedAt.Value 2000 "before the end"
          }
          test "a change after a long good time is seen soon after it" {
              for seed in 0..9 do
                  let check = PolicyCheck.Test(guarantee, Array.append (losses seed 3000 0.0) (losses (seed + 100) 1000 0.3))
                  Expect.equal check.Verdict GuaranteeVerdict.Broken $"seed {seed}"
                  Expect.isGreaterThan check.RaisedAt.Value 3000 "not before the change"
                  Expect.isLessThan check.RaisedAt.Value 3500 "soon"
          }
          test "a good policy is shown to be good on enough queries, and not contradicted on few" {
              Expect.equal (verdict (losses 1 20000 0.0)) GuaranteeVerdict.Shown "many"
              Expect.equal (verdict (losses 1 20 0.0)) GuaranteeVerdict.NotContradicted "few"
          } ]
