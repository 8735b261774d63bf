namespace OptimalStopping.Theory

open System
open MathNet.Numerics.LinearAlgebra.Double

/// P(correct) = sigmoid(Intercept + sum_j Weights[j] (x_j - Means[j]) / Scales[j]).
type LogisticCalibrator =
    {
        Means: float[]
        Scales: float[]
        Weights: float[]
        Intercept: float
        /// The ridge penalty that it was fitted with.
        Ridge: float
    }

    /// The calibrated probability at a feature vector of Weights.Length finite numbers.
    member this.Apply(features: ReadOnlySpan<float>) : float =
        if features.Length <> this.Weights.Length then
            raise (ArgumentException($"{features.Length} features; expected {this.Weights.Length}"))
        let mutable score = this.Intercept
        for j in 0 .. this.Weights.Length - 1 do
            score <- score + this.Weights[j] * (features[j] - this.Means[j]) / this.Scales[j]
        Labelled.sigmoid score

    /// The same for an array.
    member this.Apply(features: float[]) : float = this.Apply(ReadOnlySpan<float> features)

[<RequireQualifiedAccess>]
module Logistic =

    /// Cross-entropy of labels under scores x.w, plus half the ridge on every weight but the last (the intercept).
    let private objective (rows: float[][]) (labels: float[]) (ridge: float) (w: float[]) =
        let mutable loss = 0.0
        for i in 0 .. rows.Length - 1 do
            let mutable score = 0.0
            for j in 0 .. w.Length - 1 do
                score <- score + w[j] * rows[i][j]
            // ln(1 + e^s) - y s, stable for either sign of s.
            loss <- loss + max score 0.0 + Math.Log(1.0 + exp -(abs score)) - labels[i] * score
        for j in 0 .. w.Length - 2 do
            loss <- loss + 0.5 * ridge * w[j] * w[j]
        loss

    /// Gradient and Hessian of the objective at w.
    let private derivatives (rows: float[][]) (labels: float[]) (ridge: float) (w: float[]) =
        let size = w.Length
        let gradient, hessian = Array.zeroCreate size, Array2D.zeroCreate size size
        for i in 0 .. rows.Length - 1 do
            let row = rows[i]
            let mutable score = 0.0
            for j in 0 .. size - 1 do
                score <- score + w[j] * row[j]
            let p = Labelled.sigmoid score
            for j in 0 .. size - 1 do
                gradient[j] <- gradient[j] + (p - labels[i]) * row[j]
                for l in 0..j do
                    hessian[j, l] <- hessian[j, l] + p * (1.0 - p) * row[j] * row[l]
        for j in 0 .. size - 2 do
            gradient[j] <- gradient[j] + ridge * w[j]
            hessian[j, j] <- hessian[j, j] + ridge
        for j in 0 .. size - 1 do
            // Keeps the system solvable where the data alone says nothing (all labels equal and the curvature spent).
            hessian[j, j] <- hessian[j, j] + 1e-10
            for l in j + 1 .. size - 1 do
                hessian[j, l] <- hessian[l, j]
        gradient, hessian

    /// Newton's method (iteratively reweighted least squares) with step halving, deterministic. Rows end in a 1 for the
    /// intercept, which is not penalised.
    let internal solve (rows: float[][], labels: float[], ridge: float) : float[] =
        let rec improve (w: float[]) loss iteration =
            let gradient, hessian = derivatives rows labels ridge w
            let step = DenseMatrix.OfArray(hessian).Cholesky().Solve(DenseVector gradient).ToArray()
            // Near the optimum the loss is flat to the last bit; the Newton step is still right, so it is let through.
            let bar = loss + 1e-12 * (1.0 + abs loss)
            let rec halve scale tries =
                let next = Array.map2 (fun a s -> a - scale * s) w step
                let nextLoss = objective rows labels ridge next
                if nextLoss <= bar || tries = 0 then next, nextLoss else halve (scale / 2.0) (tries - 1)
            let next, nextLoss = halve 1.0 30
            let settled = Array.forall2 (fun (a: float) b -> abs (a - b) <= 1e-10 * (1.0 + abs a)) w next
            if nextLoss > bar then w
            elif iteration = 1 || settled then next
            else improve next nextLoss (iteration - 1)
        let start = Array.zeroCreate rows[0].Length
        improve start (objective rows labels ridge start) 100

    /// Fits P(correct) on several signals (minimum and mean token log-probability, margin, entropy, length, ...), one
    /// row per query, all rows of the same length >= 1, labels in [0,1]. Features are standardised first (a constant
    /// one gets scale 1, hence weight 0), so that one `ridge` > 0, in units of observations, fits all. The ridge also
    /// makes the optimum unique and finite when the labels are separable; with all labels equal only the intercept
    /// grows, and it stops where the curvature is spent (a probability within about 1e-8 of the label).
    let fit (features: float[][], labels: float[], ridge: float) : LogisticCalibrator =
        if not (ridge > 0.0 && Double.IsFinite ridge) then
            raise (ArgumentOutOfRangeException(nameof ridge, ridge, "expected a finite number above 0"))
        Labelled.check "labels" labels labels
        if features.Length <> labels.Length then
            raise (ArgumentException($"{features.Length} feature rows and {labels.Length} labels; expected as many"))
        let width = features[0].Length
        if width = 0 then raise (ArgumentException("features[0] is empty; expected at least one feature"))
        features
        |> Array.iteri (fun i row ->
            Samples.requireFinite $"features[{i}]" row
            if row.Length <> width then
                raise (ArgumentException($"features[{i}] has {row.Length} values; expected {width} as in row 0")))
        let column j = features |> Array.map (fun row -> row[j])
        let means = Array.init width (column >> Samples.mean)
        let scales =
            Array.init width (fun j ->
                let values = column j
                let deviation = sqrt (Samples.squaredDeviations values / float values.Length)
                if deviation > 1e-12 * (1.0 + abs means[j]) then deviation else 1.0)
        let rows =
            features |> Array.map (fun row -> Array.init (width + 1) (fun j -> if j = width then 1.0 else (row[j] - means[j]) / scales[j]))
        let w = solve (rows, labels, ridge)
        { Means = means; Scales = scales; Weights = w[.. width - 1]; Intercept = w[width]; Ridge = ridge }
