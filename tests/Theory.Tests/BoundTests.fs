/// Bounds, tests and learners against independent statements of what they are: integrals, roots, integer scans, sums over policies; and
/// their behaviour at ties, at zero and at the ends of their domains.
module Theory.Tests.BoundTests

open System
open Expecto
open OptimalStopping.Theory
open Theory.Tests.Close

/// SplitMix64 run backwards: the seed whose `draw`-th number (1, 2, ...) is `target`.
let private seedFor (target: uint64) (draw: int) =
    let undo shift (y: uint64) = y ^^^ (y >>> shift) ^^^ (y >>> 2 * shift)
    let z = undo 31 target * 0x319642B2D24D8EC3UL
    undo 30 (undo 27 z * 0x96DE1B173F119089UL) - uint64 draw * 0x9E3779B97F4A7C15UL

/// A generator whose `draw`-th uniform number is the largest below 1, or 0.
let private extreme largest draw =
    let target = if largest then UInt64.MaxValue else 0UL
    let source, check = SplitMix64(seedFor target draw), SplitMix64(seedFor target draw)
    for _ in 2..draw do
        check.NextUInt64() |> ignore
    Expect.equal (check.NextDouble()) (if largest then Math.BitDecrement 1.0 else 0.0) "the generator runs backwards"
    source

/// The least whole number from which on a rising condition holds.
let private leastInteger (holds: float -> bool) =
    let mutable high = 1.0
    while not (holds high) do
        high <- 2.0 * high
    let mutable low = 0.0
    while high - low > 1.0 do
        let middle = floor (0.5 * (low + high))
        if holds middle then high <- middle else low <- middle
    high

/// Theorem 13(b) from its proof: the bet of each start and stake must have won its goal in spite of Hoeffding's deviation, and must
/// still be alive then. Also says whether it is won in the last query of that life.
let private alarmDelay (before: int64) floor delta mean eta =
    let rec search spacing =
        let start = float before + spacing
        let needed =
            Seq.min (
                seq {
                    for i in 1..8 do
                        let stake = 2.0 ** -(float i) / (1.0 - floor)
                        let best, worst = log (1.0 + stake * floor), log (1.0 + stake * (floor - 1.0))
                        let growth = best + mean * (worst - best)
                        if growth > 0.0 then
                            let goal = log 8.0 + log start + log (start + 1.0) - log delta
                            leastInteger (fun t -> t * growth - (best - worst) * sqrt (t * -(log eta) / 2.0) >= goal)
                }
            )
        if needed <= 4.0 * spacing then spacing - 1.0 + needed, needed = 4.0 * spacing else search (2.0 * spacing)
    search 1.0

