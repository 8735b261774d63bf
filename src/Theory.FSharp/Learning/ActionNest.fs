namespace OptimalStopping.Theory

open System
open System.Collections.Generic

/// A policy over actions: stages, of which each gives an answer, and looks, which only give a signal. Actions are taken in rising order
/// and any may be left out (jumps).
type ActionPolicy =
    {
        /// The action that every query begins with.
        First: int
        /// Next[a][s]: what follows action a when its signal fell in bin s: a later action, or -1 to answer.
        Next: int[][]
        /// True: answers with the answer so far that looks best by the class's levels, the earliest of equals. False: with the latest.
        Recall: bool
    }

/// A finite class of policies over n actions with jumps, recall and looks (Theorem 18). Make it with `Create`, which checks it.
type ActionClass =
    {
        /// Whether an action gives an answer (a stage) or only a signal (a look).
        Answers: bool[]
        /// lambda-cost of each action, at least 0. All actions that a policy takes are paid.
        Costs: float[]
        /// Levels[a][s]: how good the answer of action a looks in bin s, say its mean quality there. Recall goes by it.
        Levels: float[][]
        Policies: ActionPolicy[]
        /// Number of different sequences of actions after which some policy answers.
        Paths: int
        /// Number of different pairs of such a sequence and the action whose answer is returned.
        Leaves: int
        /// B: 1 + the largest cost of such a sequence.
        Range: float
    }

    /// The most actions: sequences are kept as bits.
    static member Most: int = 20

    /// Checks a class and counts what its bound needs. Throws ArgumentException where shapes differ, an action does not follow, or
    /// a policy could answer before any action gave an answer.
    static member Create(answers: bool[], costs: float[], levels: float[][], policies: ActionPolicy[]) : ActionClass =
        let n = answers.Length
        let refuse (name: string) (text: string) = raise (ArgumentException(text, name))
        if n < 1 || n > ActionClass.Most then refuse (nameof answers) $"expected 1 to {ActionClass.Most} actions, got {n}"
        if costs.Length <> n || costs |> Array.exists (fun c -> not (c >= 0.0 && Double.IsFinite c)) then
            refuse (nameof costs) $"expected {n} finite costs of at least 0"
        if levels.Length <> n || levels |> Array.exists (fun row -> row.Length = 0 || row |> Array.exists Double.IsNaN) then
            refuse (nameof levels) $"expected {n} rows of levels, one for each bin"
        if policies.Length < 1 then refuse (nameof policies) "expected at least one policy"
        let paths, leaves = HashSet<int>(), HashSet<struct (int * int)>()
        policies
        |> Array.iteri (fun i policy ->
            let fits =
                policy.Next.Length = n && Array.forall2 (fun (row: int[]) (level: float[]) -> row.Length = level.Length) policy.Next levels
            if not fits then
                refuse (nameof policies) $"policy {i}: expected a row of {n} for each action, an entry for each of its bins"
            if policy.First < 0 || policy.First >= n then
                refuse (nameof policies) $"policy {i}: expected a first action in 0 .. {n - 1}, got {policy.First}"
            let seen = HashSet<struct (int * int * int * int)>()
            // An action taken after the actions of `path`, with the answer of `best` in bin `bin` at hand (-1: none).
            let rec take action path best bin =
                if seen.Add(struct (action, path, best, bin)) then
                    let path = path ||| (1 <<< action)
                    for s in 0 .. levels[action].Length - 1 do
                        let better = answers[action] && (best < 0 || not policy.Recall || levels[action][s] > levels[best][bin])
                        let struct (best, bin) = if better then struct (action, s) else struct (best, bin)
                        match policy.Next[action][s] with
                        | -1 when best < 0 -> refuse (nameof policies) $"policy {i}: answers after action {action} without an answer"
                        | -1 ->
                            paths.Add path |> ignore
                            leaves.Add(struct (path, best)) |> ignore
                        | next when next > action && next < n -> take next path best bin
                        | next -> refuse (nameof policies) $"policy {i}: expected -1 or an action after {action}, got {next}"
            take policy.First 0 -1 -1)
        let cost path =
            Seq.sum (
                seq {
                    for a in 0 .. n - 1 do
                        if path >>> a &&& 1 = 1 then costs[a]
                }
            )
        { Answers = answers
          Costs = costs
          Levels = levels
          Policies = policies
          Paths = paths.Count
          Leaves = leaves.Count
          Range = 1.0 + (paths |> Seq.map cost |> Seq.max) }

/// One query's signals and grades at every action. A learner reads only what its feedback shows; a look has no quality.
type ActionOutcome = { Bins: int[]; Qualities: float[] }

/// What a policy does on a query: the actions it takes, in order, and the one whose answer it returns.
type ActionWalk = { Actions: int[]; Answer: int }

/// NEST over a class of policies with jumps, recall and looks, after `Round` queries.
type ActionNestState =
    {
        Class: ActionClass
        Feedback: Feedback
        /// T for which eta and gamma are tuned.
        Horizon: int
        Round: int
        /// Estimated cumulative loss of each policy.
        Losses: float[]
        /// Sum of the losses that the learner incurred.
        Incurred: float
    }

