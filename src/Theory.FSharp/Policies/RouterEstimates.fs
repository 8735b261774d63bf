namespace OptimalStopping.Theory.Policies

open System
open System.Numerics
open OptimalStopping.Theory

/// What a cascade router knows (Dekoninck, Baader and Vechev 2025, "A Unified Approach to Routing and Cascading for
/// LLMs"): for every set of stages that ran, a logistic regression of each stage's quality on what they showed, and how
/// far these predictions lie from those that all stages would allow. A set of stages that may still run together with
/// those that ran ("supermodel") is worth the expected largest quality in it, which 100 draws of the normal errors
/// estimate. Costs are mean training costs.
///
/// Made from the paper's description; its features of classification (largest class probability and entropy of the
/// classes, agreement) are read off what a trace holds: the confidence, its binary entropy, and equal answers.
[<Sealed>]
type RouterEstimates
    private (data: RecordedCascade, cost: float[], predictors: LogisticCalibrator option[][], means: float[], errors: float[][]) =

    static let draws = 100

    let n = data.Stages
    let hasAnswers, contextWidth = data.HasAnswers, data.ContextWidth

    static let lastOf (ran: uint32) = 31 - BitOperations.LeadingZeroCount ran

    static let features
        (n: int)
        hasAnswers
        contextWidth
        (ran: uint32)
        (confidence: ReadOnlySpan<float>)
        (answer: ReadOnlySpan<int>)
        (context: ReadOnlySpan<float>)
        (into: Span<float>)
        =
        let mutable c = 0
        for i in 0 .. contextWidth - 1 do
            into[c] <- context[i]
            c <- c + 1
        for k in 0 .. n - 1 do
            if ran &&& (1u <<< k) <> 0u then
                let x = confidence[k]
                let missing = Double.IsNaN x
                let p = if missing then 0.5 else min (1.0 - 1e-9) (max 1e-9 x)
                into[c] <- p
                into[c + 1] <- if missing then 0.0 else -(p * log p + (1.0 - p) * log (1.0 - p))
                into[c + 2] <- if missing then 1.0 else 0.0
                c <- c + 3
                if hasAnswers then
                    for j in 0 .. k - 1 do
                        if ran &&& (1u <<< j) <> 0u then
                            into[c] <- if not answer.IsEmpty && answer[k] >= 0 && answer[k] = answer[j] then 1.0 else 0.0
                            c <- c + 1
        c

    static let width hasAnswers contextWidth (ran: uint32) =
        let count = BitOperations.PopCount ran
        contextWidth + 3 * count + (if hasAnswers then count * (count - 1) / 2 else 0)

    /// Lower Cholesky factor of a covariance with a little added to its diagonal.
    static let factor (covariance: float[]) n =
        let l = Array.copy covariance
        for j in 0 .. n - 1 do
            l[j * n + j] <- l[j * n + j] + 1e-12
        for j in 0 .. n - 1 do
            for i in j .. n - 1 do
                let mutable s = l[i * n + j]
                for k in 0 .. j - 1 do
                    s <- s - l[i * n + k] * l[j * n + k]
                l[i * n + j] <-
                    if i = j then sqrt (max s 0.0)
                    elif l[j * n + j] > 0.0 then s / l[j * n + j]
                    else 0.0
        l

    /// The most stages that a router is fitted for: it looks at every subset of the stages.
    static member MaxStages = 6

    member _.Stages = n

    /// Mean training cost of each stage.
    member _.Cost = cost

    /// Number of supermodels that a set of stages can grow to: subsets of the stages after its last.
    static member Supermodels(stages: int, ran: uint32) : int = 1 <<< (stages - 1 - lastOf ran)

    /// Predicts the quality of every stage (Stages numbers) into `quality`, and the worth of every supermodel: entry b of `worth` stands
    /// for what ran and the stages lastOf ran + 1 + i for each bit i of b; entry 0 is to stop.
    member _.Fill
        (
            ran: uint32,
            confidence: ReadOnlySpan<float>,
            answer: ReadOnlySpan<int>,
            context: ReadOnlySpan<float>,
            quality: Span<float>,
            worth: Span<float>
        ) : unit =
        let x = Array.zeroCreate<float>(max 1 (width hasAnswers contextWidth ran))
        let count = features n hasAnswers contextWidth ran confidence answer context (Span<float> x)
        for k in 0 .. n - 1 do
            quality[k] <-
                match predictors[int ran][k] with
                | Some fit -> fit.Apply(ReadOnlySpan<float>(x, 0, count))
                | None -> means[k]
        let last = lastOf ran
        let size = RouterEstimates.Supermodels(n, ran)
        worth.Fill 0.0
        let error = errors[int ran]
        let rounds = if error.Length = 0 then 1 else draws
        let most, drawn = Array.zeroCreate<float> size, Array.zeroCreate<float> n
        for d in 0 .. rounds - 1 do
            for k in 0 .. n - 1 do
                drawn[k] <- quality[k] + (if error.Length = 0 then 0.0 else error[d * n + k])
            let mutable best = -infinity
            for k in 0..last do
                if ran &&& (1u <<< k) <> 0u then best <- max best drawn[k]
            most[0] <- best
            worth[0] <- worth[0] + best
            for b in 1 .. size - 1 do
                let low = BitOperations.TrailingZeroCount b
                most[b] <- max most[b &&& (b - 1)] drawn[last + 1 + low]
                worth[b] <- worth[b] + most[b]
        for b in 0 .. size - 1 do
            worth[b] <- worth[b] / float rounds

    /// Fits all regressions on the given queries.
    /// Raises ArgumentException for more than MaxStages stages.
    static member Fit(data: RecordedCascade, rows: int[]) : RouterEstimates =
        let n = data.Stages
        if n > RouterEstimates.MaxStages then
            invalidArg (nameof data) $"expected at most {RouterEstimates.MaxStages} stages, got {n}"
        let sets = 1 <<< n
        let recorded (ran: uint32) q =
            let mutable all = true
            for k in 0 .. n - 1 do
                if ran &&& (1u <<< k) <> 0u && not (data.IsRecorded(q, k)) then all <- false
            all
        let columns ran q =
            let x = Array.zeroCreate (width data.HasAnswers data.ContextWidth ran)
            let answer = if data.HasAnswers then ReadOnlySpan(data.Answer, q * n, n) else ReadOnlySpan<int>.Empty
            features
                n
                data.HasAnswers
                data.ContextWidth
                ran
                (ReadOnlySpan(data.Confidence, q * n, n))
                answer
                (ReadOnlySpan(data.Context, q * data.ContextWidth, data.ContextWidth))
                (Span<float> x)
            |> ignore
            x
        let orZero x = if Double.IsNaN x then 0.0 else x
        let means = Array.init n (fun k -> orZero (data.MeanQuality(rows, k)))
        let predictors =
            Array.Parallel.init sets (fun set ->
                let ran = uint32 set
                let usable = rows |> Array.filter (recorded ran)
                let x = usable |> Array.map (columns ran)
                Array.init n (fun k ->
                    let seen =
                        [| for i in 0 .. usable.Length - 1 do
                               if data.IsRecorded(usable[i], k) then i |]
                    if seen.Length < 2 || width data.HasAnswers data.ContextWidth ran = 0 then
                        None
                    else
                        let labels = seen |> Array.map (fun i -> data.Quality[usable[i] * n + k])
                        Some(Logistic.fit (seen |> Array.map (fun i -> x[i]), labels, 1.0))))
        let predict ran q =
            let x = columns ran q
            Array.init n (fun k ->
                match predictors[int ran][k] with
                | Some fit -> fit.Apply x
                | None -> means[k])
        let everything = uint32 (sets - 1)
        let full = rows |> Array.filter (recorded everything)
        let known = full |> Array.map (predict everything)
        let normals =
            let random = SplitMix64 0x5EEDUL
            let half =
                Array.init (draws / 2 * n) (fun _ ->
                    sqrt (-2.0 * log (1.0 - random.NextDouble())) * cos (2.0 * Math.PI * random.NextDouble()))
            Array.append half (half |> Array.map (~-))
        let errors =
            Array.Parallel.init sets (fun set ->
                if full.Length < 2 then
                    [||]
                else
                    let gap = full |> Array.mapi (fun i q -> Array.map2 (-) (predict (uint32 set) q) known[i])
                    let mean = Array.init n (fun k -> gap |> Array.averageBy (fun g -> g[k]))
                    let covariance =
                        Array.init (n * n) (fun e ->
                            let a, b = e / n, e % n
                            (gap |> Array.sumBy (fun g -> (g[a] - mean[a]) * (g[b] - mean[b]))) / float (full.Length - 1))
                    let l = factor covariance n
                    Array.init (draws * n) (fun e ->
                        let d, k = e / n, e % n
                        let mutable s = 0.0
                        for j in 0..k do
                            s <- s + l[k * n + j] * normals[d * n + j]
                        s))
        RouterEstimates(data, Array.init n (fun k -> orZero (data.MeanCost(rows, k))), predictors, means, errors)
