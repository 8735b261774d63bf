namespace OptimalStopping.Theory

open System
open MathNet.Numerics.LinearAlgebra.Double

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

/// A non-decreasing piecewise-linear map through the knots (Signals[i], Values[i]), flat beyond its ends.
/// Signals strictly increase, Values never decrease and lie in [0,1].
type IsotonicCalibrator =
    { Signals: float[]
      Values: float[] }

    /// The calibrated probability at a signal, by interpolation between the neighbouring knots.
    member this.Apply(signal: float) : float =
        let at = Array.BinarySearch(this.Signals, signal)
        if at >= 0 then
            this.Values[at]
        else
            let next = ~~~at
            if next = 0 then
                this.Values[0]
            elif next = this.Signals.Length then
                this.Values[next - 1]
            else
                let left, right = this.Signals[next - 1], this.Signals[next]
                let share = (signal - left) / (right - left)
                this.Values[next - 1] + share * (this.Values[next] - this.Values[next - 1])

    interface ICalibrator with
        member this.Apply signal = this.Apply signal

[<RequireQualifiedAccess>]
module Isotonic =

    /// The non-decreasing sequence closest to `values` in weighted least squares: pool adjacent violators
    /// (Ayer et al. 1955), O(n). Weights are positive. The weighted mean is preserved.
    [<CompiledName "PoolAdjacentViolators">]
    let poolAdjacentViolators (values: float[], weights: float[]) : float[] =
        if values.Length <> weights.Length then
            raise (ArgumentException($"{values.Length} values and {weights.Length} weights; expected as many"))
        let count = values.Length
        let mean, weight, size = Array.zeroCreate count, Array.zeroCreate count, Array.zeroCreate count
        let mutable blocks = 0
        for i in 0 .. values.Length - 1 do
            if not (weights[i] > 0.0) then raise (ArgumentException($"weights[{i}] is {weights[i]}; expected more than 0"))
            mean[blocks] <- values[i]
            weight[blocks] <- weights[i]
            size[blocks] <- 1
            blocks <- blocks + 1
            while blocks > 1 && mean[blocks - 2] >= mean[blocks - 1] do
                let a, b = blocks - 2, blocks - 1
                let together = weight[a] + weight[b]
                mean[a] <- (weight[a] * mean[a] + weight[b] * mean[b]) / together
                weight[a] <- together
                size[a] <- size[a] + size[b]
                blocks <- blocks - 1
        let fitted = Array.zeroCreate values.Length
        let mutable i = 0
        for block in 0 .. blocks - 1 do
            for _ in 1 .. size[block] do
                fitted[i] <- mean[block]
                i <- i + 1
        fitted

    /// Least-squares monotone fit of labels in [0,1] on signals. Equal signals are pooled first. On the fitting data
    /// the mean of the fitted values equals the mean label. O(M log M).
    [<CompiledName "Fit">]
    let fit (signals: float[], labels: float[]) : IsotonicCalibrator =
        Labelled.check (nameof signals) signals labels
        let groups =
            Array.zip signals labels
            |> Array.groupBy fst
            |> Array.sortBy fst
            |> Array.map (fun (signal, members) -> signal, Array.averageBy snd members, float members.Length)
        let fitted = poolAdjacentViolators (groups |> Array.map (fun (_, y, _) -> y), groups |> Array.map (fun (_, _, w) -> w))
        // Only the two ends of each flat stretch are knots.
        let isKnot i = i = 0 || i = fitted.Length - 1 || fitted[i] <> fitted[i - 1] || fitted[i] <> fitted[i + 1]
        let knots =
            [| for i in 0 .. fitted.Length - 1 do
                   if isKnot i then i |]
        { Signals = knots |> Array.map (fun i -> let (s, _, _) = groups[i] in s)
          Values = knots |> Array.map (fun i -> Math.Clamp(fitted[i], 0.0, 1.0)) }

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

    /// Scores x.w of all rows; entry j of columns is column j.
    let private scores (columns: float[][]) (w: float[]) =
        let result = Array.zeroCreate columns[0].Length
        for j in 0 .. w.Length - 1 do
            Columns.addScaled (w[j], columns[j], 0, result, 0, result.Length)
        result

    /// Cross-entropy of labels under scores x.w, plus half the ridge on every weight but the last (the intercept).
    let private objective (columns: float[][]) (labels: float[]) (ridge: float) (w: float[]) =
        let mutable loss = 0.0
        let score = scores columns w
        for i in 0 .. labels.Length - 1 do
            // ln(1 + e^s) - y s, stable for either sign of s.
            loss <- loss + max (score[i]) 0.0 + Math.Log(1.0 + exp -(abs (score[i]))) - labels[i] * score[i]
        for j in 0 .. w.Length - 2 do
            loss <- loss + 0.5 * ridge * w[j] * w[j]
        loss

    /// Gradient and Hessian of the objective at w.
    let private derivatives (columns: float[][]) (labels: float[]) (ridge: float) (w: float[]) =
        let size, m = w.Length, labels.Length
        let p = scores columns w |> Array.map Labelled.sigmoid
        let residual = Array.map2 (-) p labels
        let gradient = columns |> Array.map (fun x -> Columns.dot (x, 0, residual, 0, m))
        let curvature = p |> Array.map (fun v -> v * (1.0 - v))
        let hessian = Array2D.zeroCreate size size
        for j in 0 .. size - 1 do
            let weighted = Array.map2 (*) curvature columns[j]
            for l in 0..j do
                hessian[j, l] <- Columns.dot (weighted, 0, columns[l], 0, m)
        for j in 0 .. size - 2 do
            gradient[j] <- gradient[j] + ridge * w[j]
            hessian[j, j] <- hessian[j, j] + ridge
        for j in 0 .. size - 1 do
            // Keeps the system solvable where the data alone says nothing (all labels equal and the curvature spent).
            hessian[j, j] <- hessian[j, j] + 1e-10
            for l in j + 1 .. size - 1 do
                hessian[j, l] <- hessian[l, j]
        gradient, hessian

    /// Newton's method (iteratively reweighted least squares) with step halving, deterministic. The last column is
    /// all 1, for the intercept, which is not penalised.
    let internal solve (columns: float[][], labels: float[], ridge: float) : float[] =
        let rec improve (w: float[]) loss iteration =
            let gradient, hessian = derivatives columns labels ridge w
            let step = DenseMatrix.OfArray(hessian).Cholesky().Solve(DenseVector gradient).ToArray()
            // Near the optimum the loss is flat to the last bit; the Newton step is still right, so it is let through.
            let bar = loss + 1e-12 * (1.0 + abs loss)
            let rec halve scale tries =
                let next = Array.map2 (fun a s -> a - scale * s) w step
                let nextLoss = objective columns labels ridge next
                if nextLoss <= bar || tries = 0 then next, nextLoss else halve (scale / 2.0) (tries - 1)
            let next, nextLoss = halve 1.0 30
            let settled = Array.forall2 (fun (a: float) b -> abs (a - b) <= 1e-10 * (1.0 + abs a)) w next
            if nextLoss > bar then w
            elif iteration = 1 || settled then next
            else improve next nextLoss (iteration - 1)
        let start = Array.zeroCreate columns.Length
        improve start (objective columns labels ridge start) 100

    /// Fits P(correct) on several signals (minimum and mean token log-probability, margin, entropy, length, ...), one
    /// row per query, all rows of the same length >= 1, labels in [0,1]. Features are standardised first (a constant
    /// one gets scale 1, hence weight 0), so that one `ridge` > 0, in units of observations, fits all. The ridge also
    /// makes the optimum unique and finite when the labels are separable; with all labels equal only the intercept
    /// grows, and it stops where the curvature is spent (a probability within about 1e-8 of the label).
    [<CompiledName "Fit">]
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
        let columns =
            Array.init (width + 1) (fun j ->
                if j = width then Array.create labels.Length 1.0 else features |> Array.map (fun row -> (row[j] - means[j]) / scales[j]))
        let w = solve (columns, labels, ridge)
        { Means = means; Scales = scales; Weights = w[.. width - 1]; Intercept = w[width]; Ridge = ridge }

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
    [<CompiledName "Fit">]
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
            let standardised = signals |> Array.map (fun s -> (s - centre) / spread)
            let w = Logistic.solve ([| standardised; Array.create signals.Length 1.0 |], targets, 0.0)
            { Slope = w[0] / spread; Intercept = w[1] - w[0] * centre / spread }

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
    [<CompiledName "Fit">]
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

