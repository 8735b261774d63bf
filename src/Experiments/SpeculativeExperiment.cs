using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

/// <summary>
/// Speculative decoding with a fixed draft length: what was counted, and tokens per forward of the target by the formula at the
/// measured acceptance rate (NaN where it does not apply), for an endless text and for one that ends where the answers end.
/// </summary>
/// <param name="DifferentTokens">Tokens that are not those of the target alone. Has to be 0.</param>
[RunTable("speculative.csv")]
public sealed record SpeculationCount(
    string Target,
    string Chain,
    int Length,
    int Prompts,
    long Tokens,
    long Forwards,
    long Drafted,
    long Accepted,
    [Column(Unit = true, Optional = true)] double Acceptance,
    double TokensPerForward,
    [Column(Optional = true)] double Formula,
    [Column(Optional = true)] double FormulaFinite,
    [Column(Unit = true, Optional = true)] double IndependenceP,
    long DifferentTokens
);

/// <summary>Acceptance at one position of a draft, of those drafts that were accepted up to there.</summary>
[RunTable("speculative_positions.csv")]
public sealed record SpeculationPosition(
    string Target,
    string Chain,
    int Length,
    int Position,
    long Tested,
    long Accepted,
    [Column(Unit = true, Optional = true)] double Acceptance
);

/// <summary>Time of one way to decode: speed-up over plain decoding with its bootstrap interval, and by the formula.</summary>
/// <param name="Length">A fixed draft length, "adaptive", or "none" for plain decoding.</param>
[RunTable("speculative_times.csv")]
public sealed record SpeculationTime(
    string Target,
    string Chain,
    string Length,
    double TokensPerForward,
    double DraftedPerForward,
    double SecondsPerToken,
    double Speedup,
    double SpeedupLow,
    double SpeedupHigh,
    [Column(Optional = true)] double FormulaSpeedup,
    long DifferentTokens
);

/// <summary>
/// The adaptive draft length of one chain against the fixed ones, as ratios of time with bootstrap intervals (above 1 where it
/// is faster). Best and worst lengths are chosen on the even and on the odd rounds, each timed on the other half; Total counts
/// means where the others count medians, and Fresh is the same for decoders that begin each round from nothing. Twin is one
/// fixed length against itself.
/// </summary>
[RunTable("speculative_adaptive_times.csv")]
public sealed record SpeculationAdaptive(
    string Target,
    string Chain,
    int BestEven,
    int BestOdd,
    double AgainstBest,
    double AgainstBestLow,
    double AgainstBestHigh,
    double AgainstBestNaive,
    double AgainstBestTotal,
    double AgainstBestTotalLow,
    double AgainstBestTotalHigh,
    int WorstEven,
    int WorstOdd,
    double AgainstWorst,
    double AgainstWorstLow,
    double AgainstWorstHigh,
    double Fresh,
    double FreshLow,
    double FreshHigh,
    double Twin,
    double TwinLow,
    double TwinHigh
);

/// <summary>
/// Speculative decoding on a cascade: for each target, every pair, prompt lookup and the full chain, with fixed and with
/// adaptive draft length. What fixed lengths accept is compared with the theory's formulas, and the time of all of them,
/// measured in turn, with plain decoding.
/// </summary>
public static class SpeculativeExperiment
{
    /// <summary>Answers have at least this many tokens, so that there is something to draft.</summary>
    public const int LeastTokens = 20;

    /// <summary>Writes speculative.csv, speculative_positions.csv, and with the times of this machine
    /// speculative_times.csv and speculative_adaptive_times.csv.</summary>
    /// <returns>False, and nothing is written, where no target answers at that length.</returns>
    public static bool Run(
        Cascade cascade,
        ExperimentOptions options,
        string folder,
        Action<string, double> progress,
        CancellationToken cancel
    )
    {
        var costs = new Dictionary<(int, int), ForwardCosts>();
        ForwardCosts Costs(int drafter, int verifier) =>
            costs.TryGetValue((drafter, verifier), out ForwardCosts? known)
                ? known
                : costs[(drafter, verifier)] = ForwardCosts.Measure(
                    cascade.Models[drafter],
                    cascade.Models[verifier],
                    SpeculativeSetup.Longest
                );
        List<SpeculationCount> counts = [];
        List<SpeculationPosition> positions = [];
        List<SpeculationTime> times = [];
        List<SpeculationAdaptive> adaptive = [];
        for (int target = 1; target < cascade.Models.Count; target++)
        {
            int[][] prompts = Prompts(cascade, target, options, cancel);
            if (prompts.Length < 2)
                continue;
            List<SpeculativeSetup[]> chains = SpeculativeSetup.Of(cascade, target, Costs);
            string name = cascade.File.Stages[target].Name;
            SpeculativeRuns[] measured = SpeculativeRuns.Measure(
                chains,
                prompts,
                options.SpeculativeRounds,
                options.Seed,
                done => progress($"speculating for {name}", done),
                cancel
            );
            bool plainWritten = false;
            foreach (SpeculativeRuns runs in measured)
            {
                var timed = new SpeculativeTimes(runs.Seconds, options.Resamples, (ulong)options.Seed);
                for (int w = plainWritten ? 1 : 0; w <= runs.Adaptive; w++)
                {
                    SpeculativeSetup setup = runs.Ways[w];
                    times.Add(Times(setup, runs, timed, w, Costs(target - 1, target).Verify[0]));
                    if (setup.Length <= 0)
                        continue;
                    counts.Add(Counts(setup, runs, w));
                    StageSpeculation stage = runs.Metrics[w].Target;
                    for (int j = 0; j < setup.Length; j++)
                        positions.Add(
                            new SpeculationPosition(
                                setup.Target,
                                setup.Chain,
                                setup.Length,
                                j + 1,
                                stage.Tested[j],
                                stage.AcceptedAt[j],
                                stage.Tested[j] > 0 ? stage.AcceptedAt[j] / (double)stage.Tested[j] : double.NaN
                            )
                        );
                }
                plainWritten = true;
                adaptive.Add(Adaptive(runs, timed));
            }
        }
        if (counts.Count == 0)
            return false;
        ResultTable.Write(folder, counts);
        ResultTable.Write(folder, positions);
        ResultTable.Write(folder, times);
        ResultTable.Write(folder, adaptive);
        return true;
    }

