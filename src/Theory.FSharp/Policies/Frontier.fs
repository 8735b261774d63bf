namespace OptimalStopping.Theory.Policies

open System

/// Curves of (mean cost, mean quality), one point per operating point, and the figures that summarise them.
[<RequireQualifiedAccess>]
module Frontier =

    /// Quality of a curve at a cost: linear interpolation between neighbouring points in order of cost, flat beyond
    /// both ends. The arrays must be sorted by cost and not empty.
    let qualityAt (cost: float[]) (quality: float[]) (at: float) : float =
        let last = cost.Length - 1
        if at <= cost[0] then
            quality[0]
        elif at >= cost[last] then
            quality[last]
        else
            let mutable hi = 1
            while cost[hi] < at do
                hi <- hi + 1
            let lo = hi - 1
            if cost[hi] = cost[lo] then
                quality[hi]
            else
                quality[lo] + (quality[hi] - quality[lo]) * (at - cost[lo]) / (cost[hi] - cost[lo])

    /// Mean quality over costs in [low, high], by the trapezoid rule along the curve (exact for the interpolation of
    /// qualityAt). The arrays must be sorted by cost. When low = high it is the quality there.
    let area (cost: float[]) (quality: float[]) (low: float) (high: float) : float =
        if high <= low then
            qualityAt cost quality low
        else
            let mutable sum = 0.0
            let mutable c = low
            let mutable v = qualityAt cost quality low
            for i in 0 .. cost.Length - 1 do
                if cost[i] > low && cost[i] < high then
                    sum <- sum + (cost[i] - c) * (v + quality[i]) / 2.0
                    c <- cost[i]
                    v <- quality[i]
            sum <- sum + (high - c) * (v + qualityAt cost quality high) / 2.0
            sum / (high - low)

    /// Order of the points by cost, ties by quality.
    let order (cost: float[]) (quality: float[]) : int[] =
        let index = Array.init cost.Length id
        Array.sortInPlaceWith
            (fun a b ->
                let byCost = compare cost[a] cost[b]
                if byCost <> 0 then byCost else compare quality[a] quality[b])
            index
        index

    /// The upper concave hull, as indices in order of cost, from the cheapest point to the best one: what randomising
    /// between operating points can reach. Points that cost more than the best one are left out.
    let upperHull (cost: float[]) (quality: float[]) : int[] =
        let hull = ResizeArray<int>()
        for i in order cost quality do
            // Drop the last point while it lies on or under the segment from its predecessor to the new point.
            let mutable over = true
            while over && hull.Count > 0 do
                let b = hull[hull.Count - 1]
                if cost[b] = cost[i] then
                    hull.RemoveAt(hull.Count - 1)
                elif hull.Count > 1 then
                    let a = hull[hull.Count - 2]
                    let cross = (cost[b] - cost[a]) * (quality[i] - quality[a]) - (quality[b] - quality[a]) * (cost[i] - cost[a])
                    if cross >= 0.0 then hull.RemoveAt(hull.Count - 1) else over <- false
                else
                    over <- false
            hull.Add i
        while hull.Count > 1 && quality[hull[hull.Count - 1]] <= quality[hull[hull.Count - 2]] do
            hull.RemoveAt(hull.Count - 1)
        hull.ToArray()

    /// Smallest cost at which the curve reaches a quality, by linear interpolation; +infinity when it never does.
    /// The arrays must be sorted by cost.
    let costAt (cost: float[]) (quality: float[]) (target: float) : float =
        let i = quality |> Array.tryFindIndex (fun q -> q >= target)
        match i with
        | None -> infinity
        | Some 0 -> cost[0]
        | Some i -> cost[i - 1] + (cost[i] - cost[i - 1]) * (target - quality[i - 1]) / (quality[i] - quality[i - 1])
