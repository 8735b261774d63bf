namespace OptimalStopping.Theory

/// sigmoid(Slope * signal + Intercept), Platt (1999).
type PlattCalibrator =
    { Slope: float
      Intercept: float }

    /// The calibrated probability at a finite signal.
    member this.Apply(signal: float) : float = Labelled.sigmoid (this.Slope * signal + this.Intercept)

    interface ICalibrator with
        member this.Apply signal = this.Apply signal

[<RequireQualifiedAccess>]
module Platt =

    /// Maximum likelihood of sigmoid(a s + b) against Platt's smoothed targets, (N+ + 1)/(N+ + 2) for a right answer
    /// and 1/(N- + 2) for a wrong one, which keep the fit finite on separable data. Labels in [0,1] mix the two
    /// targets. A constant signal gives slope 0.
    let fit (signals: float[], labels: float[]) : PlattCalibrator =
        Labelled.check (nameof signals) signals labels
        let right = Array.sum labels
        let wrong = float labels.Length - right
        let high, low = (right + 1.0) / (right + 2.0), 1.0 / (wrong + 2.0)
        let targets = labels |> Array.map (fun y -> y * high + (1.0 - y) * low)
        let centre = Samples.mean signals
        let spread = Samples.standardDeviation (Array.append signals [| signals[0] |])
        // Newton works on the standardised signal, where it is well conditioned; the result is undone afterwards.
        if spread = 0.0 then
            { Slope = 0.0; Intercept = Labelled.logit (Samples.mean targets) }
        else
            let w = Logistic.solve (signals |> Array.map (fun s -> [| (s - centre) / spread; 1.0 |]), targets, 0.0)
            { Slope = w[0] / spread; Intercept = w[1] - w[0] * centre / spread }
