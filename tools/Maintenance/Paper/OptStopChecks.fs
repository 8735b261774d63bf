namespace OptimalStopping.Maintenance.Paper

open OptimalStopping.Theory
open Trial

/// Theorem 7: constants, the monotone bonus, and the width of one continuation on kernels that satisfy its good event.
module internal OptStopChecks =

    let private c1, c2 = ConfidenceBounds.C1, ConfidenceBounds.C2

    /// A distribution near p with |q - p| <= sqrt(2 p i/N) + i/(3N) in every entry, as the good event says.
    let private empirical (random: SplitMix64) (p: float[]) (iota: float) (n: float) =
        let allowed = p |> Array.map (fun x -> sqrt (2.0 * x * iota / n) + iota / (3.0 * n))
        // A point between p and some distribution, as far as the entries allow.
        let towards = distribution random p.Length
        let share = Array.map3 (fun a b limit -> if a = b then 1.0 else limit / abs (a - b)) p towards allowed |> Array.min |> min 1.0
        Array.map2 (fun a b -> a + share * (b - a)) p towards

    let private values (random: SplitMix64) m =
        Array.init m (fun _ -> if random.NextIndex 4 = 0 then float (random.NextIndex 2) else random.NextDouble())

    let private width =
        run
            "Theorem 7"
            @"width of a continuation: $x_k\le4.31\,\mathrm{sd}_P(\bar W)\sqrt{\cdot}+(1+\sqrt m)\sqrt2\,\mathrm{sd}_P(\tilde D)\sqrt{\cdot}+(\cdots)\frac\iota{N-1}$"
            20000
            301UL
            (fun random _ ->
                let m, n, iota = 2 + random.NextIndex 8, float (2 + random.NextIndex 5000), uniform random 5.0 60.0
                let p = distribution random m
                let hat = empirical random p iota n
                let w = values random m
                let over = w |> Array.map (fun x -> x + (1.0 - x) * (if random.NextIndex 3 = 0 then 0.0 else random.NextDouble()))
                let gap = Array.map2 (-) over w
                let bernstein = sqrt (2.0 * variance p w * iota / n) + iota / (3.0 * n)
                if mean hat w - mean p w > bernstein then
                    struct (0.0, 1.0) // outside the good event
                else
                    let left = mean hat over + ConfidenceBounds.psi (variance hat over, n, iota) - mean p over
                    let root = sqrt (iota / (n - 1.0))
                    let constant = c1 * sqrt (4.0 * float m / 3.0) + c2 + (float m + 1.0) / 3.0
                    struct (left,
                            4.31 * sqrt (variance p over) * root
                            + (1.0 + sqrt (float m)) * sqrt 2.0 * sqrt (variance p gap) * root
                            + constant * iota / (n - 1.0)))

    let all () : Check[] =
        [| run "Theorem 7" @"$c_1^2\le c_2$" 1 302UL (fun _ _ -> struct (c1 * c1, c2))
           run "Theorem 7" @"$c_1\sqrt{3/2}+\sqrt2\le4.31$" 1 303UL (fun _ _ -> struct (c1 * sqrt 1.5 + sqrt 2.0, 4.31))
           run "Theorem 7" @"$a+b\le\max\{\frac53a,\frac52b\}$" 20000 304UL (fun random _ ->
               let a, b = spread random 1e-6 1e6, spread random 1e-6 1e6
               struct (a + b, max (5.0 / 3.0 * a) (2.5 * b)))
           run "Theorem 7" @"$\hat Pf+\psi(\mathrm{Var}_{\hat P}f)$ is nondecreasing in $f$" 20000 305UL (fun random _ ->
               let m, n, iota = 2 + random.NextIndex 8, float (2 + random.NextIndex 2000), uniform random 1.0 60.0
               let p, f = distribution random m, values random m
               let above = f |> Array.map (fun x -> if random.NextIndex 2 = 0 then x else uniform random x 1.0)
               let bonus g = mean p g + ConfidenceBounds.psi (variance p g, n, iota)
               struct (bonus f, bonus above))
           run "Theorem 7" @"$\mathrm{klUCB}(p,\varepsilon)\le p+\sqrt{\varepsilon/2}$" 20000 306UL (fun random _ ->
               let p, e = random.NextDouble(), spread random 1e-8 10.0
               struct (ConfidenceBounds.klUpper (p, e), p + sqrt (e / 2.0)))
           run "Theorem 7" @"$\sqrt{2ab}\le\frac a2+b$" 20000 307UL (fun random _ ->
               let a, b = spread random 1e-6 1e6, spread random 1e-6 1e6
               struct (sqrt (2.0 * a * b), a / 2.0 + b))
           run "Theorem 7" @"$\bar W_k^2-(P_k\bar W_{k+1})^2\le2x_k$" 20000 308UL (fun random _ ->
               let w, next, cost = random.NextDouble(), random.NextDouble(), uniform random 0.0 0.5
               struct (w * w - next * next, 2.0 * max 0.0 (w + cost - next)))
           run "Theorem 7" @"$(\hat P-P)\tilde D\le\sqrt{2m\mathrm{Var}_P(\tilde D)\iota/N}+m\iota/(3N)$" 20000 309UL (fun random _ ->
               let m, n, iota = 2 + random.NextIndex 8, float (2 + random.NextIndex 2000), uniform random 1.0 60.0
               let p, d = distribution random m, values random m
               struct (mean (empirical random p iota n) d - mean p d,
                       sqrt (2.0 * float m * variance p d * iota / n) + float m * iota / (3.0 * n)))
           width
           run "Theorem 7" @"the stated $x_B$, $x_H$ solve their equations from above" 300 310UL (fun random _ ->
               let n, m, horizon = 2 + random.NextIndex 7, 1 + random.NextIndex 20, int (spread random 10.0 1e9)
               let continues = uniform random 0.0 (float (n - 1) * float horizon)
               let b = Regret.optStopBranches (n, m, horizon, 1.0, continues)
               let nf, mf, t = float n, float m, float horizon
               let iota = log ((2.0 * mf + 9.0) * nf * mf * t * t)
               let a, y = iota * (nf - 1.0) * mf * (1.0 + log t), nf * mf + sqrt (8.0 * iota * nf * mf * t)
               let x, h = b.Bernstein - y - 1.0, b.Hoeffding - y - 1.0
               let right =
                   4.31 * sqrt (a * (t + 2.0 * x))
                   + (1.0 + sqrt mf) * sqrt (2.0 * a * (y + 2.0 * x))
                   + (c1 * sqrt (4.0 * mf / 3.0) + c2 + (mf + 1.0) / 3.0) * a
                   + 2.0 * (nf - 1.0) * mf
               let rightH =
                   sqrt (8.0 * iota * (nf - 1.0) * mf * continues) + sqrt (2.0 * mf * a * (y + 2.0 * h)) + mf * a / 3.0 + (nf - 1.0) * mf
               struct (max (right / x) (rightH / h), 1.0)) |]
