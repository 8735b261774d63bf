namespace OptimalStopping.Theory

/// Reactive policies: Stop[k][s] says whether to stop at stage k in bin s, for the n-1 stages where there is a choice.
[<RequireQualifiedAccess>]
module Reactive =

    /// Stop iff s >= thresholds[k]; thresholds in 0 .. bins (0 always stops, bins never does).
    let ofThresholds (thresholds: int[], bins: int) : bool[][] =
        thresholds |> Array.map (fun theta -> Array.init bins (fun s -> s >= theta))

    /// Go on iff first[k] <= s < last[k]: the policy class that repairs "hopeless" queries (theory 1.2).
    let ofIntervals (first: int[], last: int[], bins: int) : bool[][] =
        Array.map2 (fun a b -> Array.init bins (fun s -> not (a <= s && s < b))) first last

    /// The stage at which the policy stops on a path of bins (at least n-1 of them).
    let stopStage (stop: bool[][], bins: int[]) : int =
        let mutable k = 0
        while k < stop.Length && not (stop[k][bins[k]]) do
            k <- k + 1
        k

    /// Every threshold rule of m bins: stop iff s >= theta, theta = 0 .. m.
    let internal thresholdRules m = Array.init (m + 1) (fun theta -> Array.init m (fun s -> s >= theta))

    /// Every interval rule of m bins: always stop, or go on iff a <= s < b for 0 <= a < b <= m; m(m+1)/2 + 1 of them.
    let internal intervalRules m =
        [| yield Array.create m true
           for a in 0 .. m - 1 do
               for b in a + 1 .. m do
                   yield Array.init m (fun s -> not (a <= s && s < b)) |]
