namespace OptimalStopping.Theory

open System

/// An optimal rule for drafting when the price of a verification depends on its length. With j tokens drafted that
/// survive with probability A: draft another iff A > Continue[j]; keep the new token iff the survival with it is above
/// Keep[j], otherwise verify without it. A threshold of +infinity says never.
type DraftPlan =
    { Continue: float[]
      Keep: float[]
      /// rho*: expected tokens per unit of cost.
      Rate: float }

/// Draft length as optimal stopping on real hardware, where verifying more tokens takes longer: DraftStopping with the
/// constant price of a verification replaced by a table.
[<RequireQualifiedAccess>]
module DraftPlanning =

    let private cells = 200

    /// Values on the grid of survival probabilities 0, 1/cells .. 1, interpolated between. They are convex, so that this
    /// errs upwards, by less than 1e-3.
    let inline private at (values: float[]) (survival: float) =
        let x = survival * float cells
        let i = min (cells - 1) (int x)
        values[i] + (x - float i) * (values[i + 1] - values[i])

    /// Backward induction at a rate: nets[j] becomes what the best rule nets from j drafted tokens on, E[tokens still to
    /// come - rate cost], for each survival probability, and costs[j] what it costs.
    let private induct (law: DiscreteLaw) (draftCost: float) (verify: float[]) (rate: float) (nets: float[][]) (costs: float[][]) =
        let longest = verify.Length - 1
        Array.fill nets[longest] 0 (cells + 1) (-rate * verify[longest])
        Array.fill costs[longest] 0 (cells + 1) verify[longest]
        for j in longest - 1 .. -1 .. 0 do
            let stop, later, spent = -rate * verify[j], nets[j + 1], costs[j + 1]
            for i in 0 .. cells do
                let mutable net, cost = -rate * draftCost, draftCost
                for a in 0 .. law.Values.Length - 1 do
                    let survival = float i / float cells * law.Values[a]
                    let kept = survival + at later survival
                    net <- net + law.Probabilities[a] * max stop kept
                    cost <- cost + law.Probabilities[a] * (if kept > stop then at spent survival else verify[j])
                nets[j][i] <- max stop net
                costs[j][i] <- if net > stop then cost else verify[j]

    /// Least survival probability from which a nondecreasing gain is positive: -1 for all, infinity for none.
    let private threshold (gain: float -> float) =
        if gain 1.0 <= 0.0 then infinity
        elif gain 0.0 > 0.0 then -1.0
        else
            let mutable low, high = 0.0, 1.0
            for _ in 1 .. 30 do
                let middle = 0.5 * (low + high)
                if gain middle > 0.0 then high <- middle else low <- middle
            low

    /// The rule of greatest rate, E[tokens] / E[cost], when the drafted tokens' acceptance probabilities are i.i.d. with
    /// the given law on [0,1]. draftCost >= 0 is paid for each token drafted, kept or not; verifyCosts[g] > 0 for
    /// verifying g tokens, g = 0 .. G; drafts have at most G >= 1 tokens. The best rate is the root of
    /// max E[tokens - rate cost] = 0. With equal verifyCosts it is DraftStopping.optimal's.
    let optimal (law: DiscreteLaw, draftCost: float, verifyCosts: float[]) : DraftPlan =
        if not (draftCost >= 0.0 && Double.IsFinite draftCost) then
            raise (ArgumentOutOfRangeException(nameof draftCost, draftCost, "expected a finite number of at least 0"))
        if verifyCosts.Length < 2 || verifyCosts |> Array.exists (fun v -> not (v > 0.0 && Double.IsFinite v)) then
            raise (ArgumentException "verification costs: expected at least two, finite and above 0")
        if law.Values |> Array.exists (fun a -> not (a >= 0.0 && a <= 1.0)) then
            raise (ArgumentException "acceptance probabilities must lie in [0,1]")
        Pandora.expectedMaximum (law, 0.0) |> ignore // checks the law
        let longest = verifyCosts.Length - 1
        let grids () = Array.init (longest + 1) (fun _ -> Array.zeroCreate (cells + 1))
        let nets, costs = grids (), grids ()
        // Dinkelbach's iteration: the rate of the rule that is best at one rate is the next, until it rises no more. Not
        // drafting earns the first.
        let rec improve rate =
            induct law draftCost verifyCosts rate nets costs
            let next = rate + (1.0 + nets[0][cells]) / costs[0][cells]
            if next <= rate * (1.0 + 1e-12) then rate else improve next
        let rate = improve (1.0 / verifyCosts[0])
        let kept j survival = survival + at nets[j + 1] survival
        let further j survival =
            let mutable sum = -rate * draftCost
            for a in 0 .. law.Values.Length - 1 do
                sum <- sum + law.Probabilities[a] * max (-rate * verifyCosts[j]) (kept j (survival * law.Values[a]))
            sum
        let thresholds gain = Array.init longest (fun j -> threshold (fun survival -> gain j survival + rate * verifyCosts[j]))
        { Continue = thresholds further; Keep = thresholds kept; Rate = rate }
