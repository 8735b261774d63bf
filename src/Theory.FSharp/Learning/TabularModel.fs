namespace OptimalStopping.Theory

open System

/// Sufficient statistics of the Markov model: what a model-based learner has seen. All arrays are [stage][bin] unless said.
type TabularCounts =
    {
        /// How often each bin was the first signal; m entries. Their sum is the number of queries seen.
        First: float[]
        /// Transitions[k][s][s']: how often bin s at stage k was followed by bin s' at stage k+1; (n-1) x m x m.
        Transitions: float[][][]
        /// Visits[k][s]: row sums of Transitions; (n-1) x m.
        Visits: float[][]
        /// How often stage k's answer was graded in bin s; n x m.
        Grades: float[][]
        /// Sum of those grades, and of their squares; n x m.
        Sums: float[][]
        Squares: float[][]
    }

    /// Nothing seen yet.
    static member Create(stages: int, bins: int) : TabularCounts =
        let table rows = Array.init rows (fun _ -> Array.zeroCreate bins)
        { First = Array.zeroCreate bins
          Transitions = Array.init (stages - 1) (fun _ -> table bins)
          Visits = table (stages - 1)
          Grades = table stages
          Sums = table stages
          Squares = table stages }

    /// An independent copy.
    static member Copy(counts: TabularCounts) : TabularCounts =
        let table = Array.map Array.copy
        { First = Array.copy counts.First
          Transitions = counts.Transitions |> Array.map table
          Visits = table counts.Visits
          Grades = table counts.Grades
          Sums = table counts.Sums
          Squares = table counts.Squares }

    /// Adds one query in place (for drivers that own the counts).
    static member internal Record(counts: TabularCounts, feedback: Feedback, outcome: Outcome, stop: int) : unit =
        let bins = outcome.Bins
        let seen = if feedback = Feedback.Full then counts.Grades.Length - 1 else stop
        counts.First[bins[0]] <- counts.First[bins[0]] + 1.0
        for k in 0..seen do
            let s = bins[k]
            if k < seen then
                let row = counts.Transitions[k][s]
                row[bins[k + 1]] <- row[bins[k + 1]] + 1.0
                counts.Visits[k][s] <- counts.Visits[k][s] + 1.0
            if feedback <> Feedback.Returned || k = stop then
                let q = outcome.Qualities[k]
                counts.Grades[k][s] <- counts.Grades[k][s] + 1.0
                counts.Sums[k][s] <- counts.Sums[k][s] + q
                counts.Squares[k][s] <- counts.Squares[k][s] + q * q

    /// The counts after one more query that stopped at `stop`; reads only what the feedback shows.
    static member Observe(counts: TabularCounts, feedback: Feedback, outcome: Outcome, stop: int) : TabularCounts =
        let next = TabularCounts.Copy counts
        TabularCounts.Record(next, feedback, outcome, stop)
        next

