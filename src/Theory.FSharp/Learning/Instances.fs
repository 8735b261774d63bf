namespace OptimalStopping.Theory

open System

/// The named simulated instances of theory section 8. Model costs are (1, 2, 4.5, 10) for four stages, else geometric from 1
/// to 10; the price lambda is such that running all stages costs 0.3 (aliased: 0.1) of reward.
[<RequireQualifiedAccess>]
module Instances =

    /// Costs of the n models relative to the smallest.
    let costs (stages: int) : float[] =
        if stages < 1 then raise (ArgumentOutOfRangeException(nameof stages, stages, "expected at least 1"))
        if stages = 4 then
            [| 1.0; 2.0; 4.5; 10.0 |]
        else
            Array.init stages (fun k -> Math.Pow(10.0, float k / float (max 1 (stages - 1))))

    let private continueCosts stages (whole: float) =
        let c = costs stages
        c[1..] |> Array.map (fun x -> whole * x / Array.sum c)

    let private check (stages: int) (bins: int) =
        if stages < 2 then raise (ArgumentOutOfRangeException(nameof stages, stages, "expected at least 2"))
        if bins < 2 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 2"))

    /// Noisy autoregressive signals and means that rise with the bin and with the stage: a regular cascade, where thresholds
    /// are close to optimal.
    let structured (stages: int, bins: int, seed: uint64) : ChainModel =
        check stages bins
        let random = SplitMix64 seed
        let uniform low high = low + (high - low) * random.NextDouble()
        let centre s = (float s + 0.5) / float bins
        let bell at width =
            let w = Array.init bins (fun s -> exp (-0.5 * ((centre s - at) / width) ** 2.0))
            w |> Array.map (fun x -> x / Array.sum w)
        let initial = bell (uniform 0.3 0.5) (uniform 0.2 0.35)
        let kernels =
            Array.init (stages - 1) (fun _ ->
                let memory, level, width = uniform 0.4 0.9, uniform 0.5 0.8, uniform 0.1 0.3
                Array.init bins (fun s -> bell (memory * centre s + (1.0 - memory) * level) width))
        let means =
            Array.init stages (fun k ->
                let rank = float k / float (stages - 1)
                let low, high, power = uniform 0.05 0.15 + 0.15 * rank, uniform 0.8 0.9 + 0.08 * rank, uniform 0.7 1.5
                Array.init bins (fun s -> low + (high - low) * Math.Pow(centre s, power)))
        { Initial = initial; Kernels = kernels; Means = means; ContinueCosts = continueCosts stages 0.3 }

    /// Random kernels and means: the best threshold policy is far from optimal.
    let unstructured (stages: int, bins: int, seed: uint64) : ChainModel =
        check stages bins
        let random = SplitMix64 seed
        // Gamma(1/2) weights: Dirichlet(1/2) rows, most mass on a few bins.
        let sampling = Sampling random
        let distribution () =
            let w = Array.init bins (fun _ -> sampling.Gamma 0.5 + 1e-12)
            w |> Array.map (fun x -> x / Array.sum w)
        { Initial = distribution ()
          Kernels = Array.init (stages - 1) (fun _ -> Array.init bins (fun _ -> distribution ()))
          Means = Array.init stages (fun _ -> Array.init bins (fun _ -> random.NextDouble()))
          ContinueCosts = continueCosts stages 0.3 }

    /// Two equally likely types told apart by the first signal only (bin 0: type A, 1: type B), which the later, constant
    /// signals hide: not Markov. The first stage's mean quality is .35, the middle ones' .2; the last one's is .95 for A and
    /// .05 for B. The best policy goes on iff bin 0; a Markov learner believes that going on pays for B too. n >= 3.
    let aliased (stages: int) : ChainMixture =
        if stages < 3 then
            raise (ArgumentOutOfRangeException(nameof stages, stages, "expected at least 3: some stage must hide the type"))
        let kind bin last =
            { Initial = Array.init 2 (fun s -> if s = bin then 1.0 else 0.0)
              Kernels = Array.init (stages - 1) (fun _ -> Array.init 2 (fun _ -> [| 1.0; 0.0 |]))
              Means =
                Array.init stages (fun k ->
                    Array.create
                        2
                        (if k = 0 then 0.35
                         elif k = stages - 1 then last
                         else 0.2))
              ContinueCosts = continueCosts stages 0.1 }
        ChainMixture([| 0.5; 0.5 |], [| kind 0 0.95; kind 1 0.05 |])
