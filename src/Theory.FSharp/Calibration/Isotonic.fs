namespace OptimalStopping.Theory

open System

/// A non-decreasing piecewise-linear map through the knots (Signals[i], Values[i]), flat beyond its ends.
/// Signals strictly increase, Values never decrease and lie in [0,1].
type IsotonicCalibrator =
    { Signals: float[]
      Values: float[] }

    /// The calibrated probability at a signal, by interpolation between the neighbouring knots.
    member this.Apply(signal: float) : float =
        let at = Array.BinarySearch(this.Signals, signal)
        if at >= 0 then
            this.Values[at]
        else
            let next = ~~~at
            if next = 0 then
                this.Values[0]
            elif next = this.Signals.Length then
                this.Values[next - 1]
            else
                let left, right = this.Signals[next - 1], this.Signals[next]
                let share = (signal - left) / (right - left)
                this.Values[next - 1] + share * (this.Values[next] - this.Values[next - 1])

    interface ICalibrator with
        member this.Apply signal = this.Apply signal

[<RequireQualifiedAccess>]
module Isotonic =

    /// The non-decreasing sequence closest to `values` in weighted least squares: pool adjacent violators
    /// (Ayer et al. 1955), O(n). Weights are positive. The weighted mean is preserved.
    let poolAdjacentViolators (values: float[], weights: float[]) : float[] =
        if values.Length <> weights.Length then
            raise (ArgumentException($"{values.Length} values and {weights.Length} weights; expected as many"))
        let count = values.Length
        let mean, weight, size = Array.zeroCreate count, Array.zeroCreate count, Array.zeroCreate count
        let mutable blocks = 0
        for i in 0 .. values.Length - 1 do
            if not (weights[i] > 0.0) then raise (ArgumentException($"weights[{i}] is {weights[i]}; expected more than 0"))
            mean[blocks] <- values[i]
            weight[blocks] <- weights[i]
            size[blocks] <- 1
            blocks <- blocks + 1
            while blocks > 1 && mean[blocks - 2] >= mean[blocks - 1] do
                let a, b = blocks - 2, blocks - 1
                let together = weight[a] + weight[b]
                mean[a] <- (weight[a] * mean[a] + weight[b] * mean[b]) / together
                weight[a] <- together
                size[a] <- size[a] + size[b]
                blocks <- blocks - 1
        let fitted = Array.zeroCreate values.Length
        let mutable i = 0
        for block in 0 .. blocks - 1 do
            for _ in 1 .. size[block] do
                fitted[i] <- mean[block]
                i <- i + 1
        fitted

    /// Least-squares monotone fit of labels in [0,1] on signals. Equal signals are pooled first. On the fitting data
    /// the mean of the fitted values equals the mean label. O(M log M).
    let fit (signals: float[], labels: float[]) : IsotonicCalibrator =
        Labelled.check (nameof signals) signals labels
        let groups =
            Array.zip signals labels
            |> Array.groupBy fst
            |> Array.sortBy fst
            |> Array.map (fun (signal, members) -> signal, Array.averageBy snd members, float members.Length)
        let fitted = poolAdjacentViolators (groups |> Array.map (fun (_, y, _) -> y), groups |> Array.map (fun (_, _, w) -> w))
        // Only the two ends of each flat stretch are knots.
        let isKnot i = i = 0 || i = fitted.Length - 1 || fitted[i] <> fitted[i - 1] || fitted[i] <> fitted[i + 1]
        let knots =
            [| for i in 0 .. fitted.Length - 1 do
                   if isKnot i then i |]
        { Signals = knots |> Array.map (fun i -> let (s, _, _) = groups[i] in s)
          Values = knots |> Array.map (fun i -> Math.Clamp(fitted[i], 0.0, 1.0)) }
