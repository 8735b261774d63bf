namespace OptimalStopping.Theory.Policies

open System
open System.Numerics
open OptimalStopping.Theory

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
