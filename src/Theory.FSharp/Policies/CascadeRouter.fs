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

/// The cascade router (Dekoninck, Baader and Vechev 2025): before each step it takes the supermodel with the largest
/// worth - lambda * cost among all that contain what ran, runs the first stage of it that has not run yet, and stops when
/// there is none; the answer is that of the stage with the best predicted quality. Each step has a lambda of its own.
/// It plans as if the rest of a supermodel ran without being looked at; backward induction knows that it will look.
[<Sealed>]
type CascadeRouter(estimates: RouterEstimates, lambdas: float[]) =

    let n = estimates.Stages
    /// Cost of the stages in a subset of all stages.
    let cost =
        Array.init (1 <<< n) (fun set ->
            let mutable sum = 0.0
            for k in 0 .. n - 1 do
                if set &&& (1 <<< k) <> 0 then sum <- sum + estimates.Cost[k]
            sum)

    do if lambdas.Length <> n then invalidArg (nameof lambdas) $"expected {n} prices, one for each step, got {lambdas.Length}"

    member _.Estimates = estimates
    /// The price of cost at each step.
    member _.Lambdas = lambdas

    /// The decision when predicted qualities and the supermodels' worth are known.
    member internal _.DecideOn(ran: uint32, quality: ReadOnlySpan<float>, worth: ReadOnlySpan<float>) : Decision =
        let last = 31 - BitOperations.LeadingZeroCount ran
        let lambda = lambdas[min (n - 1) (BitOperations.PopCount ran)]
        let mutable best, at, price = -infinity, 0, 0.0
        for b in (if ran = 0u then 1 else 0) .. RouterEstimates.Supermodels(n, ran) - 1 do
            let c = cost[b <<< (last + 1)]
            let value = worth[b] - lambda * c
            // Equal to eight digits counts as equal, and then the cheaper one is taken.
            if value > best + 1e-8 || (value > best - 1e-8 && c < price) then
                best <- value
                at <- b
                price <- c
        if at > 0 then
            Decision.GoTo(last + 1 + BitOperations.TrailingZeroCount at)
        else
            let mutable answer = -1
            for k in 0 .. n - 1 do
                if ran &&& (1u <<< k) <> 0u && (answer < 0 || quality[k] > quality[answer]) then answer <- k
            Decision.StopWith answer

    interface IStoppingPolicy with
        member _.Stages = n

        member this.Decide(observation) =
            let quality = Array.zeroCreate<float> n
            let worth = Array.zeroCreate<float>(RouterEstimates.Supermodels(n, observation.Ran))
            estimates.Fill(
                observation.Ran,
                observation.Confidence,
                observation.Answer,
                observation.Context,
                Span<float> quality,
                Span<float> worth
            )
            this.DecideOn(observation.Ran, ReadOnlySpan<float> quality, ReadOnlySpan<float> worth)

/// What is known of one query, for all routers with the same estimates: filled in state by state when first asked for.
[<Sealed>]
type internal RouterMemory(estimates: RouterEstimates, data: RecordedCascade) =
    let n = data.Stages
    let known = Array.create (1 <<< n) -1
    let quality = Array.init (1 <<< n) (fun _ -> Array.zeroCreate<float> n)
    let worth = Array.init (1 <<< n) (fun set -> Array.zeroCreate<float>(RouterEstimates.Supermodels(n, uint32 set)))

    /// The query at hand.
    member val Row = -1 with get, set

    member this.Decide(router: CascadeRouter, ran: uint32) : Decision =
        let q, set = this.Row, int ran
        // Before anything ran, queries without features all look the same.
        if known[set] <> q && not (set = 0 && data.ContextWidth = 0 && known[0] >= 0) then
            let answer = if data.HasAnswers then ReadOnlySpan(data.Answer, q * n, n) else ReadOnlySpan<int>.Empty
            estimates.Fill(
                ran,
                ReadOnlySpan(data.Confidence, q * n, n),
                answer,
                ReadOnlySpan(data.Context, q * data.ContextWidth, data.ContextWidth),
                Span<float> quality[set],
                Span<float> worth[set]
            )
            known[set] <- q
        router.DecideOn(ran, ReadOnlySpan<float> quality[set], ReadOnlySpan<float> worth[set])

    /// A router that decides by this memory.
    member this.View(router: CascadeRouter) : IStoppingPolicy =
        { new IStoppingPolicy with
            member _.Stages = n
            member _.Decide(observation) = this.Decide(router, observation.Ran) }

[<RequireQualifiedAccess>]
module CascadeRouting =

    /// Fits the router for a range of prices: first one price for all steps, as the authors' binary search finds it, then
    /// 8 random variations of it from step to step in the place of their Bayesian search; the points on the hull of
    /// the training queries are kept. Rows must be in random order. Only for cascades of at most RouterEstimates.MaxStages.
    [<CompiledName "Fit">]
    let fit (data: RecordedCascade, rows: int[], prices: float[]) : FittedFamily =
        let rows = if rows.Length > 20_000 then Array.sub rows 0 20_000 else rows
        let estimates = RouterEstimates.Fit(data, rows)
        let random = SplitMix64 0xCA5CADEUL
        let routers =
            [| for price in prices do
                   CascadeRouter(estimates, Array.create data.Stages price)
                   for _ in 1..8 do
                       CascadeRouter(estimates, Array.init data.Stages (fun _ -> price * exp (1.4 * (2.0 * random.NextDouble() - 1.0)))) |]
        let memory = RouterMemory(estimates, data)
        let views = routers |> Array.map memory.View
        let cost, quality = Array.zeroCreate<float> routers.Length, Array.zeroCreate<float> routers.Length
        for q in rows do
            memory.Row <- q
            for i in 0 .. routers.Length - 1 do
                let struct (c, k) = Replay.query (views[i], data, q)
                cost[i] <- cost[i] + c
                quality[i] <- quality[i] + data.Quality[q * data.Stages + k]
        let hull = Frontier.upperHull cost quality
        { Name = "cascade-router"
          Parameter = hull |> Array.map (fun i -> routers[i].Lambdas[0])
          Policies = hull |> Array.map (fun i -> routers[i] :> IStoppingPolicy) }