[<Tests>]
let guarantees =
    testList
        "Examples.Bounds"
        [ test "the alarm's delay is that of the first bet that must have won while it lives" {
              let mutable last = 0
              for before in [ 0L; 7L; 1000L; 100_000L ] do
                  for floor, delta, eta in [ 0.95, 0.05, 0.1; 0.6, 0.01, 0.3; 0.8, 0.2, 0.02 ] do
                      for share in 0..60 do
                          let mean = floor * float share / 64.0
                          let delay, atTheEnd = alarmDelay before floor delta mean eta
                          if atTheEnd then last <- last + 1
                          within
                              1e-9
                              (float (ConfidenceSequences.alarmDelay (before, floor, delta, mean, eta)))
                              delay
                              $"{before} {floor} {mean}"
              Expect.isGreaterThan last 0 "some bets win in the last query of their life"
          }
          test "Robbins's half-width: there the normal mixture of all exponential martingales is 1/alpha" {
              for count in [ 1L; 100L; 12_345L ] do
                  for rho in [ 0.2; 1.0; 30.0 ] do
                      for alpha in [ 0.01; 0.2 ] do
                          let sum = float count * ConfidenceSequences.robbinsHalfWidth (count, alpha, rho)
                          // The integrand exp(x s - x^2 t/8) times the normal density of variance 1/rho is itself a normal curve.
                          let precision = float count / 4.0 + rho
                          let centre, deviation = sum / precision, 1.0 / sqrt precision
                          let step = deviation / 40.0
                          let mixture =
                              Seq.sum (
                                  seq {
                                      for i in -480 .. 480 do
                                          let x = centre + float i * step
                                          let density = sqrt (rho / (2.0 * Math.PI)) * exp (-0.5 * rho * x * x)
                                          step * density * exp (x * sum - x * x * float count / 8.0)
                                  }
                              )
                          within (1e-6 / alpha) mixture (1.0 / alpha) $"{count} {rho} {alpha}"
          }
          test "the betting p-value from its definition, mean and variance anew before each bet" {
              let random = Random 2
              for round in 0..39 do
                  let count, alpha, delta = 5 + random.Next 300, 0.05 + 0.4 * random.NextDouble(), 0.05
                  let losses = Array.init count (fun _ -> if round % 2 = 0 then float (random.Next 2) else 0.2 * random.NextDouble())
                  let mean seen = (0.5 + Array.sum losses[.. seen - 1]) / (float seen + 1.0)
                  let variance seen =
                      (0.25 + Seq.sum (seq { for j in 0 .. seen - 1 -> (losses[j] - mean (j + 1)) ** 2.0 })) / (float seen + 1.0)
                  let capital =
                      losses
                      |> Array.mapi (fun i x ->
                          let bet = sqrt (2.0 * log (1.0 / delta) / (float count * variance i))
                          1.0 + (min (0.5 / (1.0 - alpha)) bet) * (alpha - x))
                      |> Array.scan (*) 1.0
                  within 1e-12 (RiskControl.betting (losses, alpha, delta)) (1.0 / Array.max capital) $"round {round}"
          }
          test "0/1 losses are tested exactly, fractions by Hoeffding and Bentkus" {
              // One failure of 50: P(Bin(50, .1) <= 1) = .034, Hoeffding-Bentkus .077.
              let failures = Array.init 50 (fun i -> if i = 7 then 1.0 else 0.0)
              Expect.equal (RiskControl.choose ([| failures |], 0.1, 0.05)) 0 "exact"
              Expect.equal (RiskControl.choose ([| Array.map (fun x -> 1.0 - x) failures |], 0.1, 0.05)) -1 "49 failures"
              // Three halves: not the one failure that whole numbers would see in them.
              let halves = Array.init 50 (fun i -> if i < 3 then 0.5 else 0.0)
              Expect.equal (RiskControl.choose ([| halves |], 0.1, 0.05)) -1 "fractions are not counted as whole failures"
              Expect.equal (RiskControl.choose ([| Array.create 300 0.01 |], 0.1, 0.05)) 0 "small fractions pass"
              // Nine losses of 0: (9 * 0 + 1) / (9 + 1) is .1, which is at most .1.
              Expect.equal (RiskControl.conformal ([| Array.zeroCreate 9 |], 0.1)) 0 "conformal control at its bound"
              Expect.equal (RiskControl.conformal ([| Array.zeroCreate 8 |], 0.1)) -1 "and below its least sample"
          }
          test "traces needed: the first number at which 11 of 21 resamples pass, in steps of a tenth" {
              let mutable exactly = 0
              for seed in 1..24 do
                  let random = Random seed
                  let losses = Array.init 60 (fun _ -> float (random.Next 5 - 2) / 4.0)
                  let alpha, delta, most = 0.15 + 0.02 * float (seed % 5), 0.1, 400
                  let passed count =
                      let source = SplitMix64 0x1ABE15UL
                      Seq.length (
                          Seq.filter
                              id
                              [ for _ in 1..21 do
                                    let sample = Array.init count (fun _ -> losses[int (60.0 * source.NextDouble())])
                                    RiskControl.bettingNet (sample, alpha, delta) <= delta ]
                      )
                  let tried = 10 |> Seq.unfold (fun c -> if c > most then None else Some(c, c + c / 10))
                  let expected = tried |> Seq.tryFind (fun c -> passed c >= 11) |> Option.defaultValue (most + 1)
                  Expect.equal (RiskControl.labelsNeeded (losses, alpha, delta, most)) expected $"seed {seed}"
                  if expected <= most && passed expected = 11 then exactly <- exactly + 1
              Expect.isGreaterThan exactly 0 "somewhere it is 11 of 21 exactly"
          }
          test "Theorem 7's branches solve their equations, with no and with all stages run" {
              for n, m, t in [ 2, 1, 50; 4, 10, 100_000; 3, 2, 1 ] do
                  let all = float ((n - 1) * t)
                  for continues in [ 0.0; 0.5; all ] do
                      let range = 1.5
                      let branches = Regret.optStopBranches (n, m, t, range, continues)
                      let nf, mf, tf = float n, float m, float t
                      let iota = log (2.0 * mf + 9.0) + log nf + log mf + 2.0 * log tf
                      let a = iota * (nf - 1.0) * mf * (1.0 + log tf)
                      let y = nf * mf + sqrt (8.0 * iota * nf * mf * tf)
                      let x = branches.Hoeffding - y - range
                      let right =
                          sqrt (8.0 * iota * (nf - 1.0) * mf * continues)
                          + sqrt (2.0 * mf * a * (y + 2.0 * x))
                          + mf * a / 3.0
                          + (nf - 1.0) * mf
                      within (1e-9 * (1.0 + x)) right x "Hoeffding"
                      let x = branches.Bernstein - y - range
                      let c1, c2 = 5.0 / 3.0 * sqrt 2.0, 35.0 / 6.0
                      let right =
                          4.31 * sqrt (a * (tf + 2.0 * x))
                          + (1.0 + sqrt mf) * sqrt (2.0 * a * (y + 2.0 * x))
                          + a * (c1 * sqrt (4.0 * mf / 3.0) + c2 + (mf + 1.0) / 3.0)
                          + 2.0 * (nf - 1.0) * mf
                      within (1e-9 * (1.0 + x)) right x "Bernstein"
                  rejects (fun () -> Regret.optStopBranches (n, m, t, 1.5, all + 1.0) |> ignore) "more than all stages"
              let branches = Regret.optStopBranches (3, 2, 10_000_000, 1.5, 2e7)
              within 1e-6 (Regret.optStop (3, 2, 10_000_000, 1.5)).Value (min branches.Bernstein branches.Hoeffding) "the smaller one"
          }
          test "regret: audits of every query, boundaries of the lower bounds, no queries" {
              for feedback in [ Feedback.Full; Feedback.StagesRun; Feedback.Returned ] do
                  let bound rate = (Regret.nestAudited (feedback, 4, 5.0, 100_000, 1.3, rate)).Value
                  within 1e-9 (bound 1.0) (Regret.nest (feedback, 4, 5.0, 100_000, 1.3)).Value "all graded"
                  within 1e-6 (bound 0.25) (2.0 * bound 0.5 / sqrt 2.0) "a quarter against a half"
              within 1e-12 (Regret.lowerBoundAudited (3, 4, 0.5)) (sqrt (2.0 * 4.0 / 0.5) / 64.0) "p T = n - 1"
              within 0.0 (Regret.lowerBoundAudited (3, 3, 0.5)) 0.0 "p T < n - 1"
              within 0.0 (Regret.lowerBoundContexts (3, 4, 8)) 0.0 "T < n m"
              within 1e-12 (Regret.lowerBoundContexts (3, 4, 12)) (sqrt 144.0 / 35.0) "T = n m"
              let class3 = PolicyClass.Thresholds(3, 2)
              let start = Hedge.init (class3, 10, 1.5)
              within 0.0 (Nest.certificateA (start, 0.1)) 0.0 "no query, no regret"
              within 0.0 (Nest.regretBound start) 0.0 "no query, no bound"
              let outcome = { Bins = [| 0; 1; 0 |]; Qualities = [| 0.5; 0.5; 0.5 |]; Costs = [| 0.0; 0.1; 0.2 |] }
              let after = Seq.fold (fun state _ -> Hedge.observe (state, outcome, 0)) start (seq { 1..5 })
              let eta = sqrt (8.0 * log 9.0 / 10.0)
              within 1e-9 (Nest.regretBound after) (1.5 * (log 9.0 / eta + 5.0 * eta / 8.0)) "Hedge's bound so far"
              let planned = Nest.weights (Hedge.initWithPlan (class3, 10, 1.5, [| 0.1; 0.1 |]))
              within 1e-12 (Array.last planned) 0.5 "the plan has prior 1/2"
          }
          test "iota and certificate B without data" {
              let fixedHorizon: IotaSchedule = { Horizon = 1000; Delta = 0.0 }
              within 1e-12 (fixedHorizon.At(4, 10, 7.0)) (log 29.0 + log 40.0 + 6.0 * log 10.0) "(2m + 9) n m T^2"
              let anytime: IotaSchedule = { Horizon = 0; Delta = 0.05 }
              within 1e-12 (anytime.At(4, 10, 7.0)) (log (6.0 * 40.0 * 56.0 / 0.05)) "6 n m N (N + 1) / delta"
              within 0.0 (OptStop.certificateB (TabularCounts.Create(2, 3), [| 0.1 |], 0.0, 1.1, 0.05)) 0.0 "no query"
          }
          test "sample sizes at their ends" {
              within 0.0 (SampleComplexity.deltaFor (1.0, 20.0, 1L, 0.01)) 1.0 "a probability is at most 1"
              let radius count = SampleComplexity.empiricalBernsteinRadius (1.0, 0.1, count, 0.05)
              let most = SampleComplexity.samplesForBernstein (1.0, 0.1, radius Int32.MaxValue, 0.05)
              Expect.equal most (int64 Int32.MaxValue) "the smallest radius that a count gives"
              rejects (fun () -> SampleComplexity.samplesForBernstein (1.0, 0.1, 0.9 * radius Int32.MaxValue, 0.05) |> ignore) "smaller"
              rejects (fun () -> Miscalibration.valueLoss ([| 0.1 |], [| 0.1 |], [||], 0.0) |> ignore) "a range of 0"
              Expect.equal (Pruning.worthwhile ([| 1.0; 9.0 |], 0.0)) [| 0; 1 |] "without a price all stages"
              Expect.equal (Pruning.worthwhile ([| 1.0; 2.0; 3.0 |], 0.5)) [| 0; 1 |] "a price of exactly 1 more"
          }
          test "relative entropy at the corners" {
              within 0.0 (Probability.kl 1.0 1.0) 0.0 "kl(1, 1)"
              within 0.0 (Probability.kl 0.0 0.0) 0.0 "kl(0, 0)"
              Expect.equal (Probability.kl 0.5 1.0) infinity "kl(1/2, 1)"
              Expect.equal (Probability.kl 0.5 0.0) infinity "kl(1/2, 0)"
              within 1e-15 (Probability.kl 1.0 0.25) (log 4.0) "kl(1, 1/4)"
          }
          test "paired tests of nothing, of ties, of sixteen pairs, of a large common shift" {
              let none = PairedTests.mcNemarMidP (0, 0)
              Expect.equal (none.Statistic, none.PValue) (0.0, 1.0) "no discordant pair, mid-p"
              Expect.equal (PairedTests.pairedT [| 0.0; 0.0 |]).Statistic 0.0 "no difference"
              within 0.0 (PairedTests.wilcoxonNormal [| 0.0; 0.0; 0.0 |]).PValue 1.0 "zeros alone"
              let sixteen = Array.init 16 (fun i -> float (i + 1))
              Expect.isTrue (PairedTests.signFlip (sixteen, 10, 1UL)).Exact "all 2^16 flips"
              within 1e-15 (PairedTests.signFlip (sixteen, 10, 1UL)).PValue (2.0 / 65536.0) "all of one sign"
              Expect.isFalse (PairedTests.signFlip (Array.append sixteen [| 17.0 |], 10, 1UL)).Exact "17 pairs are sampled"
              // The differences between these floats are exact, their mean is not.
              let shifted = Array.init 7 (fun i -> 1e9 + float (i * i + i / 6) / 1024.0)
              let deviations = Array.init 7 (fun i -> float (i * i + i / 6) / 1024.0)
              let mean = Array.average deviations
              let s = sqrt (Array.sumBy (fun x -> (x - mean) ** 2.0) deviations / 6.0)
              let t = (1e9 + mean) / (s / sqrt 7.0)
              within (1e-6 * t) (PairedTests.pairedT shifted).Statistic t "a standard deviation does not see a shift"
          } ]