    private static SpeculationCount Counts(SpeculativeSetup setup, SpeculativeRuns runs, int way)
    {
        StageSpeculation target = runs.Metrics[way].Target;
        double alpha = target.AcceptanceRate;
        bool known = double.IsFinite(alpha) && !setup.Chain.StartsWith("lookup", StringComparison.Ordinal);
        // The formula of an endless text, and the same distribution of acceptances ended where each answer ends.
        double formula = known ? DraftLength.ExpectedTokens(alpha, setup.Length) : double.NaN;
        double finite = known
            ? runs.AnswerLengths.Sum() / runs.AnswerLengths.Sum(n => SpeculationHierarchy.RenewalRounds(n, alpha, setup.Length))
            : double.NaN;
        return new(
            setup.Target,
            setup.Chain,
            setup.Length,
            runs.AnswerLengths.Length,
            target.TokensOut,
            target.Forwards,
            target.Drafted,
            target.Accepted,
            alpha,
            target.TokensPerForward,
            formula,
            finite,
            SpeculativeSetup.Independence(target),
            runs.Different[way]
        );
    }

    private static SpeculationTime Times(SpeculativeSetup setup, SpeculativeRuns runs, SpeculativeTimes timed, int way, double plainForward)
    {
        SpeculationMetrics metrics = runs.Metrics[way];
        Interval speedUp = timed.Ratio(0, way);
        double[] rates = [.. metrics.Stages.Skip(1).Select(stage => stage.AcceptanceRate)];
        double expected = setup.ExpectedSeconds is { } formula && rates.All(double.IsFinite) ? formula(rates) : double.NaN;
        return new(
            setup.Target,
            setup.Chain,
            setup.LengthName,
            metrics.Target.TokensPerForward,
            metrics.Target.Drafted / (double)metrics.Target.Forwards,
            timed.Seconds(way) / metrics.Target.TokensOut,
            speedUp.Estimate,
            speedUp.Low,
            speedUp.High,
            plainForward / expected,
            runs.Different[way]
        );
    }

    private static SpeculationAdaptive Adaptive(SpeculativeRuns runs, SpeculativeTimes timed)
    {
        int[] lengths = [.. Enumerable.Range(1, runs.Adaptive - 1)];
        AdaptiveComparison c = timed.Compare(runs.Adaptive, lengths);
        Interval fresh = timed.Total(runs.Fresh, lengths);
        Interval twin = timed.Ratio(lengths.Single(w => runs.Ways[w].Length == SpeculativeSetup.Twin), runs.Twin);
        int Length(int way) => runs.Ways[way].Length;
        return new(
            runs.Ways[1].Target,
            runs.Ways[1].Chain,
            Length(c.Best[0]),
            Length(c.Best[1]),
            c.AgainstBest.Estimate,
            c.AgainstBest.Low,
            c.AgainstBest.High,
            c.Naive,
            c.Total.Estimate,
            c.Total.Low,
            c.Total.High,
            Length(c.Worst[0]),
            Length(c.Worst[1]),
            c.AgainstWorst.Estimate,
            c.AgainstWorst.Low,
            c.AgainstWorst.High,
            fresh.Estimate,
            fresh.Low,
            fresh.High,
            twin.Estimate,
            twin.Low,
            twin.High
        );
    }

    /// <summary>The first test prompts that the target answers at length.</summary>
    private static int[][] Prompts(Cascade cascade, int target, ExperimentOptions options, CancellationToken cancel)
    {
        int count = Math.Max(100, 8 * options.SpeculativePrompts);
        int[][] candidates =
        [
            .. CascadeQueries
                .Draw(cascade.File with { CalibrationQueries = 100, TestQueries = count }, options.Seed)
                .Where(q => q.Split == CascadeRecords.Test)
                .Select(q => cascade.EncodePrompt(q.Query.Prompt)),
        ];
        Generation[] answers = cascade.Decoder(target).DecodeAll(candidates, cancel: cancel);
        return
        [
            .. candidates.Where((_, i) => answers[i].Ended && answers[i].Features.Length >= LeastTokens).Take(options.SpeculativePrompts),
        ];
    }
}
