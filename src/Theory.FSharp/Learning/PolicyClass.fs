namespace OptimalStopping.Theory

open System
open System.Numerics

/// What is graded after a query (theory 2). Signals are seen up to the stage that answered, except under Full.
type Feedback =
    /// All stages are graded and all signals seen (recorded traces, shadow evaluation); (F).
    | Full = 0
    /// The stages that ran are graded; (S).
    | StagesRun = 1
    /// Only the returned answer is graded; (B).
    | Returned = 2

/// One query's outcome at every stage. Whoever learns from it reads only what the feedback and the stopping stage allow, so
/// entries after the stopping stage may hold anything unless the feedback is Full.
type Outcome =
    {
        /// Signal bin of each stage, 0 .. m-1.
        Bins: int[]
        /// Quality of each stage's answer, in [0,1].
        Qualities: float[]
        /// Costs[k] = lambda (C_k - C_0): the price paid after the first stage if stage k answers; Costs[0] = 0, nondecreasing.
        /// The first stage always runs, so its own cost is sunk and appears nowhere.
        Costs: float[]
    }

    /// Buffers for n stages.
    static member Empty(stages: int) : Outcome =
        { Bins = Array.zeroCreate stages; Qualities = Array.zeroCreate stages; Costs = Array.zeroCreate stages }

    /// Reward of answering with a stage, less the sunk first cost: q_k - lambda (C_k - C_0).
    static member Reward(outcome: Outcome, stage: int) : float = outcome.Qualities[stage] - outcome.Costs[stage]

    /// Loss in [0,1]: (1 - reward) / B, where the range B is at least 1 + the largest Costs[n-1] (theory 2.1).
    static member Loss(outcome: Outcome, stage: int, range: float) : float = (1.0 - Outcome.Reward(outcome, stage)) / range

/// A finite policy class of reactive policies: at each of the n-1 stages with a choice, any one of r rules (Rules[i][s]: does rule i
/// stop in bin s?). Policy number sum_k i_k r^(n-2-k) uses rule i_k at stage k; there are N = r^(n-1) policies.
type PolicyClass =
    { Stages: int
      Bins: int
      Rules: bool[][] }

    /// The most policies that a class may have: 2^24.
    static member Largest: int = 1 <<< 24

    /// A policy class of given rules. Throws ArgumentException unless there are rules, all of them over `bins` bins, and at most 2^24
    /// policies in all.
    static member Create(stages: int, bins: int, rules: bool[][]) : PolicyClass =
        if stages < 1 then raise (ArgumentOutOfRangeException(nameof stages, stages, "expected at least 1"))
        if bins < 1 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 1"))
        if rules.Length = 0 || rules |> Array.exists (fun rule -> rule.Length <> bins) then
            raise (ArgumentException($"expected at least one rule, each over {bins} bins", nameof rules))
        if float rules.Length ** float (stages - 1) > float PolicyClass.Largest then
            raise (
                ArgumentException(
                    $"{rules.Length} rules at {stages - 1} stages make more than {PolicyClass.Largest} policies; \
                                       use a coarser policy class",
                    nameof rules
                )
            )
        { Stages = stages; Bins = bins; Rules = rules }

    /// All threshold policies: N = (m+1)^(n-1).
    static member Thresholds(stages: int, bins: int) : PolicyClass = PolicyClass.Create(stages, bins, Reactive.thresholdRules bins)

    /// Threshold policies whose thresholds are among `levels` (each in 0 .. m): N = levels^(n-1). The side expert restores
    /// the resolution that a coarse policy class lacks.
    static member ThresholdsAt(stages: int, bins: int, levels: int[]) : PolicyClass =
        if levels |> Array.exists (fun theta -> theta < 0 || theta > bins) then
            raise (ArgumentOutOfRangeException(nameof levels, levels, $"expected thresholds in 0 .. {bins}"))
        PolicyClass.Create(stages, bins, levels |> Array.map (fun theta -> Array.init bins (fun s -> s >= theta)))

    /// All interval policies ("go on iff a <= s < b"): N = (m(m+1)/2 + 1)^(n-1).
    static member Intervals(stages: int, bins: int) : PolicyClass = PolicyClass.Create(stages, bins, Reactive.intervalRules bins)

    /// N, the number of policies.
    static member Size(policyClass: PolicyClass) : int = pown policyClass.Rules.Length (policyClass.Stages - 1)

    /// The stop table of a policy, (n-1) x m; its rows are copies.
    static member Policy(policyClass: PolicyClass, index: int) : bool[][] =
        let r = policyClass.Rules.Length
        Array.init (policyClass.Stages - 1) (fun k -> Array.copy policyClass.Rules[index / pown r (policyClass.Stages - 2 - k) % r])

