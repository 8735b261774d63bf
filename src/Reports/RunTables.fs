namespace OptimalStopping.Reports

/// Cumulative regret of one learner at round T: mean over seeds with its 95 % band, the a-priori bound of the theorem
/// that covers the learner and the mean certificate (NaN where there is none).
type RegretPoint =
    { Instance: string
      Learner: string
      Feedback: string
      T: float
      Seeds: int
      Mean: float
      Lower: float
      Upper: float
      Bound: float
      Certificate: float }

/// Slope of log regret on log T with its 95 % interval, and the regret and bound at the last round.
type RegretSlope =
    { Instance: string
      Learner: string
      Feedback: string
      Theorem: string
      Slope: float
      SlopeLow: float
      SlopeHigh: float
      RegretFinal: float
      BoundFinal: float
      TFinal: float }

/// Mean cost (in the run's own unit, see `RunData.costUnit`) and mean quality of one policy on the test queries, with 95 % intervals.
/// Lambda is NaN for a policy that has none; Pareto says that no other listed point is both cheaper and better.
type OperatingPoint =
    { Policy: string
      Lambda: float
      Cost: float
      CostLow: float
      CostHigh: float
      Quality: float
      QualityLow: float
      QualityHigh: float
      Pareto: bool }

/// A line of headline.csv: what it is, its value, and its 95 % interval (NaN where there is none).
type HeadlineNumber = { Metric: string; Value: float; Low: float; High: float }

/// One paired comparison of our policy with a baseline at one lambda.
type Comparison =
    { Baseline: string
      Lambda: float
      Pairs: int
      UtilityOurs: float
      UtilityBaseline: float
      Difference: float
      CiLow: float
      CiHigh: float
      PPermutation: float
      PHolm: float
      PBh: float
      PWilcoxon: float
      PT: float
      Dz: float
      Gz: float
      CliffDelta: float
      DzLow: float
      DzHigh: float
      QualityOurs: float
      QualityBaseline: float
      CostOurs: float
      CostBaseline: float }

/// One bin of a reliability diagram; Confidence and Accuracy are NaN where the bin is empty.
type ReliabilityBin = { Stage: int; Model: string; BinLow: float; BinHigh: float; Count: int; Confidence: float; Accuracy: float }

/// How good one confidence signal of one stage is: ranking (AUROC), calibration error (ECE) and Brier score.
type SignalQuality = { Stage: int; Model: string; Signal: string; Auroc: float; Ece: float; Brier: float }

/// Accuracy of one stage on one task family and level, and the mean number of tokens it wrote.
type StageAccuracy = { Stage: int; Model: string; Family: string; Level: string; Queries: int; Accuracy: float; MeanTokens: float }

/// Share of the test queries that a stage answered, for our policy at one lambda.
type StopShare = { Lambda: float; Stage: int; Share: float }

/// Speculative decoding with a fixed draft length: tokens per forward of the target as counted, and by the formula at
/// the measured acceptance rate (NaN where it does not apply), endless and ended where the answers end.
type SpeculationCount =
    { Target: string
      Chain: string
      Length: int
      Acceptance: float
      TokensPerForward: float
      Formula: float
      FormulaFinite: float
      IndependenceP: float
      Different: int }

/// Acceptance at one position of a draft, of those drafts that were accepted up to there.
type SpeculationPosition = { Target: string; Chain: string; Length: int; Position: int; Tested: int; Acceptance: float }

/// Time of one way to decode: speed-up over plain decoding with its bootstrap interval, and by the formula.
type SpeculationTime =
    { Target: string
      Chain: string
      Length: string
      TokensPerForward: float
      SecondsPerToken: float
      Speedup: float
      SpeedupLow: float
      SpeedupHigh: float
      Formula: float
      Different: int }

/// The adaptive draft length of one chain against the fixed ones, as ratios of time with bootstrap intervals (above 1
/// where it is faster). Best and worst lengths are chosen on the even and on the odd rounds, each timed on the other
/// half; Total counts means where the others count medians, and Fresh is the same for decoders that begin each round from
/// nothing. Twin is one fixed length against itself.
type SpeculationAdaptive =
    { Target: string
      Chain: string
      BestEven: int
      BestOdd: int
      AgainstBest: float
      AgainstBestLow: float
      AgainstBestHigh: float
      Total: float
      TotalLow: float
      TotalHigh: float
      WorstEven: int
      WorstOdd: int
      AgainstWorst: float
      AgainstWorstLow: float
      AgainstWorstHigh: float
      Fresh: float
      FreshLow: float
      FreshHigh: float
      Twin: float
      TwinLow: float
      TwinHigh: float }

/// A point of the front of the cascade with or without reuse of the earlier answer as draft.
type ReusePoint = { Lambda: float; Reuse: bool; Cost: float; Quality: float }

/// What the verifier's opinion of the draft adds to the confidence in its own answer.
type DraftSignal =
    { Drafter: string
      Verifier: string
      AcceptedFraction: float
      ForwardsShare: float
      AurocWithout: float
      AurocWith: float
      BrierWithout: float
      BrierWith: float }

/// Stopping threshold of a stage at one lambda (NaN where the stage never stops by threshold).
type StageThreshold = { Lambda: float; Stage: int; Threshold: float }
