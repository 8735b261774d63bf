namespace OptimalStopping.Maintenance.Paper

open OptimalStopping.Theory
open Trial

/// Theorems 1 and 2, the closed forms, and what rests on the performance difference (Theorem 11, miscalibration).
module internal StoppingChecks =

    let private structure =
        [| same "Theorem 1" @"$D_k=\kappa_{k+1}-\Delta_k+\mathbb{E}[G_{k+1}\mid s]$ (identity)" 2000 101UL (fun random _ ->
               let model = chain random (2 + random.NextIndex 3) (2 + random.NextIndex 4)
               let plan, gains = Chain.plan model, ThresholdForm.oneStepGains model
               let k, s = random.NextIndex gains.Length, random.NextIndex model.Initial.Length
               let next = if k + 1 < plan.D.Length then plan.D[k + 1] |> Array.map (min 0.0) else Array.zeroCreate model.Initial.Length
               struct (plan.D[k][s], model.ContinueCosts[k] - gains[k][s] + mean (model.Kernels[k].[s]) next))
           run "Theorem 1" @"(T1), (T2) $\Rightarrow$ best threshold policy attains $V^*$" 400 102UL (fun random i ->
               let model = Instances.structured (3, 4, random.NextUInt64())
               // Costs small enough that stopping is not always best.
               let model = { model with ContinueCosts = model.ContinueCosts |> Array.map (fun c -> c * float (i % 5) / 4.0) }
               if ThresholdForm.isStochasticallyMonotone model && ThresholdForm.hasNonincreasingGains model then
                   struct (Chain.optimalValue model, (ChainPolicyClasses.bestThreshold model).Value)
               else
                   struct (0.0, 1.0))
           run "Theorem 2" @"$D_k(s;\lambda)\le D_k(s;\lambda')$ for $\lambda<\lambda'$" 2000 103UL (fun random _ ->
               let model = chain random (2 + random.NextIndex 3) (2 + random.NextIndex 4)
               let factor = uniform random 1.0 3.0
               let dearer: ChainModel = { model with ContinueCosts = model.ContinueCosts |> Array.map (fun c -> c * factor) }
               let a, b = (Chain.plan model).D, (Chain.plan dearer).D
               let worst = Array.map2 (Array.map2 (-)) a b |> Array.concat |> Array.max
               struct (worst, 1e-9))
           same
               "Proposition 2"
               @"$V^*-V^\pi=\mathbb{E}_\pi\sum_k|D_k|\,\mathbf{1}\{\mathrm{wrong}\}$ (identity)"
               1000
               104UL
               (fun random _ ->
                   let model = chain random (2 + random.NextIndex 3) (2 + random.NextIndex 4)
                   let stop = model.Kernels |> Array.map (fun rows -> rows |> Array.map (fun _ -> random.NextIndex 2 = 0))
                   struct (Chain.optimalValue model - Chain.value (model, stop),
                           Chain.performanceDifference (model, Chain.plan model, stop))) |]

    /// The pathwise identity in the proof of Proposition 3(c).
    let private weitzman =
        same "Proposition 3" @"$Y_\tau-\sum_{k\le\tau}(S_k-z_k)^+=\max(S_1,\max_k\min(S_k,z_k))$ (pathwise)" 20000 105UL (fun random _ ->
            let n = 1 + random.NextIndex 6
            let z = Array.init n (fun _ -> random.NextDouble()) |> Array.sortDescending // z[0] is not used
            let s = Array.init n (fun _ -> random.NextDouble())
            let mutable best, paid, k = s[0], 0.0, 0
            while k < n - 1 && best < z[k + 1] do
                k <- k + 1
                best <- max best s[k]
                paid <- paid + max 0.0 (s[k] - z[k])
            let rest = Seq.fold max s[0] (seq { for j in 1 .. n - 1 -> min s[j] z[j] })
            struct (best - paid, rest))

    /// A distribution near another one, and the total variation between them.
    let private near (random: SplitMix64) (p: float[]) =
        let share = uniform random 0.0 0.3
        Array.map2 (fun a b -> (1.0 - share) * a + share * b) p (distribution random p.Length)

    let private distance (p: float[]) (q: float[]) = 0.5 * (Array.map2 (fun a b -> abs (a - b)) p q |> Array.sum)

    let private perturbed (random: SplitMix64) (model: ChainModel) =
        let noise = uniform random 0.0 0.2
        { model with
            Kernels = model.Kernels |> Array.map (Array.map (near random))
            Means = model.Means |> Array.map (Array.map (fun x -> min 1.0 (max 0.0 (x + uniform random -noise noise)))) }

    let private wrongPlans =
        [| run
               "Theorem 11"
               @"$V^*-V^{\hat\pi}\le\sum_{k<n}(2\beta_k+\sum_{j>k}\beta_j)$ when errors are within $\beta$"
               3000
               106UL
               (fun random _ ->
                   let model = chain random (2 + random.NextIndex 3) (2 + random.NextIndex 3)
                   let wrong = perturbed random model
                   let truth = Chain.plan model
                   // The least beta for which the theorem's event holds.
                   let beta =
                       model.Means
                       |> Array.mapi (fun k _ ->
                           let stops = Array.map2 (fun a b -> abs (a - b)) (model.Means[k]) (wrong.Means[k]) |> Array.max
                           if k = model.Means.Length - 1 then
                               stops
                           else
                               Array.map2
                                   (fun p q -> abs (mean p (truth.W[k + 1]) - mean q (truth.W[k + 1])))
                                   (model.Kernels[k])
                                   (wrong.Kernels[k])
                               |> Array.max
                               |> max stops)
                   let policy = Chain.policy (Chain.plan wrong)
                   let bound = Seq.sum (seq { for k in 0 .. beta.Length - 2 -> 2.0 * beta[k] + Array.sum beta[k + 1 ..] })
                   struct (Chain.optimalValue model - Chain.value (model, policy), bound))
           run
               "Proposition 6"
               @"$V^*-V^{\hat\pi}\le2\min\{\max_k\|\cdot\|_\infty,\sum_k\mathrm{ECE}_k\}+2B\sum_k\mathrm{TV}_k$"
               3000
               107UL
               (fun random _ ->
                   let model = chain random (2 + random.NextIndex 3) (2 + random.NextIndex 3)
                   let wrong = perturbed random model
                   let errors = Array.map2 (Array.map2 (fun a b -> abs (a - b))) model.Means wrong.Means
                   let mutable reach = model.Initial
                   let eces =
                       errors
                       |> Array.mapi (fun k row ->
                           if k > 0 then
                               reach <-
                                   Array.init reach.Length (fun t ->
                                       Seq.sum (seq { for s in 0 .. reach.Length - 1 -> reach[s] * model.Kernels[k - 1].[s].[t] }))
                           mean reach row)
                   let kernels = Array.map2 (fun a b -> Array.map2 distance a b |> Array.max) model.Kernels wrong.Kernels
                   let policy = Chain.policy (Chain.plan wrong)
                   struct (Chain.optimalValue model - Chain.value (model, policy),
                           Miscalibration.valueLoss (errors |> Array.map Array.max, eces, kernels, Chain.range model))) |]

    let all () : Check[] = [| yield! structure; weitzman; yield! wrongPlans |]