/// NEST for policies with jumps, recall and looks (Theorem 18). A policy is drawn before its query comes, in O(N); each decision
/// on the query is then a table look-up, O(1); learning from it is O(N n) and holds up no answer.
[<RequireQualifiedAccess>]
module ActionNest =

    /// D of Theorem 18: 1 (F), the paths (S), the leaves (B).
    [<CompiledName "Depth">]
    let depth (policies: ActionClass, feedback: Feedback) : int =
        match feedback with
        | Feedback.Full -> 1
        | Feedback.StagesRun -> policies.Paths
        | _ -> policies.Leaves

    /// Theorem 18: 2 B sqrt(D T ln N); under F B sqrt(T ln N / 2). It bounds the expected regret of T queries against each
    /// policy of the class, whatever the queries.
    [<CompiledName "RegretBound">]
    let regretBound (policies: ActionClass, feedback: Feedback, horizon: int) : float =
        let t, logN = float horizon, log (float (max 2 policies.Policies.Length))
        if feedback = Feedback.Full then
            policies.Range * sqrt (t * logN / 2.0)
        else
            2.0 * policies.Range * sqrt (float (depth (policies, feedback)) * t * logN)

    /// eta and gamma of Theorem 18.
    let internal rates (state: ActionNestState) : NestRates =
        let t, logN = float state.Horizon, log (float (max 2 state.Class.Policies.Length))
        if state.Feedback = Feedback.Full then
            { Eta = sqrt (8.0 * logN / t); Gamma = 0.0 }
        else
            let eta = sqrt (logN / (float (depth (state.Class, state.Feedback)) * t))
            { Eta = eta; Gamma = eta / 2.0 }

    /// The state before the first query of `horizon`.
    [<CompiledName "Init">]
    let init (policies: ActionClass, feedback: Feedback, horizon: int) : ActionNestState =
        if horizon < 1 then raise (ArgumentOutOfRangeException(nameof horizon, horizon, "expected at least 1"))
        { Class = policies
          Feedback = feedback
          Horizon = horizon
          Round = 0
          Losses = Array.zeroCreate policies.Policies.Length
          Incurred = 0.0 }

    /// The probability of each policy on the next query.
    [<CompiledName "Weights">]
    let weights (state: ActionNestState) : float[] =
        let eta, least = (rates state).Eta, Array.min state.Losses
        let raw = state.Losses |> Array.map (fun loss -> exp (-eta * (loss - least)))
        let total = Array.sum raw
        raw |> Array.map (fun w -> w / total)

    /// Draws the policy for the next query. O(N), and may be done before the query is known.
    [<CompiledName "Choose">]
    let choose (state: ActionNestState, random: SplitMix64) : int =
        let weights = weights state
        let mutable i, left = 0, random.NextDouble() - weights[0]
        while i < weights.Length - 1 && left >= 0.0 do
            i <- i + 1
            left <- left - weights[i]
        i

    /// Walks a policy while its actions are those that `shown` says have signals to be read; None where it takes another.
    let private follow (policies: ActionClass) (index: int) (bins: int[]) (shown: int -> int -> bool) : ActionWalk voption =
        let policy = policies.Policies[index]
        let actions = List<int>()
        let mutable action, best, open' = policy.First, -1, true
        while open' && action >= 0 do
            if shown actions.Count action then
                actions.Add action
                let bin = bins[action]
                let looks a = policies.Levels[a][bins[a]]
                if policies.Answers[action] && (best < 0 || not policy.Recall || looks action > looks best) then best <- action
                action <- policy.Next[action][bin]
            else
                open' <- false
        if open' then ValueSome { Actions = actions.ToArray(); Answer = best } else ValueNone

    /// What a policy does on a query.
    [<CompiledName "Walk">]
    let walk (policies: ActionClass, index: int, bins: int[]) : ActionWalk = (follow policies index bins (fun _ _ -> true)).Value

    /// Loss in [0,1] of a policy's walk: (1 - quality + cost of its actions) / B.
    [<CompiledName "Loss">]
    let loss (policies: ActionClass, walk: ActionWalk, qualities: float[]) : float =
        (1.0 - qualities[walk.Answer] + (walk.Actions |> Array.sumBy (fun a -> policies.Costs[a]))) / policies.Range

    /// The state after a query that policy `index` answered. Under S the grades of the stages that ran are read and every policy is told
    /// whose actions are the first of those taken; under B the grade of the answer, and every policy that did the same. O(N n).
    [<CompiledName "Observe">]
    let observe (state: ActionNestState, outcome: ActionOutcome, index: int) : ActionNestState =
        let policies = state.Class
        if index < 0 || index >= policies.Policies.Length then
            raise (ArgumentOutOfRangeException(nameof index, index, $"expected 0 .. {policies.Policies.Length - 1}"))
        let played = walk (policies, index, outcome.Bins)
        let lost walk = loss (policies, walk, outcome.Qualities)
        let estimates =
            if state.Feedback = Feedback.Full then
                Array.init policies.Policies.Length (fun i -> lost (walk (policies, i, outcome.Bins)))
            else
                let gamma, weights = (rates state).Gamma, weights state
                // Weight of the policies that begin with the first j + 1 actions taken: known from the signals seen up to there.
                let begins: float[] = Array.zeroCreate played.Actions.Length
                let follows i =
                    follow policies i outcome.Bins (fun at action ->
                        let along = at < played.Actions.Length && played.Actions[at] = action
                        if along then begins[at] <- begins[at] + weights[i]
                        along)
                let walks = Array.init policies.Policies.Length follows
                let same (other: ActionWalk) = other.Actions.Length = played.Actions.Length && other.Answer = played.Answer
                let answered =
                    Array.fold2
                        (fun sum w other ->
                            match other with
                            | ValueSome other when same other -> sum + w
                            | _ -> sum)
                        0.0
                        weights
                        walks
                walks
                |> Array.map (function
                    | ValueSome other when state.Feedback = Feedback.StagesRun -> lost other / (begins[other.Actions.Length - 1] + gamma)
                    | ValueSome other when same other -> lost other / (answered + gamma)
                    | _ -> 0.0)
        { state with
            Round = state.Round + 1
            Losses = Array.map2 (+) state.Losses estimates
            Incurred = state.Incurred + lost played }
