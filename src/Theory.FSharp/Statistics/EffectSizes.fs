namespace OptimalStopping.Theory

/// How large a paired difference is, next to how certain.
type EffectSize =
    {
        /// Mean of d_i, in the units of utility.
        MeanDifference: float
        /// Standard deviation of d_i, divisor M - 1.
        StandardDeviation: float
        /// Cohen's d_z = mean / standard deviation; 0 when all d are 0, infinite when they are equal and not 0.
        Dz: float
        /// Hedges' g_z = J d_z, J = 1 - 3 / (4 nu - 1), nu = M - 1: d_z less its small-sample bias.
        HedgesGz: float
        /// P(d > 0) - P(d < 0), zeros kept in the denominator. Paired: it is not the unpaired Cliff's delta.
        PairedDelta: float
        /// Pairs with d > 0, d < 0 and d = 0.
        Wins: int
        Losses: int
        Ties: int
    }

[<RequireQualifiedAccess>]
module EffectSizes =

    /// Hedges' small-sample factor J = 1 - 3 / (4 nu - 1) for nu >= 1 degrees of freedom (Hedges 1981).
    let hedgesCorrection (degreesOfFreedom: int) : float =
        if degreesOfFreedom < 1 then
            raise (System.ArgumentOutOfRangeException(nameof degreesOfFreedom, degreesOfFreedom, "expected at least 1"))
        1.0 - 3.0 / (4.0 * float degreesOfFreedom - 1.0)

    /// Effect sizes of paired differences d_i = a_i - b_i, M >= 2, all finite.
    let paired (differences: float[]) : EffectSize =
        Samples.requireFinite (nameof differences) differences
        Samples.requireCount (nameof differences) 2 differences
        let count = differences.Length
        let mean = Samples.mean differences
        let deviation = Samples.standardDeviation differences
        let dz =
            if deviation > 0.0 then mean / deviation
            elif differences[0] = 0.0 then 0.0
            else infinity * float (sign differences[0])
        let wins = differences |> Array.sumBy (fun d -> if d > 0.0 then 1 else 0)
        let losses = differences |> Array.sumBy (fun d -> if d < 0.0 then 1 else 0)
        { MeanDifference = mean
          StandardDeviation = deviation
          Dz = dz
          HedgesGz = hedgesCorrection (count - 1) * dz
          PairedDelta = float (wins - losses) / float count
          Wins = wins
          Losses = losses
          Ties = count - wins - losses }
