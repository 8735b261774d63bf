namespace OptimalStopping.Theory

open System

/// Adjusted p-values of a family of tests: reject hypothesis i at level alpha iff its adjusted p-value is <= alpha.
/// The order of the input is kept; an empty family gives an empty array; each p-value must lie in [0,1].
[<RequireQualifiedAccess>]
module MultipleTesting =

    let private check (pValues: float[]) =
        if isNull (box pValues) then nullArg (nameof pValues)
        pValues
        |> Array.iteri (fun i p ->
            if not (p >= 0.0 && p <= 1.0) then
                raise (ArgumentException($"pValues[{i}] is {p}; expected a number in [0,1]", nameof pValues)))

    /// Bonferroni: min(1, family size times p). Controls the family-wise error under any dependence.
    let bonferroni (pValues: float[]) : float[] =
        check pValues
        pValues |> Array.map (fun p -> min 1.0 (p * float pValues.Length))

    /// Holm's step-down method (1979): the family-wise error under any dependence, never less powerful than Bonferroni.
    let holm (pValues: float[]) : float[] =
        check pValues
        let adjusted = Array.zeroCreate pValues.Length
        let mutable highest = 0.0
        Array.init pValues.Length id
        |> Array.sortBy (fun i -> pValues[i])
        |> Array.iteri (fun rank i ->
            highest <- max highest (min 1.0 (float (pValues.Length - rank) * pValues[i]))
            adjusted[i] <- highest)
        adjusted

    /// Benjamini and Hochberg's step-up method (1995): the false discovery rate, under independence or positive
    /// regression dependence.
    let benjaminiHochberg (pValues: float[]) : float[] =
        check pValues
        let count = float pValues.Length
        let adjusted = Array.zeroCreate pValues.Length
        let mutable lowest = 1.0
        Array.init pValues.Length id
        |> Array.sortByDescending (fun i -> pValues[i])
        |> Array.iteri (fun fromTop i ->
            lowest <- min lowest (count / float (pValues.Length - fromTop) * pValues[i])
            adjusted[i] <- lowest)
        adjusted
