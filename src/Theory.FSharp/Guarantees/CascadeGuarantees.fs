namespace OptimalStopping.Theory

open System

/// One a priori statement about the regret of T queries.
type RegretGuarantee =
    {
        Learner: string
        /// Number of the theorem in the paper.
        Theorem: string
        /// What is graded: "full", "stages-run" or "returned"; "any" for a lower bound whatever is graded.
        Feedback: string
        /// What the regret is against.
        Against: string
        /// What has to be true; "none" where the queries may be chosen by an adversary (beforehand).
        Assumption: string
        /// True for a statement that no learner can do better.
        IsLowerBound: bool
        /// Regret of all T queries and per query, in units of quality, cut at B T.
        Value: float
        PerQuery: float
        /// True where an upper bound says no more than B T.
        Vacuous: bool
        /// The least number of queries from which the upper bound says more than B T; -1 if beyond 10^9, and for lower bounds.
        MeaningfulFrom: int
    }

/// One statement about how many fully graded queries make the empirically best policy of a class nearly the best of it.
type SampleGuarantee =
    {
        Class: string
        Theorem: string
        /// What has to be true besides i.i.d. queries.
        Assumption: string
        /// ln of the number of policies; NaN where the class is not finite.
        LogPolicies: float
        Samples: int64
    }

/// Which stages of a cascade can be worth their price.
[<RequireQualifiedAccess>]
module Pruning =

    /// Indices of the stages that an optimal policy may run, for any distribution of qualities in [0,1]: the first, and those for
    /// which lambda (c_k - c_1) < 1, c_k being the stage's own cost. A dearer one costs more than it can add wherever it stands, so
    /// leaving it out lowers the optimum of no action set (chain, jump, recall). A price of all stages up to k of 1 or more is no such
    /// reason in a chain: what was paid is sunk, and going on may still pay (paper, section 14). Costs are finite and at least 0.
    [<CompiledName "Worthwhile">]
    let worthwhile (costs: float[], lambda: float) : int[] =
        Samples.requireFinite (nameof costs) costs
        Samples.requireCount (nameof costs) 1 costs
        if costs |> Array.exists (fun c -> c < 0.0) then raise (ArgumentException("expected costs of at least 0", nameof costs))
        if not (lambda >= 0.0 && Double.IsFinite lambda) then
            raise (ArgumentOutOfRangeException(nameof lambda, lambda, "expected a finite number of at least 0"))
        [| 0 .. costs.Length - 1 |] |> Array.filter (fun k -> k = 0 || lambda * (costs[k] - costs[0]) < 1.0)

