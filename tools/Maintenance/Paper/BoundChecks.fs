namespace OptimalStopping.Maintenance.Paper

open System
open OptimalStopping.Theory
open MathNet.Numerics.Distributions
open Trial

/// Theorems 8 to 10 and 12: lower bounds, sample sizes, draft lengths.
module internal BoundChecks =

    let private lower =
        [| run "Theorem 8" @"$\ln\frac{1+x}{1-x}\le\frac{2x}{1-x^2}$, $x\in(0,1)$" 20000 401UL (fun random _ ->
               let x = uniform random 1e-3 0.999
               struct (log ((1.0 + x) / (1.0 - x)), 2.0 * x / (1.0 - x * x)))
           run "Theorem 8" @"$-\ln(1-x)\le4x\ln\frac43$, $x\in[0,\frac14]$" 20000 402UL (fun random _ ->
               let x = uniform random 1e-6 0.25
               struct (-log(1.0 - x), 4.0 * x * log (4.0 / 3.0)))
           run "Theorem 8" @"$\frac1{64}\le e^{-2/3}/32$" 1 403UL (fun _ _ -> struct (1.0 / 64.0, exp (-2.0 / 3.0) / 32.0))
           run "Theorem 8" @"$\frac1{20}\le\frac14(1-\frac1n-\frac12\sqrt{\ln(4/3)})$, $n\ge2$" 100 404UL (fun _ i ->
               struct (1.0 / 20.0, 0.25 * (1.0 - 1.0 / float (i + 2) - 0.5 * sqrt (log (4.0 / 3.0)))))
           run "Theorem 8" @"$\frac1{35}\le0.2318/8$" 1 405UL (fun _ _ -> struct (1.0 / 35.0, 0.2318 / 8.0))
           run
               "Theorem 8"
               @"$\bar T/2\le\mathbb{E}\min(T_j,\bar T)$, $T_j\sim\mathrm{Bin}(T,1/(n-1))$, $\bar T\ge1$"
               400
               406UL
               (fun random _ ->
                   let types = 1 + random.NextIndex 12
                   let t = types + random.NextIndex 300
                   let average = float t / float types
                   let expected =
                       if types = 1 then
                           average
                       else
                           let distribution = Binomial(1.0 / float types, t)
                           Seq.sum (seq { for k in 0..t -> distribution.Probability k * min (float k) average })
                   struct (average / 2.0, expected)) |]

    let private samples =
        [| run
               "Theorem 9"
               @"$N e^{-M\varepsilon^2/(2B^2)}\le\delta$ at $M=\lceil2B^2\ln(N/\delta)/\varepsilon^2\rceil$"
               5000
               407UL
               (fun random _ ->
                   let b, logN, e, d = uniform random 1.0 3.0, uniform random 0.0 30.0, spread random 0.005 0.5, spread random 1e-6 0.5
                   struct (SampleComplexity.deltaFor (b, logN, SampleComplexity.samplesFor (b, logN, e, d), e), d))
           run "Theorem 10" @"payoff vectors of nested policies on $M$ traces $\le M(n-1)+1$" 500 408UL (fun random _ ->
               let m, n = 1 + random.NextIndex 20, 2 + random.NextIndex 5
               // One shared threshold on continuous signals: stop at the first S_k >= theta.
               let traces = Array.init m (fun _ -> Array.init n (fun _ -> random.NextDouble()))
               let stop theta (trace: float[]) = trace[.. n - 2] |> Array.tryFindIndex (fun s -> s >= theta) |> Option.defaultValue (n - 1)
               let thetas = traces |> Array.collect (fun t -> t[.. n - 2]) |> Array.append [| 2.0 |]
               let patterns = thetas |> Array.map (fun theta -> traces |> Array.map (stop theta)) |> Array.distinct
               struct (float patterns.Length, float (m * (n - 1) + 1)))
           run
               "Theorem 10"
               @"$\mathbb{E}\max_k\frac1M\sum_i\sigma_if_k(x_i)\le\frac B2\sqrt{2\ln K/M}$ (all $2^M$ signs)"
               200
               409UL
               (fun random _ ->
                   let m, k = 1 + random.NextIndex 9, 2 + random.NextIndex 12
                   let f = Array.init k (fun _ -> Array.init m (fun _ -> random.NextDouble() - 0.5))
                   let value signs =
                       f
                       |> Array.map (fun row -> row |> Array.mapi (fun i x -> if (signs >>> i) &&& 1 = 1 then x else -x) |> Array.sum)
                       |> Array.max
                   let expected = Array.averageBy value [| 0 .. (1 <<< m) - 1 |] / float m
                   struct (expected, 0.5 * sqrt (2.0 * log (float k) / float m))) |]

    let private drafts =
        [| run "Theorem 12" @"$f(\gamma)\le f(\gamma^*)$ for $\gamma\le200$" 3000 410UL (fun random _ ->
               let a, c = uniform random 0.0 0.98, spread random 0.005 2.0
               let best = DraftLength.speedup (a, DraftLength.optimal (a, c), c)
               struct (Seq.max (seq { for g in 0..200 -> DraftLength.speedup (a, g, c) }), best))
           run "Theorem 12" @"$h(\gamma+1)\le h(\gamma)$" 20000 411UL (fun random _ ->
               let a, c, g = uniform random 0.0 0.999, spread random 0.005 2.0, random.NextIndex 100
               let h g = a ** float (g + 1) * (1.0 + c * float g) - c * DraftLength.expectedTokens (a, g)
               struct (h (g + 1) - h g, 1e-12))
           same "Losslessness" @"$\min(p,q)+(p-q)^+=p$ and $1-\sum\min(p,q)=\mathrm{TV}(p,q)$ (identity)" 5000 412UL (fun random _ ->
               let count = 2 + random.NextIndex 10
               let p, q = distribution random count, distribution random count
               let overlap = Array.map2 min p q |> Array.sum
               struct (1.0 - overlap, 0.5 * (Array.map2 (fun a b -> abs (a - b)) p q |> Array.sum))) |]

    let all () : Check[] = [| yield! lower; yield! samples; yield! drafts |]

/// Every inequality of the paper's proofs, tried numerically. Deterministic; a few seconds.
module Inequalities =

    let all () : Check[] =
        [| yield! StoppingChecks.all (); yield! LearningChecks.all (); yield! OptStopChecks.all (); yield! BoundChecks.all () |]
