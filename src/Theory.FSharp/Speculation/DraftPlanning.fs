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

    /// What one verification nets at a rate, E[tokens - rate cost], and the thresholds, by backward induction over the
    /// number of tokens drafted and a grid of survival probabilities (values between grid points are interpolated; they
    /// are convex, so that this errs upwards, by less than 1e-3).
    let private solve (law: DiscreteLaw) (draftCost: float) (verify: float[]) (rate: float) =
        let longest = verify.Length - 1
        let grid = Array.init (cells + 1) (fun i -> float i / float cells)
        let goOn, keep = Array.create longest infinity, Array.create longest infinity
        let mutable value = Array.create (cells + 1) (-rate * verify[longest])
        let at (values: float[]) (survival: float) =
            let x = survival * float cells
            let i = min (cells - 1) (int x)
            values[i] + (x - float i) * (values[i + 1] - values[i])
        // Least survival from which a nondecreasing gain is positive.
        let threshold (gain: float -> float) =
            if gain 1.0 <= 0.0 then infinity
            elif gain 0.0 > 0.0 then -1.0
            else
                let mutable low, high = 0.0, 1.0
                for _ in 1 .. 30 do
                    let middle = 0.5 * (low + high)
                    if gain middle > 0.0 then high <- middle else low <- middle
                low
        for j in longest - 1 .. -1 .. 0 do
            let later, stop = value, -rate * verify[j]
            let kept survival = survival + at later survival
            let further survival =
                let mutable sum = -rate * draftCost
                for i in 0 .. law.Values.Length - 1 do
                    sum <- sum + law.Probabilities[i] * max stop (kept (survival * law.Values[i]))
                sum
            keep[j] <- threshold (fun survival -> kept survival - stop)
            goOn[j] <- threshold (fun survival -> further survival - stop)
            value <- grid |> Array.map (fun survival -> max stop (further survival))
        struct (1.0 + value[cells], goOn, keep)

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
        // Not drafting earns the lower end; the upper end accepts everything for the price of one token.
        let mutable low, high = 1.0 / verifyCosts[0], float verifyCosts.Length / Array.min verifyCosts
        for _ in 1 .. 30 do
            let middle = 0.5 * (low + high)
            let struct (net, _, _) = solve law draftCost verifyCosts middle
            if net > 0.0 then low <- middle else high <- middle
        let struct (_, goOn, keep) = solve law draftCost verifyCosts low
        { Continue = goOn; Keep = keep; Rate = low }
