namespace OptimalStopping.Theory

open System

/// How many fully graded i.i.d. traces make the empirically best policy of a class nearly the best of the class.
/// Rewards lie in an interval of length B > 0 (`range`); epsilon > 0 is in the same units; delta in (0,1).
/// No Markov assumption except where said. An epsilon of B is vacuous: it is what knowing nothing gives.
[<RequireQualifiedAccess>]
module SampleComplexity =

    let private check (range: float) (logPolicies: float) (delta: float) =
        if not (range > 0.0 && Double.IsFinite range) then
            raise (ArgumentOutOfRangeException("range", range, "expected a finite number above 0"))
        if not (logPolicies >= 0.0 && Double.IsFinite logPolicies) then
            raise (ArgumentOutOfRangeException("logPolicies", logPolicies, "expected a finite number of at least 0"))
        Samples.requireProbability "delta" delta

    let private checkEpsilon (epsilon: float) =
        if not (epsilon > 0.0 && Double.IsFinite epsilon) then
            raise (ArgumentOutOfRangeException("epsilon", epsilon, "expected a finite number above 0"))

    let private checkShape (stages: int) (bins: int) =
        if stages < 1 then raise (ArgumentOutOfRangeException("stages", stages, "expected at least 1"))
        if bins < 1 then raise (ArgumentOutOfRangeException("bins", bins, "expected at least 1"))

    let private checkTraces (traces: int64) =
        if traces < 1L then raise (ArgumentOutOfRangeException("traces", traces, "expected at least 1"))

    /// ln N of all threshold policies on m bins for n stages: (n-1) ln(m+1). This, and not ln n, is the price of n-1
    /// free thresholds.
    [<CompiledName "LogThresholdPolicies">]
    let logThresholdPolicies (stages: int, bins: int) : float =
        checkShape stages bins
        float (stages - 1) * log (float bins + 1.0)

    /// ln N of all interval policies (continue iff a_k <= s < b_k): (n-1) ln(m(m+1)/2 + 1).
    [<CompiledName "LogIntervalPolicies">]
    let logIntervalPolicies (stages: int, bins: int) : float =
        checkShape stages bins
        float (stages - 1) * log (float bins * (float bins + 1.0) / 2.0 + 1.0)

    /// ln N of all reactive policies, which stop or go on in every bin of every stage with a choice: m (n-1) ln 2.
    [<CompiledName "LogReactivePolicies">]
    let logReactivePolicies (stages: int, bins: int) : float =
        checkShape stages bins
        float (stages - 1) * float bins * log 2.0

    /// Theorem 9: the fewest traces for which P(best of the policy class - empirically best > epsilon) <= delta is proved:
    /// ceil(2 B^2 (ln N + ln(1/delta)) / epsilon^2); an epsilon that would take 9.2e18 traces or more is refused. With N = n fixed depths this is O(epsilon^-2 log(n/delta)).
    [<CompiledName "SamplesFor">]
    let samplesFor (range: float, logPolicies: float, epsilon: float, delta: float) : int64 =
        check range logPolicies delta
        checkEpsilon epsilon
        let ratio = range / epsilon
        max 1L (Samples.requireCountable (nameof epsilon) epsilon (ceil (2.0 * ratio * ratio * (logPolicies - log delta))))

    /// Theorem 9 the other way: min(B, B sqrt(2 (ln N + ln(1/delta)) / M)) from M traces.
    [<CompiledName "EpsilonFor">]
    let epsilonFor (range: float, logPolicies: float, traces: int64, delta: float) : float =
        check range logPolicies delta
        checkTraces traces
        min range (range * sqrt (2.0 * (logPolicies - log delta) / float traces))

    /// Theorem 9 for delta: min(1, N exp(-M epsilon^2 / (2 B^2))).
    [<CompiledName "DeltaFor">]
    let deltaFor (range: float, logPolicies: float, traces: int64, epsilon: float) : float =
        check range logPolicies 0.5
        checkTraces traces
        checkEpsilon epsilon
        let ratio = epsilon / range
        min 1.0 (exp (logPolicies - float traces * ratio * ratio / 2.0))

    /// Massart's term for the payoff vectors that M traces can show, then McDiarmid's and Hoeffding's.
    let private uniformEpsilon (range: float) (logPatterns: float) (traces: int64) (delta: float) =
        let per x = sqrt (2.0 * x / float traces)
        min range (range * per logPatterns + range * per (log (2.0 / delta)))

    /// Theorem 10: nested policies with one real parameter (the lambda path of Theorem 2, one shared threshold;
    /// continuous signals allowed): B sqrt(2 ln(M(n-1)+1)/M) + B sqrt(2 ln(2/delta)/M), at most B.
    [<CompiledName "EpsilonForOneParameter">]
    let epsilonForOneParameter (range: float, stages: int, traces: int64, delta: float) : float =
        check range 0.0 delta
        checkShape stages 1
        checkTraces traces
        uniformEpsilon range (log (float traces * float (stages - 1) + 1.0)) traces delta

    /// Theorem 10 for n-1 free real thresholds: the number of payoff vectors is (M+1)^(n-1).
    [<CompiledName "EpsilonForRealThresholds">]
    let epsilonForRealThresholds (range: float, stages: int, traces: int64, delta: float) : float =
        check range 0.0 delta
        checkShape stages 1
        checkTraces traces
        uniformEpsilon range (float (stages - 1) * log (float traces + 1.0)) traces delta

    /// The least M with f(M) <= epsilon, for f non-increasing with limit 0.
    let private leastTraces (f: int64 -> float) (epsilon: float) =
        let rec bracket high =
            if f high <= epsilon then high
            elif high > Int64.MaxValue / 4L then Samples.requireCountable (nameof epsilon) epsilon infinity
            else bracket (high * 2L)
        let rec bisect low high =
            // f low > epsilon >= f high
            if high - low <= 1L then
                high
            else
                let middle = low + (high - low) / 2L
                if f middle <= epsilon then bisect low middle else bisect middle high
        if f 1L <= epsilon then 1L else bisect 1L (bracket 2L)

    /// The fewest traces for which `epsilonForOneParameter` is at most epsilon (below B), by bisection.
    [<CompiledName "SamplesForOneParameter">]
    let samplesForOneParameter (range: float, stages: int, epsilon: float, delta: float) : int64 =
        checkEpsilon epsilon
        leastTraces (fun traces -> epsilonForOneParameter (range, stages, traces, delta)) epsilon

    /// The fewest traces for which `epsilonForRealThresholds` is at most epsilon (below B), by bisection.
    [<CompiledName "SamplesForRealThresholds">]
    let samplesForRealThresholds (range: float, stages: int, epsilon: float, delta: float) : int64 =
        checkEpsilon epsilon
        leastTraces (fun traces -> epsilonForRealThresholds (range, stages, traces, delta)) epsilon

    /// Theorem 11 (needs the Markov assumption; qualities in [0,1]): value lost by plug-in backward induction from
    /// exploration traces, where counts[k][s] >= 1 graded samples and transitions were seen at stage k, bin s:
    /// sum_{k<n} (2 beta_k + sum_{j>k} beta_j), beta_k = max_s sqrt(ln(4 n m M / delta) / (2 counts[k][s])), at most 1.
    /// A count of 0 gives 1. Of order n^2 times a single estimate: this route does not reach log(n/delta)/epsilon^2.
    [<CompiledName "EpsilonForPlugIn">]
    let epsilonForPlugIn (counts: int64[][], traces: int64, delta: float) : float =
        Samples.requireProbability "delta" delta
        checkTraces traces
        if counts.Length = 0 || counts |> Array.exists (fun row -> row.Length = 0 || Array.min row < 0L) then
            raise (ArgumentException("expected at least one stage, of at least one bin, and counts of at least 0", nameof counts))
        let stages, bins = counts.Length, counts |> Array.map Array.length |> Array.max
        let logTerm = log (4.0 * float stages * float bins * float traces / delta)
        let beta = counts |> Array.map (fun row -> sqrt (logTerm / (2.0 * float (Array.min row))))
        let sum = Seq.sum (seq { for k in 0 .. stages - 2 -> 2.0 * beta[k] + Array.sum beta[k + 1 ..] })
        min 1.0 sum

    /// The fewest samples per (stage, bin) for which Theorem 11 gives epsilon (below 1), when every bin is seen equally
    /// often (M = bins times the result): the ideal case of the theorem.
    [<CompiledName "SamplesPerBinForPlugIn">]
    let samplesPerBinForPlugIn (stages: int, bins: int, epsilon: float, delta: float) : int64 =
        checkEpsilon epsilon
        checkShape stages bins
        let evenly count = Array.init stages (fun _ -> Array.create bins count)
        leastTraces (fun count -> epsilonForPlugIn (evenly count, count * int64 bins, delta)) epsilon

    /// Theorem 14: what a reactive policy made from M traces in any way, by plug-in planning say, loses to the best reactive policy, with
    /// probability 1 - delta: gap + B sqrt(2 (m (n-1) ln 2 + ln(1/delta)) / M), at most B. `gap` >= 0 is by how much the best
    /// policy may do better on those traces themselves (`EmpiricalModel.reactiveGap`). No Markov assumption; under it the best
    /// reactive policy is the best of all.
    [<CompiledName "EpsilonForReactivePlan">]
    let epsilonForReactivePlan (range: float, stages: int, bins: int, traces: int64, gap: float, delta: float) : float =
        if not (gap >= 0.0) then raise (ArgumentOutOfRangeException(nameof gap, gap, "expected at least 0"))
        min range (gap + epsilonFor (range, logReactivePolicies (stages, bins), traces, delta))

    /// Theorem 14 the other way: the fewest traces for a loss of at most epsilon by a plan that no policy beats on its own traces
    /// (gap 0). At n = 4, m = 10, B = 1.3, epsilon = delta = .05: 32,165, where Theorem 11 asks for 6,857,800.
    [<CompiledName "SamplesForReactivePlan">]
    let samplesForReactivePlan (range: float, stages: int, bins: int, epsilon: float, delta: float) : int64 =
        samplesFor (range, logReactivePolicies (stages, bins), epsilon, delta)

    /// Maurer and Pontil's (2009, Theorem 4) one-sided radius: with probability 1 - delta a mean of M >= 2 values in an
    /// interval of length B with sample variance v (divisor M-1) is within
    /// sqrt(2 v ln(2/delta) / M) + 7 B ln(2/delta) / (3 (M-1)) of its expectation, on the given side.
    [<CompiledName "EmpiricalBernsteinRadius">]
    let empiricalBernsteinRadius (range: float, variance: float, count: int, delta: float) : float =
        check range 0.0 delta
        if count < 2 then raise (ArgumentOutOfRangeException(nameof count, count, "expected at least 2"))
        if not (variance >= 0.0 && Double.IsFinite variance) then
            raise (ArgumentOutOfRangeException(nameof variance, variance, "expected a finite number of at least 0"))
        let logTerm = log (2.0 / delta)
        sqrt (2.0 * variance * logTerm / float count) + 7.0 * range * logTerm / (3.0 * float (count - 1))

    /// The inverse of `empiricalBernsteinRadius`: the fewest values, at least 2, for which the radius is at most epsilon, when
    /// their sample variance will be `variance`.
    [<CompiledName "SamplesForBernstein">]
    let samplesForBernstein (range: float, variance: float, epsilon: float, delta: float) : int64 =
        checkEpsilon epsilon
        let radius (count: int64) = empiricalBernsteinRadius (range, variance, int (min count (int64 Int32.MaxValue)), delta)
        if radius (int64 Int32.MaxValue) > epsilon then
            raise (ArgumentOutOfRangeException(nameof epsilon, epsilon, "no count below 2^31 gives so small a radius"))
        1L + leastTraces (fun count -> radius (count + 1L)) epsilon

    /// Empirical-Bernstein form of Theorem 9, computed from the data: with probability 1 - delta the empirically best
    /// policy of a policy class of N loses at most max over the others of (mean + radius) - (best mean - its radius), at least
    /// 0 and at most B, with every radius at level delta / (2N). Tighter than Theorem 9 when variances are small.
    [<CompiledName "PolicyClassCertificate">]
    let policyClassCertificate (range: float, means: float[], variances: float[], count: int, delta: float) : float =
        if means.Length = 0 || means.Length <> variances.Length then
            raise (ArgumentException($"{means.Length} means and {variances.Length} variances; expected as many"))
        let level = delta / (2.0 * float means.Length)
        let radius = variances |> Array.map (fun v -> empiricalBernsteinRadius (range, v, count, level))
        let best = [| 0 .. means.Length - 1 |] |> Array.maxBy (fun i -> means[i])
        let floor = means[best] - radius[best]
        let loss i = if i = best then 0.0 else max 0.0 (means[i] + radius[i] - floor)
        min range (Seq.max (Seq.init means.Length loss))

    /// Corollary of Theorem 14, computed from the data: rewards[policy][trace] of N >= 1 policies on the same M >= 2 traces, in an
    /// interval of length B. With probability 1 - delta the policy `chosen` (an index, chosen in any way, from the same traces too)
    /// loses to the best of them at most max over the others i of (mean of d_i + radius of d_i), d_i = rewards[i] -
    /// rewards[chosen], with the empirical Bernstein radius of values in an interval of length 2 B at level delta / (N-1); at
    /// least 0, at most B. Policies that mostly agree have differences of small variance, which is where this is much smaller
    /// than `policyClassCertificate`.
    [<CompiledName "PairedCertificate">]
    let pairedCertificate (range: float, rewards: float[][], chosen: int, delta: float) : float =
        check range 0.0 delta
        if chosen < 0 || chosen >= rewards.Length then
            raise (ArgumentOutOfRangeException(nameof chosen, chosen, $"expected 0 .. {rewards.Length - 1}"))
        rewards
        |> Array.iteri (fun i row ->
            Samples.requireFinite $"rewards[{i}]" row
            Samples.requireCount $"rewards[{i}]" 2 row
            if row.Length <> rewards[chosen].Length then
                raise (ArgumentException($"rewards[{i}] has {row.Length} traces; expected {rewards[chosen].Length} as the others")))
        let level = delta / float (max 1 (rewards.Length - 1))
        let loss i =
            let differences = Array.map2 (-) rewards[i] rewards[chosen]
            let deviation = Samples.standardDeviation differences
            Samples.mean differences + empiricalBernsteinRadius (2.0 * range, deviation * deviation, differences.Length, level)
        min
            range
            (Seq.fold
                max
                0.0
                (seq {
                    for i in 0 .. rewards.Length - 1 do
                        if i <> chosen then loss i
                }))

