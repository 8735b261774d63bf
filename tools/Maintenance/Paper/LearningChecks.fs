namespace OptimalStopping.Maintenance.Paper

open System
open OptimalStopping.Theory
open Trial

/// Lemmas 3 and 6 and Theorems 4 and 5: every expectation over the learner's draw is an exact sum.
module internal LearningChecks =

    /// Masses of the stages at which a drawn policy stops, chances to be graded, losses, gamma.
    let private draw (random: SplitMix64) (feedback: int) =
        let n = 2 + random.NextIndex 7
        let masses = distribution random n
        let tail = Array.scanBack (+) masses 0.0
        let graded = Array.init n (fun k -> if feedback = 0 then min 1.0 tail[k] else masses[k])
        let losses = Array.init n (fun _ -> random.NextDouble())
        struct (masses, graded, losses, spread random 1e-6 1.0)

    let private sum n (f: int -> float) = Seq.sum (Seq.init n f)

    let private depth (feedback: int) n gamma = if feedback = 0 then min (float n) (log (1.0 + 1.0 / gamma)) else float n

    let private chainLemma =
        [| for feedback, statement in
               [ 0, @"$\sum_kW_k/(W_{\ge k}+\gamma)\le\min\{n,\ln(1+1/\gamma)\}$"; 1, @"$\sum_kW_k/(W_k+\gamma)\le n$" ] do
               run "Lemma 3" statement 20000 (201UL + uint64 feedback) (fun random _ ->
                   let struct (masses, graded, _, gamma) = draw random feedback
                   struct (sum masses.Length (fun k -> masses[k] / (graded[k] + gamma)), depth feedback masses.Length gamma)) |]

    let private moments =
        [| for feedback, name in [ 0, "S"; 1, "B" ] do
               let expected (masses: float[]) (graded: float[]) (f: int -> float) =
                   sum masses.Length (fun k -> if masses[k] = 0.0 then 0.0 else masses[k] * graded[k] * f k)
               run
                   "Theorem 4"
                   $@"$\langle w,\ell\rangle\le\mathbb{{E}}_t\langle w,\hat\ell\rangle+\gamma D$ ({name})"
                   20000
                   (203UL + uint64 feedback)
                   (fun random _ ->
                       let struct (masses, graded, losses, gamma) = draw random feedback
                       struct (mean masses losses,
                               expected masses graded (fun k -> losses[k] / (graded[k] + gamma))
                               + gamma * depth feedback masses.Length gamma))
               run
                   "Theorem 4"
                   $@"$\mathbb{{E}}_t\langle w,\hat\ell^2\rangle\le D$ ({name})"
                   20000
                   (205UL + uint64 feedback)
                   (fun random _ ->
                       let struct (masses, graded, losses, gamma) = draw random feedback
                       struct (expected masses graded (fun k -> (losses[k] / (graded[k] + gamma)) ** 2.0),
                               depth feedback masses.Length gamma))
               run
                   "Theorem 5"
                   $@"$\langle w,\hat\ell^2\rangle\le D/\gamma$ on every path ({name})"
                   20000
                   (207UL + uint64 feedback)
                   (fun random _ ->
                       let struct (masses, graded, _, gamma) = draw random feedback
                       let stop = random.NextIndex masses.Length
                       let seen = if feedback = 0 then [| 0..stop |] else [| stop |]
                       struct (seen |> Array.sumBy (fun k -> masses[k] / (graded[k] + gamma) ** 2.0),
                               depth feedback masses.Length gamma / gamma)) |]

    /// Exponential weights on sequences of estimates that are built to hurt: the policy in the lead is charged most.
    let private weights =
        let play
            (random: SplitMix64)
            (rounds: int)
            (policies: int)
            (rate: int -> float)
            (charge: float[] -> int -> float[])
            (account: float -> float[] -> float[] -> float)
            =
            let prior = distribution random policies |> Array.map (fun p -> 0.9 * p + 0.1 / float policies)
            let losses = Array.zeroCreate policies
            let mutable paid, extra = 0.0, 0.0
            for t in 1..rounds do
                let eta = rate t
                let w = Array.map2 (fun p l -> p * exp (-eta * (l - Array.min losses))) prior losses
                let w = w |> Array.map (fun x -> x / Array.sum w)
                let x = charge w t
                paid <- paid + mean w x
                extra <- extra + account eta w x
                for i in 0 .. policies - 1 do
                    losses[i] <- losses[i] + x[i]
            struct (prior, losses, paid, extra)
        let adversary (random: SplitMix64) scale (w: float[]) _ =
            let lead = Array.max w
            w |> Array.map (fun x -> if x = lead then scale else scale * random.NextDouble() * float (random.NextIndex 2))
        [| run
               "Theorem 4"
               @"$\sum\langle w_t,\hat\ell_t\rangle-\hat L(\pi)\le\ln\bar N/\eta+\frac\eta2\sum\langle w_t,\hat\ell_t^2\rangle$, unbounded $\hat\ell$"
               2000
               209UL
               (fun random _ ->
                   let eta = spread random 0.01 2.0
                   let struct (prior, losses, paid, extra) =
                       play random 60 (2 + random.NextIndex 8) (fun _ -> eta) (adversary random (spread random 0.1 5.0)) (fun eta w x ->
                           0.5 * eta * mean w (x |> Array.map (fun v -> v * v)))
                   let i = random.NextIndex losses.Length
                   struct (paid - losses[i], -log prior[i] / eta + extra))
           run "Theorem 4" @"$\sum\langle w_t,\ell_t\rangle-L(\pi)\le\ln\bar N/\eta+\eta T/8$ (F)" 2000 210UL (fun random _ ->
               let eta = spread random 0.01 2.0
               let struct (prior, losses, paid, _) =
                   play random 60 (2 + random.NextIndex 8) (fun _ -> eta) (adversary random 1.0) (fun _ _ _ -> 0.0)
               let i = random.NextIndex losses.Length
               struct (paid - losses[i], -log prior[i] / eta + eta * 60.0 / 8.0))
           run "Corollary 1" @"anytime F: $R_T\le\frac3{2\sqrt2}\sqrt{T\ln\bar N}$ on adversarial sequences" 2000 211UL (fun random _ ->
               let policies, rounds = 2 + random.NextIndex 8, 5 + random.NextIndex 200
               let logN = log (10.0 * float policies) // the prior is at least 1/(10 N)
               let struct (_, losses, paid, _) =
                   play random rounds policies (fun t -> sqrt (8.0 * logN / float t)) (adversary random 1.0) (fun _ _ _ -> 0.0)
               struct (paid - Array.min losses, 3.0 / (2.0 * sqrt 2.0) * sqrt (float rounds * logN)))
           run
               "Corollary 1"
               @"anytime F: $\frac3{2\sqrt2}\sqrt{T\ln\bar N}\le\sqrt{2T\ln\bar N}+\sqrt{\ln\bar N/8}$"
               2000
               212UL
               (fun random _ ->
                   let t, logN = spread random 1.0 1e9, spread random 0.1 1e3
                   struct (3.0 / (2.0 * sqrt 2.0) * sqrt (t * logN), sqrt (2.0 * t * logN) + sqrt (logN / 8.0)))
           run "Corollary 1" @"$\sum_{t\le T}t^{-1/2}\le2\sqrt T$" 1000 213UL (fun _ i ->
               struct (sum (i + 1) (fun t -> 1.0 / sqrt (float (t + 1))), 2.0 * sqrt (float (i + 1)))) |]

    let private scalar =
        [| run "Theorem 4" @"$e^{-x}\le1-x+x^2/2$, $x\ge0$" 20000 214UL (fun random _ ->
               let x = spread random 1e-3 1e3
               struct (exp -x, 1.0 - x + 0.5 * x * x))
           run "Theorem 4" @"$2\sqrt{T\ln(1+T)/\ln2}\le T$, $T\ge20$" 20000 215UL (fun random i ->
               let t = if i = 0 then 20.0 else spread random 20.0 1e12
               struct (2.0 * sqrt (t * log (1.0 + t) / log 2.0), t))
           run "Theorem 5" @"$e^x\le1+(e-1)x$, $x\in[0,1]$" 20000 216UL (fun random _ ->
               let x = random.NextDouble()
               struct (exp x, 1.0 + (Math.E - 1.0) * x))
           run "Theorem 5" @"$e/2\le1.36$" 1 217UL (fun _ _ -> struct (Math.E / 2.0, 1.36))
           run "Lemma 6" @"$z/(1+z/2)\le\ln(1+z)$, $z\ge0$" 20000 218UL (fun random _ ->
               let z = spread random 1e-3 1e6
               struct (z / (1.0 + z / 2.0), log (1.0 + z)))
           run "Lemma 6" @"$\mathbb{E}e^{2\gamma\hat\ell}\le e^{2\gamma\ell}$" 20000 219UL (fun random _ ->
               let o, gamma, loss = spread random 1e-4 1.0, spread random 1e-6 10.0, random.NextDouble()
               struct (1.0 - o + o * exp (2.0 * gamma * loss / (o + gamma)), exp (2.0 * gamma * loss))) |]

    let all () : Check[] = [| yield! chainLemma; yield! moments; yield! weights; yield! scalar |]
