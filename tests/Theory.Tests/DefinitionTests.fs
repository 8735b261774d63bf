/// Functions held to their definitions, written down a second time and plainly, and to their values at the ends of their domains.
/// Mechanical mutants (docs/mutations.md) showed that nothing else asked there.
module Theory.Tests.DefinitionTests

open System
open System.Numerics
open Expecto
open OptimalStopping.Theory
open OptimalStopping.Theory.Policies
open Theory.Tests.Close
open Theory.Tests.SyntheticCascade

/// Marsaglia's polar method, in pairs, and Marsaglia and Tsang's gamma variates without their squeeze, on the toolkit's source.
type private Variates(random: SplitMix64) =
    let mutable spare = None

    member _.Normal() =
        match spare with
        | Some x ->
            spare <- None
            x
        | None ->
            let rec inDisc () =
                let u = 2.0 * random.NextDouble() - 1.0
                let v = 2.0 * random.NextDouble() - 1.0
                let s = u * u + v * v
                if s < 1.0 && s > 0.0 then struct (u, v, s) else inDisc ()
            let struct (u, v, s) = inDisc ()
            let f = sqrt (-2.0 * log s / s)
            spare <- Some(v * f)
            u * f

    member this.Gamma(shape: float) : float =
        if shape < 1.0 then
            let larger = this.Gamma(shape + 1.0)
            larger * (1.0 - random.NextDouble()) ** (1.0 / shape)
        else
            let d = shape - 1.0 / 3.0
            let rec attempt () =
                let x = this.Normal()
                let v = (1.0 + x / sqrt (9.0 * d)) ** 3.0
                if v > 0.0 then
                    let u = 1.0 - random.NextDouble()
                    if log u < 0.5 * x * x + d - d * v + d * log v then d * v else attempt ()
                else
                    attempt ()
            attempt ()

let private shares (w: float[]) = w |> Array.map (fun x -> x / Array.sum w)

/// Everything that a cascade router knows, from the paper's description.
module private Router =

    let features (data: RecordedCascade) (ran: uint32) q =
        let n = data.Stages
        let inside =
            [ for k in 0 .. n - 1 do
                  if ran >>> k &&& 1u = 1u then k ]
        [| yield! data.Context[q * data.ContextWidth .. (q + 1) * data.ContextWidth - 1]
           for k in inside do
               let x = data.Confidence[q * n + k]
               if Double.IsNaN x then
                   yield! [ 0.5; 0.0; 1.0 ]
               else
                   let p = Math.Clamp(x, 1e-9, 1.0 - 1e-9)
                   yield! [ p; -p * log p - (1.0 - p) * log (1.0 - p); 0.0 ]
               if data.HasAnswers then
                   for j in inside do
                       if j < k then
                           let mine, other = data.Answer[q * n + k], data.Answer[q * n + j]
                           if mine >= 0 && mine = other then 1.0 else 0.0 |]

    let fit (data: RecordedCascade) (rows: int[]) =
        let n = data.Stages
        let all = 1u <<< n
        let shown (ran: uint32) q = Seq.forall (fun k -> ran >>> k &&& 1u = 0u || data.IsRecorded(q, k)) [ 0 .. n - 1 ]
        let predictor =
            Array.init (int all) (fun set ->
                let usable = rows |> Array.filter (shown (uint32 set))
                Array.init n (fun k ->
                    let seen = usable |> Array.filter (fun q -> data.IsRecorded(q, k))
                    if seen.Length < 2 || (features data (uint32 set) 0).Length = 0 then
                        fun _ -> data.MeanQuality(rows, k)
                    else
                        let labels = seen |> Array.map (fun q -> data.Quality[q * n + k])
                        let fitted = Logistic.fit (seen |> Array.map (features data (uint32 set)), labels, 1.0)
                        fun q -> fitted.Apply(features data (uint32 set) q)))
        let full = rows |> Array.filter (shown (all - 1u))
        let normals =
            let random = SplitMix64 0x5EEDUL
            let half =
                Array.init 50 (fun _ ->
                    Array.init n (fun _ ->
                        let radius = sqrt (-2.0 * log (1.0 - random.NextDouble()))
                        radius * cos (2.0 * Math.PI * random.NextDouble())))
            Array.append half (half |> Array.map (Array.map (~-)))
        let errors =
            Array.init (int all) (fun set ->
                let gap = full |> Array.map (fun q -> Array.init n (fun k -> predictor[set].[k]q - predictor[int all - 1].[k]q))
                let centred k = let mean = gap |> Array.averageBy (fun g -> g[k]) in gap |> Array.map (fun g -> g[k] - mean)
                let columns = Array.init n centred
                let covariance a b = Array.fold2 (fun s x y -> s + x * y) 0.0 columns[a] columns[b] / float (full.Length - 1)
                // Cholesky, row by row.
                let l = Array2D.zeroCreate n n
                for i in 0 .. n - 1 do
                    for j in 0..i do
                        let rest =
                            (covariance i j) + (if i = j then 1e-12 else 0.0) - Seq.sum (seq { for k in 0 .. j - 1 -> l[i, k] * l[j, k] })
                        l[i, j] <-
                            if i = j then sqrt (max rest 0.0)
                            elif l[j, j] > 0.0 then rest / l[j, j]
                            else 0.0
                normals |> Array.map (fun z -> Array.init n (fun i -> Seq.sum (seq { for j in 0..i -> l[i, j] * z[j] }))))
        predictor, errors

