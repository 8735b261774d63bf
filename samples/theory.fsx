// The theory from an F# script. From the root of a clone, once `dotnet build src/Cli -c Release` has run:
//   dotnet fsi samples/theory.fsx
#I "../src/Cli/bin/Release/net10.0"
#r "OptimalStopping.Theory.dll"
#r "MathNet.Numerics.dll"

open OptimalStopping.Theory

// Two models. What each reports falls into three bins, from unsure to sure; a sure answer is right more often, and a query
// that the first model is sure about is one that the second is sure about too. Going on costs 0.1 of quality.
let model =
    {
        Initial = [| 0.3; 0.3; 0.4 |]
        Kernels = [| [| [| 0.6; 0.3; 0.1 |]; [| 0.2; 0.5; 0.3 |]; [| 0.0; 0.2; 0.8 |] |] |]
        Means = [| [| 0.2; 0.6; 0.9 |]; [| 0.4; 0.8; 0.97 |] |]
        ContinueCosts = [| 0.1 |]
    }

Chain.validate model
let plan = Chain.plan model
printfn "value of the best policy: %.3f" (Chain.optimalValue model)
printfn "stop after the first model from bin %d on" plan.Thresholds[0]

// How many graded queries until the best of all threshold policies is known to within 0.05 with confidence 95 %?
let range = Chain.range model
let policies = SampleComplexity.logThresholdPolicies (2, 3)
printfn "graded queries: %d" (SampleComplexity.samplesFor (range, policies, 0.05, 0.05))

// How long should a draft be if 80 % of its tokens are accepted and one costs a tenth of a pass of the target?
printfn "length of a draft: %d" (DraftLength.optimal (0.8, 0.1))
