using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

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
    /// speculative_times.csv and speculative_adaptive.csv.</summary>
    public static void Run(
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
        List<object?[]> counts = [],
            positions = [],
            times = [],
            adaptive = [];
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
                        positions.Add([
                            setup.Target,
                            setup.Chain,
                            setup.Length,
                            j + 1,
                            stage.Tested[j],
                            stage.AcceptedAt[j],
                            stage.Tested[j] > 0 ? stage.AcceptedAt[j] / (double)stage.Tested[j] : double.NaN,
                        ]);
                }
                plainWritten = true;
                adaptive.Add(Adaptive(runs, timed));
            }
        }
        if (counts.Count == 0)
            throw new ToolkitException(
                $"speculative: expected answers of at least {LeastTokens} tokens from '{cascade.File.Stages[^1].Name}', got none"
            );
        CsvFile.Write(
            Path.Combine(folder, "speculative.csv"),
            "target,chain,length,prompts,tokens,forwards,drafted,accepted,acceptance,tokens_per_forward,formula,formula_finite,independence_p,different_tokens",
            counts
        );
        CsvFile.Write(
            Path.Combine(folder, "speculative_positions.csv"),
            "target,chain,length,position,tested,accepted,acceptance",
            positions
        );
        CsvFile.Write(
            Path.Combine(folder, "speculative_times.csv"),
            "target,chain,length,tokens_per_forward,drafted_per_forward,seconds_per_token,speedup,speedup_low,speedup_high,formula_speedup,different_tokens",
            times
        );
        CsvFile.Write(
            Path.Combine(folder, "speculative_adaptive.csv"),
            "target,chain,best_even,best_odd,against_best,against_best_low,against_best_high,against_best_naive,"
                + "against_best_total,against_best_total_low,against_best_total_high,worst_even,worst_odd,against_worst,against_worst_low,against_worst_high,fresh,fresh_low,fresh_high,twin,twin_low,twin_high",
            adaptive
        );
    }

    private static object?[] Counts(SpeculativeSetup setup, SpeculativeRuns runs, int way)
    {
        StageSpeculation target = runs.Metrics[way].Target;
        double alpha = target.AcceptanceRate;
        bool known = double.IsFinite(alpha) && !setup.Chain.StartsWith("lookup", StringComparison.Ordinal);
        // The formula of an endless text, and the same distribution of acceptances ended where each answer ends.
        double formula = known ? DraftLength.ExpectedTokens(alpha, setup.Length) : double.NaN;
        double finite = known
            ? runs.AnswerLengths.Sum() / runs.AnswerLengths.Sum(n => SpeculationHierarchy.RenewalRounds(n, alpha, setup.Length))
            : double.NaN;
        return
        [
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
            runs.Different[way],
        ];
    }

    private static object?[] Times(SpeculativeSetup setup, SpeculativeRuns runs, SpeculativeTimes timed, int way, double plainForward)
    {
        SpeculationMetrics metrics = runs.Metrics[way];
        Interval speedUp = timed.Ratio(0, way);
        double[] rates = [.. metrics.Stages.Skip(1).Select(stage => stage.AcceptanceRate)];
        double expected = setup.ExpectedSeconds is { } formula && rates.All(double.IsFinite) ? formula(rates) : double.NaN;
        return
        [
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
            runs.Different[way],
        ];
    }

    private static object?[] Adaptive(SpeculativeRuns runs, SpeculativeTimes timed)
    {
        int[] lengths = [.. Enumerable.Range(1, runs.Adaptive - 1)];
        AdaptiveComparison c = timed.Compare(runs.Adaptive, lengths);
        Interval fresh = timed.Total(runs.Fresh, lengths);
        Interval twin = timed.Ratio(lengths.Single(w => runs.Ways[w].Length == SpeculativeSetup.Twin), runs.Twin);
        int Length(int way) => runs.Ways[way].Length;
        return
        [
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
            twin.High,
        ];
    }

    /// <summary>The first test prompts that the target answers at length.</summary>
    private static int[][] Prompts(Cascade cascade, int target, ExperimentOptions options, CancellationToken cancel)
    {
        var generator = new QueryGenerator(options.Seed, QuerySplit.Test);
        int[][] candidates =
        [
            .. generator.Distinct(8 * options.SpeculativePrompts).Select(query => cascade.Tokenizer.Encode(query.Prompt)),
        ];
        Generation[] answers = cascade.Decoder(target).DecodeAll(candidates, cancel: cancel);
        return
        [
            .. candidates.Where((_, i) => answers[i].Ended && answers[i].Features.Length >= LeastTokens).Take(options.SpeculativePrompts),
        ];
    }
}
