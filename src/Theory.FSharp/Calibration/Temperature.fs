namespace OptimalStopping.Theory

/// sigmoid(logit(p) / Temperature), Guo et al. (2017): one number, which moves confidence without reordering it.
type TemperatureCalibrator =
    { Temperature: float }

    /// The calibrated probability of a confidence p in [0,1] (held inside [1e-6, 1 - 1e-6]).
    member this.Apply(confidence: float) : float = Labelled.sigmoid (Labelled.logit confidence / this.Temperature)

    interface ICalibrator with
        member this.Apply signal = this.Apply signal

[<RequireQualifiedAccess>]
module Temperature =

    /// The temperature in [0.001, 1000] of least log loss on confidences and labels, both in [0,1].
    /// The loss is convex in 1/T, so that bisection on its derivative finds the optimum to 1e-12 relative; data that
    /// want an infinite or negative temperature get the end of the range.
    let fit (confidences: float[], labels: float[]) : TemperatureCalibrator =
        Labelled.checkProbabilities confidences labels
        let logits = confidences |> Array.map Labelled.logit
        let slope beta = Array.fold2 (fun total l y -> total + (Labelled.sigmoid (beta * l) - y) * l) 0.0 logits labels
        let rec bisect low high steps =
            let middle = sqrt (low * high)
            if steps = 0 then middle
            elif slope middle > 0.0 then bisect low middle (steps - 1)
            else bisect middle high (steps - 1)
        { Temperature = 1.0 / bisect 1e-3 1e3 60 }
