namespace OptimalStopping.Theory

open System

/// Thresholds on calibrated confidence that a cascade's costs imply under a named assumption, before any data. Entry k of
/// each array belongs to stage k (0 .. n-2; the last stage always answers): after it, stop iff the calibrated confidence
/// (with recall: the best one so far) is at least that number. 0 stops always, and no threshold exceeds 1.
type ReferenceThresholds =
    {
        /// Short name of the assumption: "any distribution", "uniform", "reference".
        Assumption: string
        /// Stop, or run the next stage.
        Chain: float[]
        /// Stop, or run any later stage.
        Jump: float[]
        /// As jump, and the best answer so far may be returned.
        Recall: float[]
        /// The stage that a jump policy runs first, and what it earns from the start, that stage's cost included; -1 and
        /// NaN where the assumption does not say.
        Entry: int
        Value: float
    }

module private Offers =

    // Offers that do not depend on each other: E X, z -> E (X - z)^+, and the reservation value at a cost.
    type Offer = { Mean: float; Excess: float -> float; Reservation: float -> float }

    let uniformOffer =
        { Mean = 0.5
          Excess = Pandora.uniformExcess
          Reservation = fun cost -> if cost = 0.0 then 1.0 else Pandora.reservationUniform cost }

    let certainOffer = { Mean = 1.0; Excess = (fun z -> max 0.0 (1.0 - z)); Reservation = fun cost -> 1.0 - cost }

    let priced (costs: float[]) (lambda: float) =
        if costs.Length = 0 then raise (ArgumentException("expected at least one stage", "costs"))
        if not (lambda >= 0.0 && Double.IsFinite lambda) then
            raise (ArgumentOutOfRangeException("lambda", lambda, "expected a finite number of at least 0"))
        costs
        |> Array.iteri (fun k c ->
            if not (c >= 0.0 && Double.IsFinite c) then
                raise (ArgumentException($"costs[{k}] is {c}; expected a finite number of at least 0")))
        costs |> Array.map (fun c -> lambda * c)

    // No threshold exceeds 1: nothing is worth more.
    let atLeastZero (xs: float[]) = xs |> Array.map (max 0.0)

    let fromOffers name (prices: float[]) (offers: Offer[]) =
        let n = prices.Length
        // goOn[k]: what going on from stage k is worth. Offers are independent, so that it is the threshold itself.
        let goOn furthest =
            let value: float[] = Array.create n Double.NegativeInfinity
            for k in n - 2 .. -1 .. 0 do
                for j in k + 1 .. min (n - 1) (k + furthest) do
                    let taken = if j = n - 1 then offers[j].Mean else value[j] + offers[j].Excess value[j]
                    value[k] <- max value[k] (taken - prices[j])
            value
        let jump = goOn n
        let enter k = (if k = n - 1 then offers[k].Mean else jump[k] + offers[k].Excess jump[k]) - prices[k]
        let entry = [| 0 .. n - 1 |] |> Array.maxBy enter
        let reservations = Array.map2 (fun offer price -> offer.Reservation price) offers prices
        { Assumption = name
          Chain = atLeastZero (goOn 1).[.. n - 2]
          Jump = atLeastZero jump[.. n - 2]
          Recall = atLeastZero (Array.init (n - 1) (fun k -> Array.max reservations[k + 1 ..]))
          Entry = entry
          Value = enter entry }

/// What costs and the price of cost alone say about where to stop. Calibrated confidence s means E[quality | s] = s.
type ReferenceThresholds with

    /// For every distribution of confidences and qualities, calibrated or not beyond the stage at hand: going on costs at least
    /// lambda min_{j>k} c_j and gains at most 1 - s, so stopping is optimal from 1 - lambda min_{j>k} c_j on. No threshold
    /// of an optimal policy lies above; it is attained when a next stage is always right. `costs` are each stage's own.
    static member Ceiling(costs: float[], lambda: float) : ReferenceThresholds =
        let prices = Offers.priced costs lambda
        let least = Offers.atLeastZero (Array.init (costs.Length - 1) (fun k -> 1.0 - Array.min prices[k + 1 ..]))
        { Assumption = "any distribution"; Chain = least; Jump = least; Recall = least; Entry = -1; Value = nan }

    /// Assumption "uniform": each stage's calibrated confidence is uniform on [0,1], independent of the others. Chain:
    /// Moser's recursion w_k = -lambda c_{k+1} + E max(S_{k+1}, w_{k+1}). Recall: Weitzman's reservation values
    /// 1 - sqrt(2 lambda c); exact where costs do not fall along the cascade, an upper bound elsewhere.
    static member Uniform(costs: float[], lambda: float) : ReferenceThresholds =
        let prices = Offers.priced costs lambda
        Offers.fromOffers "uniform" prices (Array.create costs.Length Offers.uniformOffer)

    /// Assumption "reference": as "uniform", and the last stage is right always, as when quality is agreement with the
    /// largest model.
    static member Reference(costs: float[], lambda: float) : ReferenceThresholds =
        let prices = Offers.priced costs lambda
        Offers.fromOffers
            "reference"
            prices
            (Array.init costs.Length (fun k -> if k = costs.Length - 1 then Offers.certainOffer else Offers.uniformOffer))

    /// The three of them, the one that assumes least first.
    static member All(costs: float[], lambda: float) : ReferenceThresholds[] =
        [| ReferenceThresholds.Ceiling(costs, lambda)
           ReferenceThresholds.Uniform(costs, lambda)
           ReferenceThresholds.Reference(costs, lambda) |]

    /// The price of cost from which on going on can never pay after stage k, whatever the distribution and however low the
    /// confidence: 1 / min_{j>k} c_j; n-1 entries, +infinity where a later stage is free.
    static member BreakEvenPrices(costs: float[]) : float[] =
        let own = Offers.priced costs 1.0
        Array.init (own.Length - 1) (fun k -> 1.0 / Array.min own[k + 1 ..])