/// What planning with wrong tables costs (theory-proofs.md section 4c; theory.md Thm 4). Chain, Markov assumption.
[<RequireQualifiedAccess>]
module Miscalibration =

    let private check (name: string) (xs: float[]) =
        Samples.requireFinite name xs
        xs |> Array.iteri (fun i x -> if x < 0.0 then raise (ArgumentException($"{name}[{i}] is {x}; expected at least 0")))

    /// Bound of V* - V^pi for the plan pi made from estimated means and kernels:
    /// 2 min(max_k supErrors[k], sum_k eces[k]) + 2 B sum_k kernelErrors[k], at most B.
    /// supErrors[k] = max_s |mu^_k - mu_k|; eces[k] = E |mu^_k(S_k) - mu_k(S_k)| over all traces, reached or not;
    /// kernelErrors[k] = max_s TV(P^_k(s), P_k(s)) for the n-1 kernels (empty where the true ones are used); B =
    /// `range`. Errors of several stages add: no stage's calibration can be traded for another's.
    [<CompiledName "ValueLoss">]
    let valueLoss (supErrors: float[], eces: float[], kernelErrors: float[], range: float) : float =
        check (nameof supErrors) supErrors
        check (nameof eces) eces
        check (nameof kernelErrors) kernelErrors
        if supErrors.Length = 0 || eces.Length <> supErrors.Length then
            raise (ArgumentException($"{supErrors.Length} sup errors and {eces.Length} ECEs; expected one per stage"))
        if not (range > 0.0 && Double.IsFinite range) then
            raise (ArgumentOutOfRangeException(nameof range, range, "expected a finite number above 0"))
        let stopping = min (Array.max supErrors) (Array.sum eces)
        min range (2.0 * stopping + 2.0 * range * Array.sum kernelErrors)

    /// The certificate of Thm 4: stop values within `stopError` and continuation values within `continueError` of the
    /// truth at every state lose at most (stopError + continueError) per wrong decision taken; `wrongDecisions` is
    /// their expected number per query, at most n-1 (performance-difference lemma: a wrong decision costs |D| at its
    /// state).
    [<CompiledName "DecisionLoss">]
    let decisionLoss (stopError: float, continueError: float, wrongDecisions: float) : float =
        check "errors" [| stopError; continueError; wrongDecisions |]
        (stopError + continueError) * wrongDecisions