/// Plans from tabular counts: fill a stop table by backward induction on an estimated model. Uniform Dirichlet(1, ..., 1)
/// priors on the rows of kernels and Beta(1, 1) on mean qualities; fractional grades count as fractions of a success.
[<RequireQualifiedAccess>]
module TabularPlan =

    let private dot (p: float[]) (w: float[]) =
        let mutable sum = 0.0
        for i in 0 .. p.Length - 1 do
            sum <- sum + p[i] * w[i]
        sum

    /// Backward induction with the posterior means: the greedy, "follow the leader" plan. Ties stop.
    let internal fillGreedy (counts: TabularCounts, costs: float[], stop: bool[][]) : unit =
        let n, m = counts.Grades.Length, counts.First.Length
        let mean k s = (counts.Sums[k][s] + 1.0) / (counts.Grades[k][s] + 2.0)
        let mutable next = Array.init m (fun s -> mean (n - 1) s)
        for k in n - 2 .. -1 .. 0 do
            let uniform = Array.sum next
            next <-
                Array.init m (fun s ->
                    let onward = (dot (counts.Transitions[k][s]) next + uniform) / (counts.Visits[k][s] + float m) - costs[k]
                    let now = mean k s
                    stop[k][s] <- now >= onward
                    max now onward)

    /// Backward induction with one draw from the posterior. O(n m^2) gamma variates.
    let internal fillPosteriorSample (counts: TabularCounts, costs: float[], sampling: Sampling, stop: bool[][]) : unit =
        let n, m = counts.Grades.Length, counts.First.Length
        let mean k s = sampling.Beta(counts.Sums[k][s] + 1.0, counts.Grades[k][s] - counts.Sums[k][s] + 1.0)
        let mutable next = Array.init m (fun s -> mean (n - 1) s)
        let mutable current = Array.zeroCreate m
        for k in n - 2 .. -1 .. 0 do
            for s in 0 .. m - 1 do
                let row = counts.Transitions[k][s]
                let mutable value, total = 0.0, 0.0
                for t in 0 .. m - 1 do
                    let g = sampling.Gamma(row[t] + 1.0)
                    total <- total + g
                    value <- value + g * next[t]
                let onward = value / total - costs[k]
                let now = mean k s
                stop[k][s] <- now >= onward
                current[s] <- max now onward
            let spent = next
            next <- current
            current <- spent

    let private emptyPlan (counts: TabularCounts) = Array.init (counts.Grades.Length - 1) (fun _ -> Array.zeroCreate counts.First.Length)

    let private check (counts: TabularCounts) (costs: float[]) =
        if costs.Length <> counts.Grades.Length - 1 then
            raise (ArgumentException($"expected {counts.Grades.Length - 1} costs of going on, got {costs.Length}"))

    /// The greedy plan as a stop table, (n-1) x m. `costs` are the lambda-costs of going on from each stage.
    [<CompiledName "Greedy">]
    let greedy (counts: TabularCounts, costs: float[]) : bool[][] =
        check counts costs
        let stop = emptyPlan counts
        fillGreedy (counts, costs, stop)
        stop

    /// The optimal plan of a model drawn from the posterior (PSRL; Osband, Russo and Van Roy 2013).
    [<CompiledName "PosteriorSample">]
    let posteriorSample (counts: TabularCounts, costs: float[], random: SplitMix64) : bool[][] =
        check counts costs
        let stop = emptyPlan counts
        fillPosteriorSample (counts, costs, Sampling random, stop)
        stop

/// What a learner does for one query after another, with buffers that it reuses: the fast, mutable driver. Each learner's
/// module offers the same steps as values (`init`, `choose`, `observe`: a new state each time, plain records that serialise);
/// a driver is made from a state and gives one back. Per query call Begin, then Stops for stages 0, 1, ... (n-2 at most) until
/// it answers true, then Observe. Not safe for use by several threads at once; different runs are independent.
[<AbstractClass>]
type LearnerRun() =
    /// Draws whatever the policy for the next query needs before its first signal.
    abstract Begin: random: SplitMix64 -> unit
    /// Stop at this stage, having seen this bin there?
    abstract Stops: stage: int * bin: int * random: SplitMix64 -> bool
    /// Learns from the query that stopped at `stop`, reading only what the feedback shows.
    abstract Observe: outcome: Outcome * stop: int -> unit
    /// Expected value of the policy that Begin has fixed, before any signal: `value` gives the value of a stop table and
    /// `classValues` those of the policy class's policies, in order. Given the past, this is what the next query is worth.
    abstract ExpectedValue: value: Func<bool[][], float> * classValues: float[] -> float
    /// The side expert's stop table for this query, or an empty array.
    abstract SidePolicy: bool[][]
    /// What the learner has seen, as counts of the Markov model; null where it keeps none.
    abstract Counts: TabularCounts | null
    /// Certificate A at confidence 1 - delta (theory 2.2), in units of reward: an upper bound on the realised regret so far
    /// against the best of the policy class and the side expert. NaN where the learner has none.
    abstract CertificateA: delta: float -> float
    default _.SidePolicy = [||]
    default _.Counts = null
    default _.CertificateA _ = nan