/// Sums and updates of arrays indexed by policy, by the stage at which each policy stops on a path of bins. The array is a
/// tensor with one axis per stage, so the policies that stop at a stage form boxes: no policy is ever asked anything, and
/// whole runs of neighbours are added or multiplied at once. One call costs at most O(N) additions.
[<Sealed>]
type PolicyIndex(policyClass: PolicyClass) =
    let rules = policyClass.Rules.Length
    let choices = policyClass.Stages - 1
    let strides = Array.init choices (fun k -> pown rules (choices - 1 - k))
    let going =
        Array.init policyClass.Bins (fun s ->
            [| for i in 0 .. rules - 1 do
                   if not (policyClass.Rules[i][s]) then i |])
    // Maximal runs of neighbouring rules that stop in a bin, as start and length pairs.
    let stopping =
        Array.init policyClass.Bins (fun s ->
            [| for i in 0 .. rules - 1 do
                   if policyClass.Rules[i][s] && (i = 0 || not (policyClass.Rules[i - 1][s])) then
                       let mutable last = i
                       while last + 1 < rules && policyClass.Rules[last + 1][s] do
                           last <- last + 1
                       struct (i, last - i + 1) |])
    let mask = Array.init policyClass.Bins (fun s -> Array.init rules (fun i -> if policyClass.Rules[i][s] then 1.0 else 0.0))
    let additions: float[] = Array.zeroCreate rules
    let factors: float[] = Array.zeroCreate rules
    let size = PolicyClass.Size policyClass

    static let sum (xs: float[]) start length =
        let mutable total, i, stop = Vector<float>.Zero, start, start + length
        while i <= stop - Vector<float>.Count do
            total <- total + Vector<float>(xs, i)
            i <- i + Vector<float>.Count
        let mutable rest = Vector.Sum total
        while i < stop do
            rest <- rest + xs[i]
            i <- i + 1
        rest

    static let dot (xs: float[]) start (ys: float[]) =
        let mutable total, i, length = Vector<float>.Zero, 0, ys.Length
        while i <= length - Vector<float>.Count do
            total <- total + Vector<float>(xs, start + i) * Vector<float>(ys, i)
            i <- i + Vector<float>.Count
        let mutable rest = Vector.Sum total
        while i < length do
            rest <- rest + xs[start + i] * ys[i]
            i <- i + 1
        rest

    static let add (xs: float[]) start length (x: float) =
        let mutable i, stop, xv = start, start + length, Vector<float> x
        while i <= stop - Vector<float>.Count do
            (Vector<float>(xs, i) + xv).CopyTo(xs, i)
            i <- i + Vector<float>.Count
        while i < stop do
            xs[i] <- xs[i] + x
            i <- i + 1

    static let scale (xs: float[]) start length (x: float) =
        let mutable i, stop, xv = start, start + length, Vector<float> x
        while i <= stop - Vector<float>.Count do
            (Vector<float>(xs, i) * xv).CopyTo(xs, i)
            i <- i + Vector<float>.Count
        while i < stop do
            xs[i] <- xs[i] * x
            i <- i + 1

    static let addEach (xs: float[]) start (ys: float[]) =
        let mutable i, length = 0, ys.Length
        while i <= length - Vector<float>.Count do
            (Vector<float>(xs, start + i) + Vector<float>(ys, i)).CopyTo(xs, start + i)
            i <- i + Vector<float>.Count
        while i < length do
            xs[start + i] <- xs[start + i] + ys[i]
            i <- i + 1

    static let scaleEach (xs: float[]) start (ys: float[]) =
        let mutable i, length = 0, ys.Length
        while i <= length - Vector<float>.Count do
            (Vector<float>(xs, start + i) * Vector<float>(ys, i)).CopyTo(xs, start + i)
            i <- i + Vector<float>.Count
        while i < length do
            xs[start + i] <- xs[start + i] * ys[i]
            i <- i + 1

    member _.PolicyClass = policyClass

    /// Sum of all entries.
    static member Total(xs: float[]) : float = sum xs 0 xs.Length

    /// Inner product of two arrays of the same length.
    static member Dot(xs: float[], ys: float[]) : float = dot xs 0 ys

    member private this.MassFrom(weights: float[], path: int[], stage: int, level: int, offset: int) : float =
        let bin = path[level]
        if level = stage then
            if level = choices - 1 then
                dot weights offset mask[bin]
            else
                let mutable total = 0.0
                for struct (start, length) in stopping[bin] do
                    total <- total + sum weights (offset + start * strides[level]) (length * strides[level])
                total
        else
            let mutable total = 0.0
            for rule in going[bin] do
                total <- total + this.MassFrom(weights, path, stage, level + 1, offset + rule * strides[level])
            total

    /// Sum of the weights of the policies that stop exactly at `stage` (one with a choice: 0 .. n-2) on the path, of which
    /// only bins 0 .. stage are read.
    member this.Mass(weights: float[], path: int[], stage: int) : float = this.MassFrom(weights, path, stage, 0, 0)

    member private this.UpdateFrom
        (losses: float[], weights: float[], path: int[], first, last, loss: float[], factor: float[], level, offset)
        : unit =
        let bin = path[level]
        let weighted = weights.Length > 0
        if level = choices - 1 then
            // The last choice splits the policies between the last two stages: both at once, through a table by rule. Such a
            // table is the same for every block of this call.
            addEach losses offset additions
            if weighted then scaleEach weights offset factors
        else
            if level >= first then
                for struct (start, length) in stopping[bin] do
                    add losses (offset + start * strides[level]) (length * strides[level]) loss[level]
                    if weighted then scale weights (offset + start * strides[level]) (length * strides[level]) factor[level]
            if level < last then
                for rule in going[bin] do
                    this.UpdateFrom(losses, weights, path, first, last, loss, factor, level + 1, offset + rule * strides[level])

    /// For every policy that stops at a stage k in first .. last on the path: losses += loss[k], weights *= factor[k]. An
    /// empty `weights` is left alone. Bins after `last` are not read, and no other policy's entries change.
    member this.Update(losses: float[], weights: float[], path: int[], first: int, last: int, loss: float[], factor: float[]) : unit =
        if choices = 0 then
            add losses 0 size loss[0]
            if weights.Length > 0 then scale weights 0 size factor[0]
        else
            if last >= choices - 1 then
                let bin = path[choices - 1]
                for i in 0 .. rules - 1 do
                    let k = if policyClass.Rules[i][bin] then choices - 1 else choices
                    let touched = k >= first && k <= last
                    additions[i] <- if touched then loss[k] else 0.0
                    if weights.Length > 0 then factors[i] <- if touched then factor[k] else 1.0
            this.UpdateFrom(losses, weights, path, first, last, loss, factor, 0, 0)

    /// For every policy: losses += loss[k], where k is the stage at which it stops on the path.
    member this.Add(losses: float[], path: int[], loss: float[]) : unit = this.Update(losses, [||], path, 0, choices, loss, [||])
