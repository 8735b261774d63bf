namespace OptimalStopping.Theory

open System
open MathNet.Numerics.Distributions

/// Few grades by people and many by a judge: prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan and Zrnic 2023; PPI++:
/// Angelopoulos, Duchi and Zrnic 2023). What the judge says on all answers is corrected by what it gets wrong on those that people
/// graded too.
[<RequireQualifiedAccess>]
module PredictionPowered =

    let private variance (xs: float[]) = Samples.squaredDeviations xs / float (xs.Length - 1)

    let private covariance (xs: float[]) (ys: float[]) =
        let mx, my = Samples.mean xs, Samples.mean ys
        Array.fold2 (fun s x y -> s + (x - mx) * (y - my)) 0.0 xs ys / float (xs.Length - 1)

    /// How much to trust the judge, in [0,1], and the variance of the estimate with it. The weight is the one of PPI++: of least estimated
    /// variance, so that it is never larger than that of the human grades alone (weight 0).
    let private weigh (human: float[]) (judgeOfThose: float[]) (judge: float[]) : struct (float * float) =
        let n, m = float human.Length, float judge.Length
        let both, own, other = covariance human judgeOfThose, variance judgeOfThose, variance judge
        let spread = own / n + other / m
        let weight = if spread > 0.0 then Math.Clamp(both / n / spread, 0.0, 1.0) else 0.0
        struct (weight, variance human / n - 2.0 * weight * both / n + weight * weight * spread)

    /// The weight of the judge's grades in `mean`: 0 where they tell nothing of the human ones.
    [<CompiledName "Weight">]
    let weight (human: float[], judgeOfThose: float[], judge: float[]) : float =
        let struct (weight, _) = weigh human judgeOfThose judge
        weight

    /// Mean human grade with its interval: mean(human) + w (mean(judge) - mean(judgeOfThose)), w as `weight`. human and judgeOfThose:
    /// the grades by people and by the judge of the same answers; judge: the judge's grades of other answers. Assumption: which answers people
    /// graded was decided by chance. Then it is right whatever the judge is worth. The interval is asymptotic (a normal one), at `level`; it is never wider
    /// than the normal interval of the human grades alone. At least 2 grades of each kind, all finite.
    [<CompiledName "Mean">]
    let mean (human: float[], judgeOfThose: float[], judge: float[], level: float) : Interval =
        Samples.requireFinite (nameof human) human
        Samples.requireFinite (nameof judgeOfThose) judgeOfThose
        Samples.requireFinite (nameof judge) judge
        Samples.requireCount (nameof human) 2 human
        Samples.requireCount (nameof judge) 2 judge
        Samples.requireProbability (nameof level) level
        if judgeOfThose.Length <> human.Length then
            raise (ArgumentException($"expected {human.Length}, one for each human grade, got {judgeOfThose.Length}", nameof judgeOfThose))
        let struct (weight, variance) = weigh human judgeOfThose judge
        let estimate = Samples.mean human + weight * (Samples.mean judge - Samples.mean judgeOfThose)
        let half = Normal.InvCDF(0.0, 1.0, (1.0 + level) / 2.0) * sqrt (max 0.0 variance)
        { Estimate = estimate; Low = estimate - half; High = estimate + half; Level = level }
