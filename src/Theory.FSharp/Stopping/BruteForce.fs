namespace OptimalStopping.Theory

open System

/// What a policy may do after it has run a stage.
type ActionSet =
    /// Stop, or run the next stage; stage 1 always runs and the last stage run answers.
    | Chain = 0
    /// Stop, or run any later stage; any stage may be the first; the last stage run answers.
    | Jump = 1
    /// As jump, and any of the stages run may answer.
    | Recall = 2

/// A finite joint distribution of the signals and qualities of n stages, atom by atom, with the stages' own (not cumulative)
/// costs. No Markov assumption: signals may depend on the whole past.
type JointDistribution =
    {
        /// Probability of each atom; they sum to 1.
        Probabilities: float[]
        /// Signal bin (any integer) of each stage, by atom then stage.
        Signals: int[][]
        /// Quality of each stage, by atom then stage.
        Qualities: float[][]
        /// Cost of running each stage, at least 0.
        Costs: float[]
    }

/// What a policy earns in expectation: Value = Quality - lambda * Cost.
[<Struct>]
type PolicyValue = { Value: float; Quality: float; Cost: float }

[<RequireQualifiedAccess>]
module BruteForce =

    let private check (distribution: JointDistribution) (lambda: float) =
        let atoms, stages = distribution.Probabilities.Length, distribution.Costs.Length
        if stages = 0 || atoms = 0 then raise (ArgumentException "expected at least one stage and one atom")
        if distribution.Signals.Length <> atoms || distribution.Qualities.Length <> atoms then
            raise (
                ArgumentException(
                    $"{atoms} probabilities, {distribution.Signals.Length} rows of signals, \
                                       {distribution.Qualities.Length} of qualities; expected as many"
                )
            )
        for a in 0 .. atoms - 1 do
            if distribution.Signals[a].Length <> stages || distribution.Qualities[a].Length <> stages then
                raise (ArgumentException($"atom {a}: expected {stages} signals and qualities, as there are costs"))
        Samples.requireDistribution "Probabilities" atoms distribution.Probabilities
        if distribution.Costs |> Array.exists (fun c -> not (c >= 0.0)) then
            raise (ArgumentException "costs must be at least 0")
        if not (lambda >= 0.0 && Double.IsFinite lambda) then
            raise (ArgumentOutOfRangeException("lambda", lambda, "expected a finite number of at least 0"))

    /// The best value over ALL policies of the action set, deterministic or not, whose state is everything seen so far
    /// (which stages ran, and all their signals), with the expected quality and cost of one optimal policy; ties stop,
    /// and among the rest go to the earliest stage. Backward induction over histories: exponential in n (at most 2^n
    /// sets of stages per atom), so an oracle for small distributions. Recall answers with the stage of best conditional mean
    /// quality.
    [<CompiledName "Solve">]
    let solve (distribution: JointDistribution, lambda: float, actions: ActionSet) : PolicyValue =
        check distribution lambda
        let stages = distribution.Costs.Length
        // Expectations restricted to the event `atoms`, not divided by its probability: restrictions then simply add
        // up.
        let total (f: int -> float) (atoms: int[]) = atoms |> Array.sumBy (fun a -> distribution.Probabilities[a] * f a)
        let add x y = { Value = x.Value + y.Value; Quality = x.Quality + y.Quality; Cost = x.Cost + y.Cost }
        let rec after (atoms: int[]) (ran: int list) =
            let answers = if actions = ActionSet.Recall then ran else [ List.head ran ]
            let quality = answers |> List.map (fun k -> total (fun a -> distribution.Qualities[a][k]) atoms) |> List.max
            let stop = { Value = quality; Quality = quality; Cost = 0.0 }
            let last = List.head ran
            let furthest = if actions = ActionSet.Chain then min (last + 1) (stages - 1) else stages - 1
            better (fun j -> run atoms ran j) [ last + 1 .. furthest ] stop
        and run atoms ran j =
            let cost = distribution.Costs[j] * total (fun _ -> 1.0) atoms
            atoms
            |> Array.groupBy (fun a -> distribution.Signals[a][j])
            |> Array.fold (fun sum (_, seen) -> add sum (after seen (j :: ran))) { Value = -lambda * cost; Quality = 0.0; Cost = cost }
        and better option choices first =
            choices |> List.fold (fun best j -> let x = option j in if x.Value > best.Value then x else best) first
        let everything = [| 0 .. distribution.Probabilities.Length - 1 |]
        let enter = run everything []
        let entries = if actions = ActionSet.Chain then [] else [ 1 .. stages - 1 ]
        better enter entries (enter 0)

    /// E max_k (q_k - lambda c_k): the value of one who sees all qualities beforehand and runs one stage. No policy of
    /// any action set does better.
    [<CompiledName "Oracle">]
    let oracle (distribution: JointDistribution, lambda: float) : float =
        check distribution lambda
        let best (qualities: float[]) = Array.map2 (fun q c -> q - lambda * c) qualities distribution.Costs |> Array.max
        Array.fold2 (fun sum p qualities -> sum + p * best qualities) 0.0 distribution.Probabilities distribution.Qualities
