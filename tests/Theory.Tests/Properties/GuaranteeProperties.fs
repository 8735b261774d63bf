/// Properties of sample sizes, risk control, monitoring and calibration: theory-proofs.md 28 to 32, theory.md section 8.
module Theory.Tests.GuaranteeProperties

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close
open Theory.Tests.Cases

let private within01 low high x = low + (high - low) * x
let private sure = 1e-9

[<Tests>]
let tests =
    testList
        "Properties.Guarantees"
        [ property 300 "P28 sample sizes fall in eps and delta and rise in N"
          <| fun (Unit e) (Unit d) (Unit l) ->
              let epsilon, delta, logN = within01 0.01 0.5 e, within01 0.001 0.5 d, 10.0 * l
              let at epsilon delta logN = SampleComplexity.samplesFor (1.3, logN, epsilon, delta)
              let here = at epsilon delta logN
              Expect.isTrue (at (1.5 * epsilon) delta logN <= here) "eps"
              Expect.isTrue (at epsilon (1.5 * delta) logN <= here) "delta"
              Expect.isTrue (at epsilon delta (logN + 1.0) >= here) "N"

          property 300 "P28b Theorem 9's inverses are inverse, minimal by one"
          <| fun (Unit e) (Unit d) (Unit l) ->
              let epsilon, delta, logN = within01 0.01 0.5 e, within01 0.001 0.5 d, 10.0 * l
              let samples = SampleComplexity.samplesFor (1.3, logN, epsilon, delta)
              atMost 1e-12 (SampleComplexity.epsilonFor (1.3, logN, samples, delta)) epsilon "enough"
              if samples > 1L then
                  Expect.isTrue (SampleComplexity.epsilonFor (1.3, logN, samples - 1L, delta) > epsilon) "one fewer is too few"
              atMost 1e-12 (SampleComplexity.deltaFor (1.3, logN, samples, epsilon)) delta "delta"

          property 100 "P28c Theorems 10 and 11: inverses are inverse, minimal by one, and rise with n"
          <| fun (Unit e) (Unit d) (Seed seed) ->
              let epsilon, delta, n = within01 0.05 0.5 e, within01 0.01 0.5 d, 2 + abs seed % 5
              let check (samples: int -> int64) (error: int -> int64 -> float) =
                  let least = samples n
                  atMost 1e-12 (error n least) epsilon "enough"
                  if least > 1L then Expect.isTrue (error n (least - 1L) > epsilon) "one fewer is too few"
                  Expect.isTrue (samples (n + 1) >= least) "n"
              check (fun n -> SampleComplexity.samplesForOneParameter (1.3, n, epsilon, delta)) (fun n m ->
                  SampleComplexity.epsilonForOneParameter (1.3, n, m, delta))
              check (fun n -> SampleComplexity.samplesForRealThresholds (1.3, n, epsilon, delta)) (fun n m ->
                  SampleComplexity.epsilonForRealThresholds (1.3, n, m, delta))
              check (fun n -> SampleComplexity.samplesPerBinForPlugIn (n, 5, epsilon, delta)) (fun n m ->
                  SampleComplexity.epsilonForPlugIn (Array.init n (fun _ -> Array.create 5 m), 5L * m, delta))

          property 200 "P28d empirical Bernstein: the inverse is minimal by one and tighter than Hoeffding at small variance"
          <| fun (Unit v) (Unit e) (Unit d) ->
              let variance, epsilon, delta = 0.25 * v, within01 0.02 0.4 e, within01 0.01 0.3 d
              let radius count = SampleComplexity.empiricalBernsteinRadius (1.0, variance, count, delta)
              let least = SampleComplexity.samplesForBernstein (1.0, variance, epsilon, delta)
              atMost 1e-12 (radius (int least)) epsilon "enough"
              if least > 2L then Expect.isTrue (radius (int least - 1) > epsilon) "one fewer is too few"
              Expect.isTrue (SampleComplexity.samplesForBernstein (1.0, 0.0, epsilon, delta) <= least) "no variance needs fewest"

          property 300 "P29 two policies: the chance that the worse one wins, by enumeration, is within Theorem 9's delta"
          <| fun (Unit e) (Seed seed) ->
              // Rewards 0 and 1, always opposite: differences of -1 and 1, of the widest spread. The worse is worse by 2p - 1 > epsilon.
              let traces, epsilon = 1 + abs seed % 400, within01 0.02 0.9 e
              let p = min 0.999 ((1.0 + epsilon) / 2.0 + 1e-9)
              let wins = float (traces / 2)
              // The better one gets at most half of the traces (ties may go to the worse).
              let chance = MathNet.Numerics.Distributions.Binomial.CDF(p, traces, wins)
              let delta = SampleComplexity.deltaFor (1.0, log 2.0, int64 traces, epsilon)
              atMost 1e-12 chance delta "Theorem 9"
              // Not idle: the exponent is right, so the bound is within a factor that grows slower than exponentially.
              if epsilon < 0.3 && chance > 1e-12 then
                  Expect.isLessThan
                      (log delta - log chance)
                      (3.0 + 2.0 * log (float traces + 1.0) + 0.2 * float traces * epsilon ** 4.0 + epsilon * 3.0)
                      "sharp"

          property 300 "P29b the policy class certificate is the largest upper end less the chosen one's lower end, ties included"
          <| fun (Seed seed) ->
              let random = Random seed
              let count, traces = random.Next(1, 8), random.Next(2, 5000)
              let means = Array.init count (fun _ -> 0.25 * float (random.Next 5))
              let variances = Array.init count (fun _ -> 0.125 * float (random.Next 3))
              let delta = 0.01 + 0.5 * random.NextDouble()
              let best = Array.findIndex ((=) (Array.max means)) means
              let log4 = log (4.0 * float count / delta)
              let radius v = sqrt (2.0 * v * log4 / float traces) + 7.0 * 1.5 * log4 / (3.0 * float (traces - 1))
              let losses =
                  [ 0.0
                    for i in 0 .. count - 1 do
                        if i <> best then means[i] + radius variances[i] - (means[best] - radius variances[best]) ]
              within
                  1e-12
                  (SampleComplexity.policyClassCertificate (1.5, means, variances, traces, delta))
                  (min 1.5 (List.max losses))
                  "a policy that ties with the chosen one may be better"

          property 100 "P30 Hoeffding-Bentkus: P(p <= u) <= u at the edge of the null, by enumeration; monotone in the loss"
          <| fun (Unit a) (Unit u) (Seed seed) ->
              let alpha, count = within01 0.02 0.6 a, 5 + abs seed % 60
              let p k = RiskControl.hoeffdingBentkus (float k / float count, count, alpha)
              let distribution k = MathNet.Numerics.Distributions.Binomial.PMF(alpha, count, k)
              atMost
                  1e-9
                  (Seq.sum (
                      seq {
                          for k in 0..count do
                              if p k <= u then distribution k
                      }
                  ))
                  u
                  "valid"
              for k in 1..count do
                  atMost 1e-12 (p (k - 1)) (p k) "monotone"

          property 100 "P30b exact binomial: valid by enumeration, and never above Hoeffding-Bentkus"
          <| fun (Unit a) (Unit u) (Seed seed) ->
              let alpha, count = within01 0.02 0.6 a, 5 + abs seed % 60
              let p k = RiskControl.binomial (k, count, alpha)
              let distribution k = MathNet.Numerics.Distributions.Binomial.PMF(alpha, count, k)
              atMost
                  1e-9
                  (Seq.sum (
                      seq {
                          for k in 0..count do
                              if p k <= u then distribution k
                      }
                  ))
                  u
                  "valid"
              for k in 0..count do
                  atMost 1e-9 (p k) (RiskControl.hoeffdingBentkus (float k / float count, count, alpha)) "sharper"

          property 200 "P30c fixed sequence: every p-value up to the choice passes, the next does not"
          <| fun (Distributions(p, _)) (Unit d) ->
              let delta = within01 0.001 0.5 d
              let last = RiskControl.fixedSequence (p, delta)
              Expect.isTrue (p[..last] |> Array.forall (fun x -> x <= delta)) "passed"
              if last + 1 < p.Length then Expect.isTrue (p[last + 1] > delta) "failed"

          property 60 "P30d the policy chosen breaks its risk with probability at most delta, by enumeration, losses in no order"
          <| fun (Unit d) (Seed seed) ->
              let random = Random seed
              let delta, alpha, traces = within01 0.02 0.6 d, within01 0.1 0.6 (random.NextDouble()), random.Next(4, 13)
              // Just beyond alpha, where an error is likeliest, or below it.
              let risks = Array.init 3 (fun _ -> if random.Next 2 = 0 then alpha + 1e-6 else alpha * random.NextDouble())
              let chance k r = MathNet.Numerics.Distributions.Binomial.PMF(r, traces, k)
              let mutable wrong = 0.0
              for a in 0..traces do
                  for b in 0..traces do
                      for c in 0..traces do
                          let losses = [| a; b; c |] |> Array.map (fun k -> Array.init traces (fun i -> if i < k then 1.0 else 0.0))
                          let chosen = RiskControl.choose (losses, alpha, delta)
                          if chosen >= 0 && risks[chosen] > alpha then
                              wrong <- wrong + chance a risks[0] * chance b risks[1] * chance c risks[2]
              atMost 1e-9 wrong delta "risk"

          property 200 "P31 confidence sequences weight a value by what came before it, and only narrow"
          <| fun (Unit a) (Unit other) (Seed seed) ->
              let random, alpha = Random seed, within01 0.001 0.5 a
              let mutable state = ConfidenceSequences.start alpha
              let mutable squares, total = 0.25, 0.5
              for t in 1..60 do
                  let x = 0.25 * float (random.Next 5)
                  let next, counterfactual = ConfidenceSequences.observe (state, x), ConfidenceSequences.observe (state, other)
                  let lambda = next.Weight - state.Weight
                  Expect.equal counterfactual.Weight next.Weight "the weight does not see the value"
                  within
                      1e-12
                      lambda
                      (min 0.5 (sqrt (2.0 * log (2.0 / alpha) / (squares / float t * float t * log (1.0 + float t)))))
                      "weight"
                  let mean = total / float t
                  let psi = (-(log (1.0 - lambda)) - lambda) / 4.0
                  within 1e-12 (next.Variation - state.Variation) (4.0 * (x - mean) * (x - mean) * psi) "variation"
                  within 1e-12 (next.WeightedTotal - state.WeightedTotal) (lambda * x) "weighted total"
                  let half = (log (2.0 / alpha) + next.Variation) / next.Weight
                  within 1e-12 next.Low (max state.Low (next.WeightedTotal / next.Weight - half)) "low, intersected"
                  within 1e-12 next.High (min state.High (next.WeightedTotal / next.Weight + half)) "high, intersected"
                  // The capital of either side is a supermartingale for two-valued observations of any mean m.
                  for m in [ 0.1; 0.5; 0.9 ] do
                      let factor s v = exp (s * lambda * (v - m) - 4.0 * (v - mean) * (v - mean) * psi)
                      for s in [ 1.0; -1.0 ] do
                          atMost 1e-12 (m * factor s 1.0 + (1.0 - m) * factor s 0.0) 1.0 "supermartingale"
                  total <- total + x
                  squares <- squares + (x - total / float (t + 1)) * (x - total / float (t + 1))
                  state <- next

          property 200 "P31c the betting p-value's capital is fair at the edge of the null: its bet does not see the loss that settles it"
          <| fun (Unit a) (Unit d) (Seed seed) ->
              let random, alpha, delta = Random seed, within01 0.1 0.9 a, within01 0.001 0.5 d
              // Losses of 0 first, so that the capital is at its largest at the end and the p-value shows it.
              let history = Array.init (1 + random.Next 30) (fun _ -> 0.0)
              let capital x = 1.0 / RiskControl.betting (Array.append history [| x |], alpha, delta)
              let all = Array.init (history.Length + 1) (fun _ -> 0.0)
              within 1e-9 (capital 0.0) (1.0 / RiskControl.betting (all, alpha, delta)) "the last of all"
              let before = capital alpha // a loss of alpha changes nothing
              let below = capital (0.5 * alpha)
              within (1e-9 * capital 0.0) (0.5 * (before + capital 0.0)) below "linear in the loss"
              // Bets written out: 1/2 and 1/4 of a pseudo-observation come first.
              let count = float all.Length
              let mutable k, sum, squares = 1.0, 0.5, 0.25
              for i in 1 .. all.Length do
                  let bet = min (0.5 / (1.0 - alpha)) (sqrt (2.0 * log (1.0 / delta) / (count * squares / float i)))
                  k <- k * (1.0 + bet * alpha)
                  let mean = sum / (float i + 1.0)
                  squares <- squares + mean * mean
              within (1e-9 * k) (capital 0.0) k "capital"

          property 100 "P31b the alarm's capital is fair at its floor and linear in the quality; once raised it stays"
          <| fun (Unit p) (Seed seed) ->
              let random, floor = Random seed, within01 0.05 0.95 p
              let mutable alarm = ConfidenceSequences.startAlarm (floor, 0.001)
              let mutable t = 0
              while t < 300 && not alarm.Raised do
                  let state = alarm
                  let capital x = exp (ConfidenceSequences.observeQuality (state, x)).LogCapital
                  let now = exp state.LogCapital
                  within (1e-11 * (1.0 + now)) (capital floor) now "fair"
                  within (1e-11 * (1.0 + capital 0.0)) (0.25 * capital 1.0 + 0.75 * capital 0.0) (capital 0.25) "linear"
                  alarm <- ConfidenceSequences.observeQuality (alarm, 0.25 * float (random.Next 4))
                  Expect.equal alarm.Raised (alarm.LogCapital >= log 1000.0) "raised at 1/delta"
                  t <- t + 1
              if alarm.Raised then
                  let later = Seq.fold (fun s x -> ConfidenceSequences.observeQuality (s, x)) alarm (Seq.replicate 50 1.0)
                  Expect.isTrue later.Raised "latched"

          property 300 "P32 planning with wrong tables loses at most the bound"
          <| fun (Chain model) (Unit size) (Unit share) (Seed seed) ->
              let wrong = MiscalibrationTests.perturbed (Random seed) (0.4 * size) (0.3 * share) model
              let loss = Chain.optimalValue model - Chain.value (model, Chain.policy (Chain.plan wrong))
              let errors = Array.map2 (Array.map2 (fun (a: float) b -> abs (a - b))) model.Means wrong.Means
              let marginals = Chain.occupancy (model, model.ContinueCosts |> Array.map (fun _ -> Array.create model.Initial.Length false))
              let eces = Array.map2 (fun distribution error -> Array.map2 (*) distribution error |> Array.sum) marginals errors
              let kernelErrors =
                  Array.map2
                      (fun p q -> Array.map2 (fun a b -> SpeculativeSampling.totalVariation (a, b)) p q |> Array.max)
                      model.Kernels
                      wrong.Kernels
              let bound = Miscalibration.valueLoss (Array.map Array.max errors, eces, kernelErrors, Chain.range model)
              atMost 1e-12 -loss 0.0 "no gain"
              atMost 1e-12 loss bound "bound"

          property 200 "P51 Clopper-Pearson is the inverse of the exact binomial p-value"
          <| fun (Unit d) (Seed seed) ->
              let delta, count = within01 0.001 0.5 d, 1 + abs seed % 80
              let failures = abs (seed / 100) % count
              let upper = RiskControl.clopperPearsonUpper (failures, count, delta)
              within 1e-7 (RiskControl.binomial (failures, count, upper)) delta "p at the bound"
              within
                  1e-12
                  (RiskControl.clopperPearsonLower (failures, count, delta))
                  (1.0 - RiskControl.clopperPearsonUpper (count - failures, count, delta))
                  "mirror"

          property 200 "P52 conformal risk control: the running maximum's adjusted mean is within alpha, and the choice is maximal"
          <| fun (Unit a) (Seed seed) ->
              let random, alpha = Random seed, within01 0.02 0.9 a
              let losses = Array.init 6 (fun j -> Array.init 30 (fun _ -> random.NextDouble() * float (j + 1) / 6.0))
              let adjusted j =
                  (Array.init 30 (fun i -> losses[..j] |> Array.map (fun row -> row[i]) |> Array.max) |> Array.sum) / 31.0 + 1.0 / 31.0
              let chosen = RiskControl.conformal (losses, alpha)
              if chosen >= 0 then atMost 1e-12 (adjusted chosen) alpha "within"
              if chosen < 5 then Expect.isTrue (adjusted (chosen + 1) > alpha - 1e-12) "maximal"

          property 200 "P53 the betting p-value is at most 1 and small only for small losses"
          <| fun (Seed seed) ->
              let random = Random seed
              let losses = Array.init 50 (fun _ -> 0.2 + 0.6 * random.NextDouble())
              let p alpha = RiskControl.betting (losses, alpha, 0.05)
              Expect.isTrue (p 0.15 = 1.0) "losses above alpha win nothing"
              Expect.isTrue (p 0.9 < 0.05) "losses far below alpha do"
              within 1e-12 (RiskControl.bettingNet (losses |> Array.map (fun x -> 2.0 * x - 1.0), 2.0 * 0.6 - 1.0, 0.05)) (p 0.6) "net"

          property 200 "P54 isotonic: monotone, mean-preserving, idempotent"
          <| fun (Sample ys) (Seed seed) ->
              let random = Random seed
              let weights = ys |> Array.map (fun _ -> 0.1 + random.NextDouble())
              let fit = Isotonic.poolAdjacentViolators (ys, weights)
              Expect.isTrue (Array.pairwise fit |> Array.forall (fun (a, b) -> a <= b + 1e-12)) "monotone"
              within 1e-9 (Array.map2 (*) weights fit |> Array.sum) (Array.map2 (*) weights ys |> Array.sum) "mean"
              allWithin 1e-12 (Isotonic.poolAdjacentViolators (fit, weights)) fit "idempotent"

          property 200 "P55 AUROC depends on the order only, and turns around with the labels"
          <| fun (Sample xs) (Seed seed) ->
              let random = Random seed
              let labels =
                  xs
                  |> Array.mapi (fun i _ ->
                      if i = 0 then 1.0
                      elif i = 1 then 0.0
                      else float (random.Next 2))
              let auroc = CalibrationMetrics.auroc (xs, labels)
              within 1e-12 (CalibrationMetrics.auroc (xs |> Array.map (fun x -> exp (3.0 * x)), labels)) auroc "increasing map"
              within 1e-12 (CalibrationMetrics.auroc (xs, labels |> Array.map (fun y -> 1.0 - y))) (1.0 - auroc) "labels"
              within 1e-12 (CalibrationMetrics.auroc (xs |> Array.map (fun x -> -x), labels)) (1.0 - auroc) "order"

          property 200 "P56 ECE lies between the size of the mean error and the mean size of errors; one bin gives the former"
          <| fun (Sample xs) (Seed seed) ->
              let random = Random seed
              let p = xs |> Array.map (fun _ -> random.NextDouble())
              let labels = xs |> Array.map (fun _ -> float (random.Next 2))
              let mean = Array.map2 (-) p labels |> Array.average |> abs
              for ece in [ CalibrationMetrics.eceEqualWidth; CalibrationMetrics.eceEqualMass ] do
                  atMost 1e-12 mean (ece (p, labels, 7)) "at least"
                  atMost 1e-12 (ece (p, labels, 7)) (Array.map2 (fun a b -> abs (a - b)) p labels |> Array.average) "at most"
                  within 1e-12 (ece (p, labels, 1)) mean "one bin"

          property 100 "P57 temperature and Platt keep the order of confidences"
          <| fun (Seed seed) ->
              let random = Random seed
              let confidences = Array.init 60 (fun _ -> 0.01 + 0.98 * random.NextDouble())
              let labels = confidences |> Array.map (fun c -> if random.NextDouble() < 0.2 + 0.6 * c then 1.0 else 0.0)
              let temperature = Temperature.fit (confidences, labels) :> ICalibrator
              let platt = Platt.fit (confidences, labels) :> ICalibrator
              let sorted = Array.sort confidences
              let monotone (c: ICalibrator) = sorted |> Array.map c.Apply |> Array.pairwise
              Expect.isTrue (monotone temperature |> Array.forall (fun (a, b) -> a <= b + 1e-12)) "temperature"
              let rises, falls =
                  monotone platt |> Array.forall (fun (a, b) -> a <= b + 1e-12),
                  monotone platt |> Array.forall (fun (a, b) -> a >= b - 1e-12)
              Expect.isTrue (rises || falls) "Platt is monotone, in the direction of the data"

          property 100 "P58 histogram binning keeps the mean label"
          <| fun (Sample xs) (Seed seed) ->
              let random = Random seed
              let labels = xs |> Array.map (fun _ -> random.NextDouble())
              let fit = HistogramBinning.fit (xs, labels, 4)
              within 1e-9 (xs |> Array.averageBy fit.Apply) (Array.average labels) "mean"

          property 100 "P59 data-free thresholds: within [0, ceiling], falling in lambda, jump at least chain"
          <| fun (Seed seed) (Unit a) (Unit b) ->
              let random = Random seed
              let costs = Array.init (2 + random.Next 5) (fun _ -> 0.1 + random.NextDouble()) |> Array.scan (+) 0.1
              let low, high = min a b, max a b
              let ceiling = (ReferenceThresholds.Ceiling(costs, low)).Chain
              Array.iter2
                  (fun (x: ReferenceThresholds) (y: ReferenceThresholds) ->
                      for k in 0 .. costs.Length - 2 do
                          for at in [ x.Chain[k]; x.Jump[k]; x.Recall[k] ] do
                              Expect.isTrue (at >= 0.0) "at least 0"
                              atMost 1e-12 at ceiling[k] "ceiling"
                          atMost 1e-12 x.Chain[k] x.Jump[k] "jump"
                          atMost 1e-12 y.Recall[k] x.Recall[k] "falls")
                  (ReferenceThresholds.All(costs, low))
                  (ReferenceThresholds.All(costs, high)) ]
