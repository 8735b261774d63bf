namespace OptimalStopping.Theory

open System
open MathNet.Numerics.Distributions

/// "No worse than the baseline by more than a margin": what has to hold beside a lower cost.
[<RequireQualifiedAccess>]
module NonInferiority =

    /// One-sided paired t-test of "mean difference <= -margin" against "> -margin", for M >= 2 differences (method minus
    /// baseline) and a margin >= 0: a small p-value says that the method loses less than the margin. Constant differences give
    /// 0 or 1 (1/2 at the margin itself).
    let pairedT (differences: float[], margin: float) : TestResult =
        Samples.requireFinite (nameof differences) differences
        Samples.requireCount (nameof differences) 2 differences
        if not (margin >= 0.0 && Double.IsFinite margin) then
            raise (ArgumentOutOfRangeException(nameof margin, margin, "expected a finite number of at least 0"))
        let above = Samples.mean differences + margin
        let error = Samples.standardDeviation differences / sqrt (float differences.Length)
        let t =
            if error > 0.0 then above / error
            elif above = 0.0 then 0.0
            else infinity * float (sign above)
        let p =
            if Double.IsInfinity t then
                (if t > 0.0 then 0.0 else 1.0)
            else
                StudentT.CDF(0.0, 1.0, float (differences.Length - 1), -t)
        { Statistic = t; PValue = p; Exact = false }

    /// The lower end of the one-sided confidence interval for the mean difference at level 1 - alpha: the method is non-inferior
    /// at level alpha iff it exceeds -margin.
    let lowerLimit (differences: float[], alpha: float) : float =
        Samples.requireFinite (nameof differences) differences
        Samples.requireCount (nameof differences) 2 differences
        Samples.requireProbability (nameof alpha) alpha
        let error = Samples.standardDeviation differences / sqrt (float differences.Length)
        Samples.mean differences - StudentT.InvCDF(0.0, 1.0, float (differences.Length - 1), 1.0 - alpha) * error