[<Tests>]
let learners =
    testList
        "Examples.LearnerBounds"
        [ test "draws at the ends of the generator: the largest number below 1, and 0" {
              let model: ChainModel =
                  { Initial = [| 0.3; 0.7 - 5e-10; 0.0 |]; Kernels = [||]; Means = [| [| 0.0; 1.0; 0.0 |] |]; ContinueCosts = [||] }
              let environment, outcome = ChainMixture model :> IEnvironment, Outcome.Empty 1
              environment.Draw(extreme true 1, outcome)
              Expect.equal outcome.Bins[0] 1 "rounding in the sum does not lead to a bin without mass"
              let never = ChainMixture { model with Means = [| [| 0.0; 0.0; 0.0 |] |] } :> IEnvironment
              never.Draw(extreme false 2, outcome)
              Expect.equal outcome.Qualities[0] 0.0 "a quality of mean 0 is 0"
              let always = ChainMixture { model with Means = [| [| 1.0; 1.0; 1.0 |] |] } :> IEnvironment
              always.Draw(extreme true 2, outcome)
              Expect.equal outcome.Qualities[0] 1.0 "a quality of mean 1 is 1"
              let mutable short = 0
              for m in 1..60 do
                  let policyClass = PolicyClass.Thresholds(2, m)
                  let state = Hedge.init (policyClass, 100, 1.0)
                  let sum = Array.fold (+) 0.0 (Nest.weights state)
                  if sum <= Math.BitDecrement 1.0 then short <- short + 1
                  let choice = Nest.choose (state, extreme true 1)
                  Expect.equal choice.Index m "the last policy"
                  Expect.equal choice.Stop (PolicyClass.Policy(policyClass, m)) "and its table"
              Expect.isGreaterThan short 0 "weights whose sum, added up, is below 1"
          }
          test "losses and weights of 1,728 policies are those of each policy by itself" {
              let policyClass = PolicyClass.Thresholds(4, 11)
              let size, range, horizon = PolicyClass.Size policyClass, 1.6, 500
              for feedback in [ Feedback.Full; Feedback.StagesRun ] do
                  let state =
                      Nest.init
                          { PolicyClass = policyClass
                            Feedback = feedback
                            Side = SideExpert.None
                            Horizon = horizon
                            Range = range
                            ContinueCosts = [| 0.1; 0.2; 0.3 |]
                            Seed = 1UL
                            AuditRate = 1.0 }
                  let rates = NestRates.TunedAudited(feedback, 4, log (float size), horizon, 1.0)
                  let driver, random, losses = Nest.run state, Random 4, Array.zeroCreate<float> size
                  for _ in 1..6 do
                      driver.Begin(SplitMix64 1UL)
                      let least = Array.min losses
                      let raw = losses |> Array.map (fun l -> exp (-rates.Eta * (l - least)))
                      let weights = raw |> Array.map (fun w -> w / Array.sum raw)
                      allWithin 1e-12 driver.Probabilities (Array.append weights [| 0.0 |]) "weights"
                      let outcome =
                          { Bins = Array.init 4 (fun _ -> random.Next 11)
                            Qualities = Array.init 4 (fun _ -> random.NextDouble())
                            Costs = [| 0.0; 0.1; 0.3; 0.6 |] }
                      let stops = Array.init size (fun i -> Reactive.stopStage (PolicyClass.Policy(policyClass, i), outcome.Bins))
                      let stop = random.Next 4
                      // Probability that a stage runs, before any weight changes.
                      let runs k = Array.fold2 (fun sum w s -> if s >= k then sum + w else sum) 0.0 weights stops
                      for i in 0 .. size - 1 do
                          let k = stops[i]
                          if feedback = Feedback.Full then losses[i] <- losses[i] + Outcome.Loss(outcome, k, range)
                          elif k <= stop then losses[i] <- losses[i] + Outcome.Loss(outcome, k, range) / (runs k + rates.Gamma)
                      driver.Observe(outcome, stop)
                      allWithin 1e-9 driver.State.Losses losses "losses"
          }
          test "model-based learners explore as often as they say" {
              // Two stages; stopping at the first is plainly best.
              let counts = TabularCounts.Create(2, 1)
              let seen = { counts with Grades = [| [| 50.0 |]; [| 50.0 |] |]; Sums = [| [| 50.0 |]; [| 0.0 |] |] }
              let state rule feedback horizon round =
                  { TabularLearner.init (rule, feedback, 1, [| 0.1 |], horizon) with Round = round; Counts = seen }
              let share rule feedback round =
                  let random = SplitMix64 5UL
                  let explored () =
                      let stop = TabularLearner.choose (state rule feedback 0 round, random)
                      not (stop[0].[0])
                  float (Seq.length (Seq.filter id [ for _ in 1..8000 -> explored () ])) / 8000.0
              // 2 t^(-1/3) at the 1,000th query is .2, at the 64th .5; under bandit feedback half of the depths stop at once.
              within 0.025 (share TabularRule.EpsilonGreedy Feedback.StagesRun 999) 0.2 "t = 1,000"
              within 0.03 (share TabularRule.EpsilonGreedy Feedback.StagesRun 63) 0.5 "t = 64"
              within 0.025 (share TabularRule.EpsilonGreedy Feedback.Returned 63) 0.25 "t = 64, bandit feedback"
              within 0.008 (share TabularRule.EpsilonGreedy Feedback.StagesRun 8) (2.0 * 9.0 ** (-1.0 / 3.0)) "t = 9"
              // T^(2/3) = 1 for one query: the second follows the plan.
              let goesOn round =
                  let stop = TabularLearner.choose (state TabularRule.ExploreThenCommit Feedback.StagesRun 1 round, SplitMix64 1UL)
                  not (stop[0].[0])
              Expect.equal [ goesOn 0; goesOn 1 ] [ true; false ] "explore, then commit"
          }
          test "UCB1's driver tries every depth first; Guard counts what was earned" {
              let driver = Ucb1Run(Ucb1.init (3, 1.0), 2)
              let outcome = { Bins = [| 0; 1; 0 |]; Qualities = [| 0.25; 0.5; 1.0 |]; Costs = [| 0.0; 0.125; 0.25 |] }
              for depth in 0..2 do
                  driver.Begin(SplitMix64 1UL)
                  for k in 0..1 do
                      Expect.equal (driver.Stops(k, 0, SplitMix64 1UL)) (k >= depth) $"depth {depth}, stage {k}"
                  driver.Observe(outcome, depth)
              Expect.equal driver.State.Plays [| 1.0; 1.0; 1.0 |] "plays"
              allWithin 1e-15 driver.State.Losses [| 0.75; 0.625; 0.25 |] "losses"
              let start = TabularLearner.init (TabularRule.Greedy, Feedback.StagesRun, 2, [| 0.125; 0.125 |], 0)
              let mutable state = Guard.init (start, 1.25, 0.05)
              for stop in [ 0; 1; 2; 2 ] do
                  state <- Guard.observe (state, outcome, stop, Func<int, float>(fun _ -> infinity))
              within 1e-15 state.Rewards (0.25 + 0.375 + 0.75 + 0.75) "rewards"
          }
          test "budget settings at their ends" {
              let settings: BudgetSettings = { Budget = 1.0; MostCost = 1.0; Ceiling = 0.5; Step = 0.1; Start = 0.5 }
              within 0.0 (Budget.start settings).Price 0.5 "a start at the ceiling, a dearest query that just fits the budget"
              within 1e-12 (Budget.excessBound settings) 1.0 "no room to rise: the dearest query"
              rejects (fun () -> Budget.start { settings with Step = 0.0 } |> ignore) "no step"
              rejects (fun () -> Budget.start { settings with Start = 0.6 } |> ignore) "a start above the ceiling"
              rejects (fun () -> Budget.start { settings with Ceiling = 0.0; Start = 0.0 } |> ignore) "no ceiling"
              rejects (fun () -> Budget.start { settings with Budget = 0.0 } |> ignore) "no budget"
          } ]
