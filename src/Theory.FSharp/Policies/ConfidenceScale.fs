namespace OptimalStopping.Theory.Policies

open System

/// A stage's confidences put on a common axis: the share of training queries with a smaller confidence (ties count
/// half), so that models that are sure of everything and models that are sure of nothing become comparable, and one
/// set of regression knots suits both. Piecewise linear between at most 129 training quantiles; constant beyond them.
[<Sealed>]
type ConfidenceScale private (knots: float[], ranks: float[]) =

    /// First index of a sorted array whose entry is at least the value.
    static let lowerBound (sorted: float[]) value =
        let mutable lo, hi = 0, sorted.Length
        while lo < hi do
            let mid = (lo + hi) >>> 1
            if sorted[mid] < value then lo <- mid + 1 else hi <- mid
        lo

    /// Distinct confidences between which the scale is linear, increasing; empty when training saw none.
    member _.Knots = knots
    /// The rank in [0,1] of each knot, increasing.
    member _.Ranks = ranks

    /// The scale through given points.
    /// Raises ArgumentException unless both arrays have one length, knots strictly increase within [0,1] and ranks do
    /// not decrease within [0,1].
    static member Create(knots: float[], ranks: float[]) : ConfidenceScale =
        if knots.Length <> ranks.Length then
            invalidArg (nameof ranks) $"expected {knots.Length} ranks, one for each confidence, got {ranks.Length}"
        for i in 0 .. knots.Length - 1 do
            if not (knots[i] >= 0.0 && knots[i] <= 1.0) || (i > 0 && knots[i] <= knots[i - 1]) then
                invalidArg (nameof knots) $"expected increasing confidences in [0,1], got {knots[i]} at position {i}"
            if not (ranks[i] >= 0.0 && ranks[i] <= 1.0) || (i > 0 && ranks[i] < ranks[i - 1]) then
                invalidArg (nameof ranks) $"expected ranks in [0,1] that do not decrease, got {ranks[i]} at position {i}"
        ConfidenceScale(knots, ranks)

    /// Rank in [0,1] of a confidence (not NaN). 0.5 when no confidence was seen in training.
    member _.Rank(confidence: float) : float =
        if knots.Length = 0 then
            0.5
        elif confidence <= knots[0] then
            ranks[0]
        elif confidence >= knots[knots.Length - 1] then
            ranks[knots.Length - 1]
        else
            let mutable lo, hi = 0, knots.Length - 1
            while hi - lo > 1 do
                let mid = (lo + hi) >>> 1
                if knots[mid] <= confidence then lo <- mid else hi <- mid
            ranks[lo] + (ranks[hi] - ranks[lo]) * (confidence - knots[lo]) / (knots[hi] - knots[lo])

    /// Confidence at which the scale reaches the rank: the inverse of Rank, clipped to what training saw.
    member _.Confidence(rank: float) : float =
        if knots.Length = 0 then
            nan
        elif rank <= ranks[0] then
            knots[0]
        elif rank >= ranks[knots.Length - 1] then
            knots[knots.Length - 1]
        else
            let mutable k = 1
            while ranks[k] < rank do
                k <- k + 1
            knots[k - 1] + (knots[k] - knots[k - 1]) * (rank - ranks[k - 1]) / (ranks[k] - ranks[k - 1])

    /// Fits the scale to confidences; NaN entries are ignored.
    static member Fit(confidences: float[]) : ConfidenceScale =
        let sorted = confidences |> Array.filter (Double.IsNaN >> not) |> Array.sort
        let n = sorted.Length
        let steps = min n 128
        let knots = ResizeArray<float>()
        let ranks = ResizeArray<float>()
        for s in 0..steps do
            let value = if n = 0 then nan else sorted[min (n - 1) (int (int64 s * int64 n / int64 steps))]
            if n > 0 && (knots.Count = 0 || value > knots[knots.Count - 1]) then
                // Mid-rank of the value among all training confidences.
                let below = lowerBound sorted value
                let upTo = lowerBound sorted (Math.BitIncrement value)
                knots.Add value
                ranks.Add((float below + float upTo) / (2.0 * float n))
        ConfidenceScale(knots.ToArray(), ranks.ToArray())
