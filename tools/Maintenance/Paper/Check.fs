namespace OptimalStopping.Maintenance.Paper

open System
open OptimalStopping.Theory

/// One inequality of the paper, tried on many inputs. It holds where Worst, the largest left side over right side, is at
/// most 1; how close Worst comes to 1 says how tight the inequality is.
type Check =
    {
        /// The statement whose proof uses it: "Theorem 4".
        Theorem: string
        /// The inequality, as LaTeX.
        Statement: string
        /// Inputs tried.
        Trials: int
        Worst: float
    }

    /// Whether no input violates it, up to rounding.
    member this.Holds = this.Worst <= 1.0 + 1e-9

/// What the checks share: their random inputs and how a check is run.
module Trial =

    /// Runs a trial that returns left and right side, and keeps the largest ratio. A left side of 0 or less holds whenever the
    /// right side is at least 0. Not a number counts as a violation.
    let run
        (theorem: string)
        (statement: string)
        (trials: int)
        (seed: uint64)
        (trial: SplitMix64 -> int -> struct (float * float))
        : Check =
        let random = SplitMix64 seed
        let mutable worst = 0.0
        for i in 0 .. trials - 1 do
            let struct (left, right) = trial random i
            let ratio =
                if Double.IsNaN left || Double.IsNaN right then infinity
                elif left <= 0.0 && right >= 0.0 then 0.0
                elif right <= 0.0 then infinity
                else left / right
            worst <- max worst ratio
        { Theorem = theorem; Statement = statement; Trials = trials; Worst = worst }

    /// An identity: the largest absolute difference against a tolerance of 1e-9.
    let same theorem statement trials seed (trial: SplitMix64 -> int -> struct (float * float)) : Check =
        run theorem statement trials seed (fun random i ->
            let struct (left, right) = trial random i
            struct (abs (left - right), 1e-9))

    let uniform (random: SplitMix64) low high = low + (high - low) * random.NextDouble()

    /// Log-uniform between two positive numbers.
    let spread (random: SplitMix64) (low: float) (high: float) = exp (uniform random (log low) (log high))

    /// A distribution on count points; every third one has zeros.
    let distribution (random: SplitMix64) (count: int) =
        let sparse = random.NextIndex 3 = 0
        let w = Array.init count (fun _ -> if sparse && random.NextIndex 2 = 0 then 0.0 else -log(1.0 - random.NextDouble()))
        w[random.NextIndex count] <- w[random.NextIndex count] + 1e-3
        let total = Array.sum w
        if total = 0.0 then Array.init count (fun i -> if i = 0 then 1.0 else 0.0) else w |> Array.map (fun x -> x / total)

    let mean (p: float[]) (f: float[]) = Array.fold2 (fun sum p f -> sum + p * f) 0.0 p f
    let variance (p: float[]) (f: float[]) =
        let m = mean p f
        mean p (f |> Array.map (fun x -> (x - m) * (x - m)))

    /// A chain problem with random kernels, means and costs.
    let chain (random: SplitMix64) (stages: int) (bins: int) : ChainModel =
        { Initial = distribution random bins
          Kernels = Array.init (stages - 1) (fun _ -> Array.init bins (fun _ -> distribution random bins))
          Means = Array.init stages (fun _ -> Array.init bins (fun _ -> random.NextDouble()))
          ContinueCosts = Array.init (stages - 1) (fun _ -> uniform random 0.0 0.3) }
