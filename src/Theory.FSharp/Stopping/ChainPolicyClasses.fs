namespace OptimalStopping.Theory

open System

/// A policy of a policy class: its stop table and what it earns.
type ChainPolicy = { Stop: bool[][]; Value: float }

/// Policy classes of reactive policies on a known chain: all policies that choose one of a few rules at each stage.
[<RequireQualifiedAccess>]
module ChainPolicyClasses =

    /// Visits the policies that use one of `rules` (a rule: stop or not, by bin) at each stage, with their values and their
    /// numbers sum_k i_k r^(n-2-k). Depth-first from the last stage, so that a suffix of rules is valued once:
    /// O(r^(n-1) m) after O(r^(n-2) m^2).
    let private enumerate (rules: bool[][]) (model: ChainModel) (visit: int -> float -> unit) =
        let m = model.Initial.Length
        let rec search k stride number (next: float[]) =
            if k < 0 then
                visit number (ChainModel.dot model.Initial next)
            else
                let onward = model.Kernels[k] |> Array.map (fun row -> ChainModel.dot row next - model.ContinueCosts[k])
                rules
                |> Array.iteri (fun i rule ->
                    search
                        (k - 1)
                        (stride * rules.Length)
                        (number + i * stride)
                        (Array.init m (fun s -> if rule[s] then model.Means[k][s] else onward[s])))
        search (model.Means.Length - 2) 1 0 (Array.last model.Means)

    /// Values of all policies built from `rules`, in the order of `Policy class`.
    let internal ruleValues (rules: bool[][], model: ChainModel) : float[] =
        let values = Array.zeroCreate (pown rules.Length (model.Means.Length - 1))
        enumerate rules model (fun i v -> values[i] <- v)
        values

    let private bestOf (rules: bool[][]) (model: ChainModel) : ChainPolicy =
        ChainModel.validate model
        let best, bestNumber = ref Double.NegativeInfinity, ref 0
        enumerate rules model (fun i v ->
            if v > best.Value then
                best.Value <- v
                bestNumber.Value <- i)
        let last = model.Means.Length - 2
        { Stop = Array.init (last + 1) (fun k -> Array.copy rules[bestNumber.Value / pown rules.Length (last - k) % rules.Length])
          Value = best.Value }

    /// The best threshold policy, by enumeration of all (m+1)^(n-1).
    let bestThreshold (model: ChainModel) : ChainPolicy = bestOf (Reactive.thresholdRules model.Initial.Length) model

    /// The best interval policy, by enumeration of all (m(m+1)/2 + 1)^(n-1).
    let bestInterval (model: ChainModel) : ChainPolicy = bestOf (Reactive.intervalRules model.Initial.Length) model
