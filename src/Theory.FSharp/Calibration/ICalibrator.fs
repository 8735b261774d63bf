namespace OptimalStopping.Theory

open System

/// A map from one signal to an estimate of P(correct) in [0,1]. The implementations are plain records of numbers, so
/// that a fitted calibrator can be written to a file and read back.
type ICalibrator =
    /// The estimate at one finite signal.
    abstract Apply: signal: float -> float

/// Checks that the calibrators and their metrics share. Labels are qualities in [0,1]; 0/1 is the usual case.
module internal Labelled =

    let check (signalName: string) (signals: float[]) (labels: float[]) =
        Samples.requireFinite signalName signals
        Samples.requireFinite "labels" labels
        Samples.requireCount signalName 1 signals
        if signals.Length <> labels.Length then
            raise (ArgumentException($"{signals.Length} {signalName} and {labels.Length} labels; expected as many"))
        labels
        |> Array.iteri (fun i y -> if y < 0.0 || y > 1.0 then raise (ArgumentException($"labels[{i}] is {y}; expected a number in [0,1]")))

    let checkProbabilities (probabilities: float[]) (labels: float[]) =
        check "probabilities" probabilities labels
        probabilities
        |> Array.iteri (fun i p ->
            if p < 0.0 || p > 1.0 then raise (ArgumentException($"probabilities[{i}] is {p}; expected a number in [0,1]")))

    /// 1 / (1 + e^-x) without overflow.
    let sigmoid (x: float) =
        if x >= 0.0 then
            1.0 / (1.0 + exp -x)
        else
            let e = exp x
            e / (1.0 + e)

    /// ln(p / (1-p)) of p held inside [1e-6, 1 - 1e-6].
    let logit (p: float) =
        let p = Math.Clamp(p, 1e-6, 1.0 - 1e-6)
        log (p / (1.0 - p))