/// A step function: Values[i] on signals in [Edges[i-1], Edges[i]), with Edges strictly increasing, open at both ends;
/// Values has one entry more than Edges.
type HistogramCalibrator =
    { Edges: float[]
      Values: float[] }

    /// The bin of a signal, 0 .. Values.Length - 1, by binary search.
    member this.Bin(signal: float) : int =
        let at = Array.BinarySearch(this.Edges, signal)
        if at >= 0 then at + 1 else ~~~at

    /// The calibrated probability at a finite signal.
    member this.Apply(signal: float) : float = this.Values[this.Bin signal]

    interface ICalibrator with
        member this.Apply signal = this.Apply signal

[<RequireQualifiedAccess>]
module HistogramBinning =

    /// Cuts of a sample into at most `bins` cells of as equal mass as ties allow: strictly increasing inner edges,
    /// each a value of the sample (a cell holds its lower edge). Fewer cells when the sample has fewer distinct
    /// values.
    [<CompiledName "EqualMassEdges">]
    let equalMassEdges (signals: float[], bins: int) : float[] =
        Samples.requireFinite (nameof signals) signals
        Samples.requireCount (nameof signals) 1 signals
        if bins < 1 then raise (ArgumentOutOfRangeException(nameof bins, bins, "expected at least 1"))
        let sorted = Array.sort signals
        Array.init (bins - 1) (fun i -> sorted[int (int64 (i + 1) * int64 sorted.Length / int64 bins)])
        |> Array.distinct
        |> Array.filter (fun edge -> edge > sorted[0])

    /// Mean label of each cell of equal mass (Zadrozny and Elkan 2001). Labels in [0,1].
    [<CompiledName "Fit">]
    let fit (signals: float[], labels: float[], bins: int) : HistogramCalibrator =
        Labelled.check (nameof signals) signals labels
        let edges = equalMassEdges (signals, bins)
        let binning = { Edges = edges; Values = Array.zeroCreate (edges.Length + 1) }
        let counts = Array.zeroCreate (edges.Length + 1)
        Array.iter2
            (fun (s: float) y ->
                let bin = binning.Bin s
                binning.Values[bin] <- binning.Values[bin] + y
                counts[bin] <- counts[bin] + 1)
            signals
            labels
        // Every cell holds the sample value that is its lower edge (the first: the minimum), so no count is 0.
        { binning with Values = Array.map2 (fun sum count -> sum / float count) binning.Values counts }
