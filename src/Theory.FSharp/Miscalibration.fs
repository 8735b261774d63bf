namespace OptimalStopping.Theory

open System

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
    let valueLoss (supErrors: float[], eces: float[], kernelErrors: float[], range: float) : float =
        check (nameof supErrors) supErrors
        check (nameof eces) eces
        check (nameof kernelErrors) kernelErrors
        if supErrors.Length = 0 || eces.Length <> supErrors.Length then
            raise (ArgumentException($"{supErrors.Length} sup errors and {eces.Length} ECEs; expected one per stage"))
        if not (range > 0.0) then raise (ArgumentOutOfRangeException(nameof range, range, "expected more than 0"))
        let stopping = min (Array.max supErrors) (Array.sum eces)
        min range (2.0 * stopping + 2.0 * range * Array.sum kernelErrors)

    /// The certificate of Thm 4: stop values within `stopError` and continuation values within `continueError` of the
    /// truth at every state lose at most (stopError + continueError) per wrong decision taken; `wrongDecisions` is
    /// their expected number per query, at most n-1 (performance-difference lemma: a wrong decision costs |D| at its
    /// state).
    let decisionLoss (stopError: float, continueError: float, wrongDecisions: float) : float =
        check "errors" [| stopError; continueError; wrongDecisions |]
        (stopError + continueError) * wrongDecisions
