namespace OptimalStopping.Theory

open System

/// An optimal rule for drafting when the price of a verification depends on its length. With j tokens drafted that
/// survive with probability A: draft another iff A > Continue[j]; keep the new token iff the survival with it is above
/// Keep[j], otherwise verify without it. A threshold of +infinity says never.
type DraftPlan =
    {
        Continue: float[]
        Keep: float[]
        /// rho*: expected tokens per unit of cost.
        Rate: float
    }

/// Draft length as optimal stopping on real hardware, where verifying more tokens takes longer: DraftStopping with the
/// constant price of a verification replaced by a table.
[<RequireQualifiedAccess>]
module DraftPlanning =

    let private cells = 100

    /// Where a survival probability lies on the grid 0, 1/cells .. 1: the point below it, and the share of the next.
    let inline private place (survival: float) =
        let x = survival * float cells
        let i = min (cells - 1) (int x)
        struct (i, x - float i)

    /// Values on the grid, interpolated. They are convex, so that this errs upwards, by less than 1e-3.
    let inline private at (values: float[]) (struct (i, share)) = values[i] + share * (values[i + 1] - values[i])

    /// Backward induction at a rate. nets[j] becomes E[tokens - rate cost] of the best rule from the j-th drafted token on,
    /// itself included (for j = 0 the target's own), for each probability that it survives, and costs[j] its cost alone.
    /// places[i][a]: where the survival i / cells lies after a token of acceptance a.
    let private induct
        (distribution: DiscreteDistribution)
        (draftCost: float)
        (verify: float[])
        (places: struct (int * float)[][])
        rate
        (nets: float[][])
        (costs: float[][])
        =
        for j in verify.Length - 1 .. -1 .. 0 do
            let stop = -rate * verify[j]
            for i in 0..cells do
                let mutable net, cost = -infinity, verify[j]
                if j < verify.Length - 1 then
                    net <- -rate * draftCost
                    cost <- draftCost
                    let places, later, spent = places[i], nets[j + 1], costs[j + 1]
                    for a in 0 .. places.Length - 1 do
                        let kept = at later places[a]
                        net <- net + distribution.Probabilities[a] * max stop kept
                        cost <- cost + distribution.Probabilities[a] * (if kept > stop then at spent places[a] else verify[j])
                nets[j][i] <- float i / float cells + max stop net
                costs[j][i] <- if net > stop then cost else verify[j]

    /// Least survival probability from which a nondecreasing gain is positive: -1 for all, infinity for none.
    let private threshold (gain: float -> float) =
        if gain 1.0 <= 0.0 then
            infinity
        elif gain 0.0 > 0.0 then
            -1.0
        else
            let mutable low, high = 0.0, 1.0
            for _ in 1..30 do
                let middle = 0.5 * (low + high)
                if gain middle > 0.0 then high <- middle else low <- middle
            low

    /// The rule of greatest rate, E[tokens] / E[cost], when the drafted tokens' acceptance probabilities are i.i.d. with
    /// the given distribution on [0,1]. draftCost >= 0 is paid for each token drafted, kept or not; verifyCosts[g] > 0 for
    /// verifying g tokens, g = 0 .. G; drafts have at most G >= 1 tokens. The best rate is the root of
    /// max E[tokens - rate cost] = 0. With equal verifyCosts it is DraftStopping.optimal's.
    let optimal (distribution: DiscreteDistribution, draftCost: float, verifyCosts: float[]) : DraftPlan =
        if not (draftCost >= 0.0 && Double.IsFinite draftCost) then
            raise (ArgumentOutOfRangeException(nameof draftCost, draftCost, "expected a finite number of at least 0"))
        if verifyCosts.Length < 2 || verifyCosts |> Array.exists (fun v -> not (v > 0.0 && Double.IsFinite v)) then
            raise (ArgumentException "verification costs: expected at least two, finite and above 0")
        if distribution.Values |> Array.exists (fun a -> not (a >= 0.0 && a <= 1.0)) then
            raise (ArgumentException "acceptance probabilities must lie in [0,1]")
        Pandora.expectedMaximum (distribution, 0.0) |> ignore // checks the distribution
        let longest = verifyCosts.Length - 1
        let grids () = Array.init (longest + 1) (fun _ -> Array.zeroCreate (cells + 1))
        let nets, costs = grids (), grids ()
        let places = Array.init (cells + 1) (fun i -> distribution.Values |> Array.map (fun a -> place (float i / float cells * a)))
        // Dinkelbach's iteration: the rate of the rule that is best at one rate is the next, until it rises no more. Not
        // drafting earns the first.
        let rec improve rate =
            induct distribution draftCost verifyCosts places rate nets costs
            let next = rate + nets[0][cells] / costs[0][cells]
            if next <= rate * (1.0 + 1e-9) then rate else improve next
        let rate = improve (1.0 / verifyCosts[0])
        let kept j survival = at nets[j + 1] (place survival)
        let further j survival =
            let mutable sum = -rate * draftCost
            for a in 0 .. distribution.Values.Length - 1 do
                sum <- sum + distribution.Probabilities[a] * max (-rate * verifyCosts[j]) (kept j (survival * distribution.Values[a]))
            sum
        let thresholds gain = Array.init longest (fun j -> threshold (fun survival -> gain j survival + rate * verifyCosts[j]))
        { Continue = thresholds further; Keep = thresholds kept; Rate = rate }