/// All a priori guarantees for a cascade of n stages, m bins of confidence and range B = 1 + lambda (C_n - C_1).
[<RequireQualifiedAccess>]
module CascadeGuarantees =

    [<Literal>]
    let private Furthest = 1_000_000_000

    /// The least T in 1 .. Furthest at which the bound says more than B T. Bounds divided by T fall, so bisection finds it.
    let private meaningfulFrom (bound: int -> RegretBound) =
        let says t = not (bound t).Vacuous
        if not (says Furthest) then
            -1
        else
            let rec bisect low high =
                // not (says low), says high
                if high - low <= 1 then
                    high
                else
                    let middle = low + (high - low) / 2
                    if says middle then bisect low middle else bisect middle high
            if says 1 then 1 else bisect 1 Furthest

    let private upper learner theorem feedback against assumption horizon (bound: int -> RegretBound) =
        let now = bound horizon
        { Learner = learner
          Theorem = theorem
          Feedback = feedback
          Against = against
          Assumption = assumption
          IsLowerBound = false
          Value = now.Value
          PerQuery = now.Value / float horizon
          Vacuous = now.Vacuous
          MeaningfulFrom = meaningfulFrom bound }

    let private lower theorem feedback assumption horizon (value: float) =
        { Learner = "any learner"
          Theorem = theorem
          Feedback = feedback
          Against = "best policy"
          Assumption = assumption
          IsLowerBound = true
          Value = value
          PerQuery = value / float horizon
          Vacuous = false
          MeaningfulFrom = -1 }

    /// Bounds after T = `horizon` >= 1 queries: NEST (expected, and with probability 1 - delta), Hedge, UCB1, OptStop, and the
    /// lower bounds. The policy class is all threshold policies on `bins` bins, with a side expert.
    [<CompiledName "Regret">]
    let regret (stages: int, bins: int, horizon: int, range: float, delta: float) : RegretGuarantee[] =
        if horizon < 1 then raise (ArgumentOutOfRangeException(nameof horizon, horizon, "expected at least 1"))
        if bins < 1 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 1"))
        Samples.requireProbability (nameof delta) delta
        let logClassSize = SampleComplexity.logThresholdPolicies (stages, bins)
        let logN = logClassSize + log 2.0
        let policyClass = "thresholds, side expert"
        let nest feedback t = Regret.nest (feedback, stages, logN, t, range)
        let anytime t = Regret.nestAnytime (Feedback.StagesRun, stages, logN, t, range)
        let likely t = Regret.nestHighProbability (Feedback.StagesRun, stages, exp logClassSize, true, t, range, delta / 4.0)
        [| upper "Hedge" "Thm 4" "full" policyClass "none" horizon (nest Feedback.Full)
           upper "NEST" "Thm 4" "stages-run" policyClass "none" horizon (nest Feedback.StagesRun)
           upper "NEST" "Thm 4" "returned" policyClass "none" horizon (nest Feedback.Returned)
           upper "NEST, T unknown" "Thm 4, remark" "stages-run" policyClass "none" horizon anytime
           upper $"NEST, w.p. {1.0 - delta}" "Thm 5" "stages-run" policyClass "none" horizon likely
           upper "UCB1 over depths" "Auer 2002" "returned" "fixed depths" "i.i.d." horizon (fun t -> Regret.ucb1 (stages, t, range))
           upper "OptStop" "Thm 7" "returned" "all policies" "i.i.d., Markov (M)" horizon (fun t -> Regret.optStop (stages, bins, t, range))
           lower "Thm 8(a)" "any" "i.i.d., Markov, m >= 4" horizon (Regret.lowerBound (stages, horizon))
           lower "Thm 8(b)" "returned" "i.i.d." horizon (Regret.lowerBoundReturned (stages, horizon)) |]

    /// Fully graded queries for an error of `epsilon` (in units of quality, below 1) with probability 1 - delta, by class of
    /// policies. The plug-in plan's number is for every bin being seen equally often.
    [<CompiledName "Samples">]
    let samples (stages: int, bins: int, range: float, epsilon: float, delta: float) : SampleGuarantee[] =
        if not (epsilon > 0.0 && epsilon < 1.0) then
            raise (ArgumentOutOfRangeException(nameof epsilon, epsilon, "expected a number strictly between 0 and 1"))
        Samples.requireProbability (nameof delta) delta
        if stages < 2 then raise (ArgumentOutOfRangeException(nameof stages, stages, "expected at least 2"))
        if bins < 1 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 1"))
        let row name theorem assumption logPolicies samples =
            { Class = name; Theorem = theorem; Assumption = assumption; LogPolicies = logPolicies; Samples = samples }
        let policyClass name logPolicies =
            row name "Thm 9" "none" logPolicies (SampleComplexity.samplesFor (range, logPolicies, epsilon, delta))
        [| policyClass $"{stages} fixed depths" (log (float stages))
           row
               "one-parameter family (lambda path)"
               "Thm 10"
               "nested policies"
               nan
               (SampleComplexity.samplesForOneParameter (range, stages, epsilon, delta))
           policyClass $"thresholds on {bins} bins" (SampleComplexity.logThresholdPolicies (stages, bins))
           policyClass $"intervals on {bins} bins" (SampleComplexity.logIntervalPolicies (stages, bins))
           row
               $"{stages - 1} real thresholds"
               "Thm 10"
               "none"
               nan
               (SampleComplexity.samplesForRealThresholds (range, stages, epsilon, delta))
           row
               $"all reactive policies on {bins} bins, plug-in"
               "Thm 14"
               "none"
               (SampleComplexity.logReactivePolicies (stages, bins))
               (SampleComplexity.samplesForReactivePlan (range, stages, bins, epsilon, delta))
           row
               $"all policies on {bins} bins, plug-in"
               "Thm 11"
               "Markov (M)"
               nan
               (int64 bins * SampleComplexity.samplesPerBinForPlugIn (stages, bins, epsilon, delta)) |]
