namespace OptimalStopping.Theory

open System
open MathNet.Numerics.Distributions

/// Sample sizes of paired comparisons by the normal approximation, two-sided level alpha, both in (0,1).
/// A fixed-alpha t-test needs about two pairs more at small M.
[<RequireQualifiedAccess>]
module Power =

    let private z p = Normal.InvCDF(0.0, 1.0, p)

    let private quantiles (alpha: float) (power: float) =
        Samples.requireProbability "alpha" alpha
        Samples.requireProbability "power" power
        if power <= alpha / 2.0 then raise (ArgumentOutOfRangeException("power", power, "expected more than alpha / 2"))
        z (1.0 - alpha / 2.0) + z power

    /// Pairs needed to detect an effect d_z (not 0): ceil(((z_(1-alpha/2) + z_power) / d_z)^2).
    let requiredPairs (dz: float, alpha: float, power: float) : int64 =
        if not (Double.IsFinite dz) || dz = 0.0 then
            raise (ArgumentOutOfRangeException(nameof dz, dz, "expected a finite effect other than 0"))
        int64 (ceil ((quantiles alpha power / dz) ** 2.0))

    /// Smallest mean difference that `pairs` pairs of standard deviation s detect: (z_(1-alpha/2) + z_power) s / sqrt
    /// M.
    let minimalDetectableEffect (standardDeviation: float, pairs: int, alpha: float, power: float) : float =
        if not (standardDeviation >= 0.0) then
            raise (ArgumentOutOfRangeException(nameof standardDeviation, standardDeviation, "expected at least 0"))
        if pairs < 1 then raise (ArgumentOutOfRangeException(nameof pairs, pairs, "expected at least 1"))
        quantiles alpha power * standardDeviation / sqrt (float pairs)

    /// Chance that a two-sided test at level alpha rejects, in either direction, at effect d_z with `pairs` pairs.
    let achieved (dz: float, pairs: int, alpha: float) : float =
        Samples.requireProbability (nameof alpha) alpha
        if pairs < 1 then raise (ArgumentOutOfRangeException(nameof pairs, pairs, "expected at least 1"))
        let shift, critical = dz * sqrt (float pairs), z (1.0 - alpha / 2.0)
        Normal.CDF(0.0, 1.0, shift - critical) + Normal.CDF(0.0, 1.0, -shift - critical)
