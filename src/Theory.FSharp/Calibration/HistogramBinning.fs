namespace OptimalStopping.Theory

open System

/// A step function: Values[i] on signals in [Edges[i-1], Edges[i]), with Edges strictly increasing, open at both ends;
/// Values has one entry more than Edges.
type HistogramCalibrator =
    { Edges: float[]
      Values: float[] }

    /// The bin of a signal, 0 .. Values.Length - 1, by binary search.
    member this.Bin(signal: float) : int =
        let at = Array.BinarySearch(this.Edges, signal)
        if at >= 0 then at + 1 else ~~~at

    /// The calibrated probability at a finite signal.
    member this.Apply(signal: float) : float = this.Values[this.Bin signal]

    interface ICalibrator with
        member this.Apply signal = this.Apply signal

[<RequireQualifiedAccess>]
module HistogramBinning =

    /// Cuts of a sample into at most `bins` cells of as equal mass as ties allow: strictly increasing inner edges,
    /// each a value of the sample (a cell holds its lower edge). Fewer cells when the sample has fewer distinct
    /// values.
    let equalMassEdges (signals: float[], bins: int) : float[] =
        Samples.requireFinite (nameof signals) signals
        Samples.requireCount (nameof signals) 1 signals
        if bins < 1 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 1"))
        let sorted = Array.sort signals
        Array.init (bins - 1) (fun i -> sorted[int (int64 (i + 1) * int64 sorted.Length / int64 bins)])
        |> Array.distinct
        |> Array.filter (fun edge -> edge > sorted[0])

    /// Mean label of each cell of equal mass (Zadrozny and Elkan 2001). Labels in [0,1].
    let fit (signals: float[], labels: float[], bins: int) : HistogramCalibrator =
        Labelled.check (nameof signals) signals labels
        let edges = equalMassEdges (signals, bins)
        let binning = { Edges = edges; Values = Array.zeroCreate (edges.Length + 1) }
        let counts = Array.zeroCreate (edges.Length + 1)
        Array.iter2
            (fun (s: float) y ->
                let bin = binning.Bin s
                binning.Values[bin] <- binning.Values[bin] + y
                counts[bin] <- counts[bin] + 1)
            signals
            labels
        // Every cell holds the sample value that is its lower edge (the first: the minimum), so no count is 0.
        { binning with Values = Array.map2 (fun sum count -> sum / float count) binning.Values counts }