[<Tests>]
let tests =
    testList
        "Examples.Definitions"
        [ test "gamma variates: the unstructured instance's tables are those of an independent sampler" {
              for seed in 1UL .. 60UL do
                  let bins = 2 + int seed % 7
                  let model = Instances.unstructured (3, bins, seed)
                  let variates = Variates(SplitMix64 seed)
                  let row () = shares (Array.init bins (fun _ -> variates.Gamma 0.5 + 1e-12))
                  allWithin 1e-9 model.Initial (row ()) "initial"
                  for kernel in model.Kernels do
                      for s in 0 .. bins - 1 do
                          allWithin 1e-9 kernel[s] (row ()) "kernel"
          }
          test "the structured instance, from its description" {
              for seed in 1UL .. 20UL do
                  for stages in [ 2; 4; 6 ] do
                      let bins, random = 5, SplitMix64 seed
                      let uniform low high = low + (high - low) * random.NextDouble()
                      let centre s = (float s + 0.5) / 5.0
                      let bell at width = shares (Array.init bins (fun s -> exp (-((centre s - at) ** 2.0) / (2.0 * width * width))))
                      let model = Instances.structured (stages, bins, seed)
                      let at = uniform 0.3 0.5
                      allWithin 1e-12 model.Initial (bell at (uniform 0.2 0.35)) "initial"
                      for kernel in model.Kernels do
                          let memory = uniform 0.4 0.9
                          let level = uniform 0.5 0.8
                          let width = uniform 0.1 0.3
                          for s in 0 .. bins - 1 do
                              allWithin 1e-12 kernel[s] (bell (memory * centre s + (1.0 - memory) * level) width) "kernel"
                      for k in 0 .. stages - 1 do
                          let rank = float k / float (stages - 1)
                          let low = uniform 0.05 0.15 + 0.15 * rank
                          let high = uniform 0.8 0.9 + 0.08 * rank
                          let power = uniform 0.7 1.5
                          allWithin 1e-12 model.Means[k] (Array.init bins (fun s -> low + (high - low) * centre s ** power)) "means"
                      let costs =
                          if stages = 4 then
                              [| 1.0; 2.0; 4.5; 10.0 |]
                          else
                              Array.init stages (fun k -> 10.0 ** (float k / float (stages - 1)))
                      allWithin 1e-12 (Instances.costs stages) costs "costs"
                      allWithin 1e-12 model.ContinueCosts (costs[1..] |> Array.map (fun c -> 0.3 * c / Array.sum costs)) "costs of going on"
              allWithin 0.0 (Instances.costs 1) [| 1.0 |] "one stage"
              rejects (fun () -> Instances.costs 0 |> ignore) "no stage"
              rejects (fun () -> Instances.structured (1, 5, 0UL) |> ignore) "one stage to structure"
              rejects (fun () -> Instances.structured (2, 1, 0UL) |> ignore) "one bin"
              rejects (fun () -> Instances.aliased 2 |> ignore) "no stage to hide in"
          }
          test "a pool's range is 1 and its dearest query's cost of all stages" {
              let pool =
                  Pool.Create(
                      [| [| 0; 0; 0 |]; [| 0; 0; 0 |] |],
                      [| [| 0.0; 0.5; 1.0 |]; [| 1.0; 1.0; 1.0 |] |],
                      [| [| 7.0; 1.0; 2.0 |]; [| 9.0; 2.0; 4.0 |] |],
                      0.125,
                      1
                  )
              within 1e-15 (pool :> IEnvironment).Range 1.75 "range"
              allWithin 1e-15 (pool :> IEnvironment).ContinueCosts [| 0.1875; 0.375 |] "mean costs of going on"
              rejects (fun () -> Pool.Create([| [| 1 |] |], [| [| 0.0 |] |], [| [| 0.0 |] |], 0.1, 1) |> ignore) "a bin beyond the last"
          }
          test "NEST's rates by their formulas, at the ends too" {
              let ln2, full, run, returned = log 2.0, Feedback.Full, Feedback.StagesRun, Feedback.Returned
              let is (expected: float) (gamma: float) (rates: NestRates) =
                  within 1e-15 rates.Eta expected "eta"
                  within 1e-15 rates.Gamma gamma "gamma"
              // D = min(n, ln(1 + T)) from T = 20 on.
              within 1e-15 (NestRates.Depth(run, 8, 20.0)) (log 21.0) "T = 20"
              within 1e-15 (NestRates.Depth(run, 8, 19.0)) 8.0 "T = 19"
              within 1e-15 (NestRates.Depth(run, 2, 20.0)) 2.0 "n below ln"
              within 1e-15 (NestRates.Depth(returned, 8, 1e6)) 8.0 "returned"
              // ln N is raised to ln 2 and otherwise left.
              for logN, used in [ 0.0, ln2; 0.5, ln2; 3.0, 3.0 ] do
                  NestRates.Tuned(full, 4, logN, 50) |> is (sqrt (8.0 * used / 50.0)) 0.0
                  NestRates.Anytime(full, 4, logN, 50) |> is (sqrt (8.0 * used / 50.0)) 0.0
                  let eta = sqrt (used / 200.0)
                  NestRates.Tuned(returned, 4, logN, 50) |> is eta (eta / 2.0)
                  let eta = sqrt (used / 400.0)
                  NestRates.Anytime(run, 4, logN, 50) |> is eta (eta / 2.0)
                  let eta = sqrt (0.25 * used / 200.0)
                  NestRates.TunedAudited(returned, 4, logN, 50, 0.25) |> is eta (eta / 2.0)
                  let eta = sqrt (0.25 * used / 50.0)
                  NestRates.TunedAudited(full, 4, logN, 50, 0.25) |> is eta (eta / 2.0)
                  let eta = sqrt (0.25 * used / 400.0)
                  NestRates.AnytimeAudited(returned, 4, logN, 50, 0.25) |> is eta (eta / 2.0)
                  let eta = sqrt (0.25 * used / 100.0)
                  NestRates.AnytimeAudited(full, 4, logN, 50, 0.25) |> is eta (eta / 2.0)
              within 1e-15 (NestRates.LogComparators(5, true)) (log 10.0) "with a side expert"
              within 1e-15 (NestRates.LogComparators(5, false)) (log 5.0) "without"
              allWithin 1e-15 (NestRates.Stakes 0.125) [| 0.25; 1.0; 4.0 |] "stakes"
              within 1e-12 (NestRates.BetUpwards(0.2, 0.7, 0.5)) (-5.0 * log (1.0 - 2.0 * (1.0 - exp -0.14))) "upward bet"
          }
          test "lower bounds begin where the theorems say" {
              within 1e-15 (Regret.lowerBound (5, 4)) (sqrt 16.0 / 64.0) "T = n - 1"
              within 0.0 (Regret.lowerBound (5, 3)) 0.0 "T below"
              within 0.0 (Regret.lowerBound (1, 10)) 0.0 "one stage"
              within 1e-15 (Regret.lowerBound (2, 10)) (sqrt 10.0 / 64.0) "two stages"
              within 1e-15 (Regret.lowerBoundAudited (5, 8, 0.5)) (sqrt 64.0 / 64.0) "p T = n - 1"
              within 0.0 (Regret.lowerBoundAudited (5, 7, 0.5)) 0.0 "p T below"
              within 0.0 (Regret.lowerBoundAudited (1, 7, 0.5)) 0.0 "one stage, audited"
              within 1e-15 (Regret.lowerBoundReturned (2, 50)) (10.0 / 20.0) "returned"
              within 1e-15 (Regret.lowerBoundReturned (9, 4)) (4.0 / 20.0) "cut at T"
              within 0.0 (Regret.lowerBoundReturned (1, 4)) 0.0 "one stage, returned"
          }
          test "one draw is no proof of a distribution: the radius by its formula, its domain" {
              within 1e-15 (SpeculativeSampling.totalVariationRadius (5, 100L, 0.1)) (0.1 + sqrt (log 10.0 / 200.0)) "radius"
              within 1e-15 (SpeculativeSampling.totalVariationRadius (1, 1L, 0.5)) (sqrt (log 2.0 / 2.0)) "one token, one draw"
              rejects (fun () -> SpeculativeSampling.totalVariationRadius (0, 1L, 0.5) |> ignore) "no token"
              rejects (fun () -> SpeculativeSampling.totalVariationRadius (1, 0L, 0.5) |> ignore) "no draw"
          }
          test "non-inferiority of constant differences; power at the ends" {
              let result d margin = let r = NonInferiority.pairedT (Array.create 4 d, margin) in r.Statistic, r.PValue
              Expect.equal (result -0.25 0.25) (0.0, 0.5) "at the margin"
              Expect.equal (result 1.0 0.0) (infinity, 0.0) "above, at 1"
              Expect.equal (result -0.5 0.25) (-infinity, 1.0) "below"
              Expect.equal (Power.requiredPairs (1.0, 0.05, 0.8)) 8L "an effect of 1"
              Expect.equal (Power.requiredPairs (-1.0, 0.05, 0.8)) 8L "an effect of -1"
              rejects (fun () -> Power.requiredPairs (0.0, 0.05, 0.8) |> ignore) "no effect"
              rejects (fun () -> Power.requiredPairs (infinity, 0.05, 0.8) |> ignore) "no such effect"
              rejects (fun () -> Power.minimalDetectableEffect (1.0, 0, 0.05, 0.8) |> ignore) "no pair"
              rejects (fun () -> Power.achieved (1.0, 0, 0.05) |> ignore) "no pair"
              within 1e-12 (Power.minimalDetectableEffect (0.0, 1, 0.05, 0.8)) 0.0 "no spread"
              rejects (fun () -> Power.minimalDetectableEffect (-0.5, 1, 0.05, 0.8) |> ignore) "a spread below 0"
              within 1e-9 (Power.achieved (0.0, 1, 0.05)) 0.05 "no effect is found by chance only"
          }
          test "the interval of clustered means is BCa's of the ratio of sums over clusters" {
              let random = Random 8
              for round in 1..20 do
                  let clusters = Array.init 40 (fun i -> i % (5 + round % 4) + (if i % 3 = 0 then 1 else 0))
                  let sample = Array.init 40 (fun _ -> random.NextDouble())
                  let groups = Array.zip clusters sample |> Array.groupBy fst |> Array.map (snd >> Array.map snd)
                  let ratio (chosen: float[]) =
                      (chosen |> Array.sumBy (fun g -> Array.sum groups[int g]))
                      / (chosen |> Array.sumBy (fun g -> float groups[int g].Length))
                  let direct = Bootstrap.bca (Array.init groups.Length float, Func<_, _> ratio, 400, 0.9, 5UL)
                  let clustered = Bootstrap.bcaClusteredMean (sample, clusters, 400, 0.9, 5UL)
                  within 1e-9 clustered.Estimate direct.Estimate "estimate"
                  within 1e-9 clustered.Low direct.Low "low"
                  within 1e-9 clustered.High direct.High "high"
          }
          test "a router's predictions and worths, from the paper's description" {
              let random = Random 9
              for n, answers, width in [ 3, true, 0; 3, false, 2; 2, true, 1 ] do
                  let count = 160
                  let ease = Array.init count (fun _ -> random.NextDouble())
                  let cell f = Array.init (count * n) (fun i -> f (i / n) (i % n))
                  let gone = cell (fun q k -> random.Next 9 = 0 && q % n <> k)
                  let unless (value: int -> int -> float) = cell (fun q k -> if gone[q * n + k] then nan else value q k)
                  let confidence =
                      unless (fun q k ->
                          if random.Next 7 = 0 then nan
                          elif random.Next 11 = 0 then 1.0
                          else min 1.0 (ease[q] + 0.2 * random.NextDouble()))
                  let data =
                      RecordedCascade.Create(
                          count,
                          n,
                          unless (fun _ k -> float (k + 1)),
                          confidence,
                          unless (fun q k -> if random.NextDouble() < 0.3 + 0.5 * ease[q] + 0.1 * float k then 1.0 else 0.0),
                          (if answers then cell (fun _ _ -> random.Next 3 - 1) else [||]),
                          width,
                          Array.init (count * width) (fun _ -> random.NextDouble())
                      )
                  let rows = [| 0 .. count - 1 |]
                  let estimates = RouterEstimates.Fit(data, rows)
                  allWithin 1e-12 estimates.Cost (Array.init n (fun k -> float (k + 1))) "costs"
                  let predictor, errors = Router.fit data rows
                  for ran in 0u .. (1u <<< n) - 1u do
                      for q in 0..30 do
                          let quality, worth = Array.zeroCreate<float> n, Array.zeroCreate<float>(RouterEstimates.Supermodels(n, ran))
                          let answer = if answers then ReadOnlySpan(data.Answer, q * n, n) else ReadOnlySpan<int>.Empty
                          estimates.Fill(
                              ran,
                              ReadOnlySpan(data.Confidence, q * n, n),
                              answer,
                              ReadOnlySpan(data.Context, q * width, width),
                              Span<float> quality,
                              Span<float> worth
                          )
                          let predicted = Array.init n (fun k -> predictor[int ran].[k]q)
                          allWithin 1e-7 quality predicted "quality"
                          let last = 31 - BitOperations.LeadingZeroCount ran
                          for b in 0 .. worth.Length - 1 do
                              if ran <> 0u || b > 0 then
                                  let inside k = ran >>> k &&& 1u = 1u || (k > last && b >>> (k - last - 1) &&& 1 = 1)
                                  let expected =
                                      errors[int ran]
                                      |> Array.averageBy (fun e ->
                                          Seq.max (
                                              seq {
                                                  for k in 0 .. n - 1 do
                                                      if inside k then predicted[k] + e[k]
                                              }
                                          ))
                                  within 1e-6 worth[b] expected "worth"
              Expect.equal RouterEstimates.MaxStages 6 "stages"
              RouterEstimates.Fit(continuous 6 12 1, [| 0..11 |]) |> ignore
          }
          test "the best level of recall is the largest so far, each look at an answer by itself" {
              let random = Random 10
              for _ in 1..40 do
                  let model = Jump.fromChain (JumpTests.randomChain random 3 3)
                  let plan = Recall.plan (model, 0.05)
                  for k in 0 .. plan.LevelOf.Length - 1 do
                      for s in 0 .. plan.LevelOf[k].Length - 1 do
                          Expect.equal (plan.Raise(-1, k, s)) plan.LevelOf[k].[s] "nothing before"
                          for b in 0 .. plan.Levels.Length - 1 do
                              Expect.equal (plan.Raise(b, k, s)) (if b > plan.LevelOf[k].[s] then b else plan.LevelOf[k].[s]) "the larger"
          }
          test "families are compared by area, groups and slack; equal families go to the simplest" {
              // Two single models and families whose one point lies between them, the second better by `lead` in each group.
              let outcome (cost: float) (quality: float[]) =
                  { Cost = quality |> Array.map (fun _ -> 3.0 * cost)
                    Quality = quality |> Array.map ((*) 3.0)
                    Stops = [||]
                    Queries = 3 * quality.Length }
              let groups = 8
              let random = Random 12
              for lead, noise in [ 0.1, 0.0; 0.1, 0.3; 0.0, 0.0; -0.1, 0.0 ] do
                  let noisy = Array.init groups (fun _ -> noise * (random.NextDouble() - 0.5))
                  let models = [| outcome 1.0 (Array.create groups 0.5); outcome 3.0 (Array.create groups 0.9) |]
                  let simple = [| outcome 1.0 (Array.create groups 0.5); outcome 2.0 (Array.create groups 0.75); models[1] |]
                  let rich = [| simple[0]; outcome 2.0 (noisy |> Array.map (fun x -> 0.75 + lead + x)); models[1] |]
                  let chosen slack = FamilyChoice.choose ([| [| simple; rich |] |], [| models |], slack)
                  let found = chosen [| 0.0; 0.0 |]
                  let height (points: GroupedOutcome[]) = points[1].MeanQuality
                  // The area of two trapezia over costs 1 to 3.
                  let area (points: GroupedOutcome[]) = ((0.5 + height points) / 2.0 + (height points + 0.9) / 2.0)
                  within 1e-9 (found.Score[1] - found.Score[0]) ((area rich - area simple) / 2.0) "lead of scores"
                  Expect.equal found.Chosen (if found.Score[1] > found.Score[0] + 1e-9 then 1 else 0) "the better, of equals the simplest"
                  let winner = if found.Score[1] > found.Score[0] then 1 else 0
                  within 0.0 found.Error[winner] 0.0 "no error of its own lead"
                  if noise = 0.0 then
                      within 1e-9 found.Error[1 - winner] 0.0 "groups that agree"
                  else
                      Expect.isGreaterThan found.Error[1 - winner] 0.0 "groups that differ"
                  // With enough slack the richer one is taken although it is worse.
                  if noise > 0.0 then Expect.equal (chosen [| 0.0; 1e6 |]).Chosen 1 "slack"
              rejects (fun () -> FamilyChoice.choose ([||], [||], [||]) |> ignore) "no fold"
              rejects (fun () -> FamilyChoice.choose ([| [| [||] |] |], [| [||] |], [||]) |> ignore) "no slack"
          } ]
