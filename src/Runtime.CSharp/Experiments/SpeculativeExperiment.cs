using MathNet.Numerics.Statistics;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Ladder;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Experiments;

/// <summary>
/// Speculative decoding on a ladder: for each target, every pair, prompt lookup and the full chain, with fixed and with
/// adaptive draft length. What fixed lengths accept is compared with the theory's formulas, and the time of all of them,
/// measured in turn, with plain decoding.
/// </summary>
public static class SpeculativeExperiment
{
    /// <summary>Answers have at least this many tokens, so that there is something to draft.</summary>
    public const int LeastTokens = 20;

    /// <summary>Writes speculative.csv, speculative_positions.csv and speculative_times.csv (whose numbers are this machine's).</summary>
    public static void Run(ModelLadder ladder, ExperimentOptions options, string folder, Action<string, double> progress, CancellationToken cancel)
    {
        var measured = new Dictionary<(int, int), ForwardCosts>();
        ForwardCosts Costs(int drafter, int verifier) => measured.TryGetValue((drafter, verifier), out ForwardCosts? known) ? known
            : measured[(drafter, verifier)] = ForwardCosts.Measure(ladder.Models[drafter], ladder.Models[verifier], SpeculativeSetup.Longest);
        List<object?[]> counts = [], positions = [], times = [];
        for (int target = 1; target < ladder.Models.Count; target++)
        {
            int[][] prompts = Prompts(ladder, target, options, cancel);
            if (prompts.Length == 0) continue;
            List<SpeculativeSetup> setups = SpeculativeSetup.Of(ladder, target, Costs);
            int share = target;
            SpeculativeRuns runs = SpeculativeRuns.Measure(setups, prompts, options.SpeculativeRounds,
                done => progress($"speculating for {ladder.File.Stages[share].Name}", done), cancel);
            for (int s = 0; s < setups.Count; s++)
            {
                SpeculativeSetup setup = setups[s];
                SpeculationMetrics metrics = runs.Metrics[s];
                if (setup.Length > 0) counts.Add(Counts(setup, metrics, prompts.Length, runs, runs.Different[s]));
                if (setup.Length > 0)
                    for (int j = 0; j < setup.Length; j++)
                        positions.Add([setup.Target, setup.Chain, setup.Length, j + 1, metrics.Target.Tested[j], metrics.Target.AcceptedAt[j],
                            metrics.Target.Tested[j] > 0 ? metrics.Target.AcceptedAt[j] / (double)metrics.Target.Tested[j] : double.NaN]);
                times.Add(Times(setup, metrics, runs, s, Costs(target - 1, target).Verify[0]));
                setup.Decoder.Dispose();
            }
        }
        if (counts.Count == 0)
            throw new ToolkitException($"speculative: expected answers of at least {LeastTokens} tokens from '{ladder.File.Stages[^1].Name}', got none");
        CsvFile.Write(Path.Combine(folder, "speculative.csv"), "target,chain,length,prompts,tokens,forwards,drafted,accepted,acceptance,tokens_per_forward,formula,formula_finite,independence_p,different_tokens", counts);
        CsvFile.Write(Path.Combine(folder, "speculative_positions.csv"), "target,chain,length,position,tested,accepted,acceptance", positions);
        CsvFile.Write(Path.Combine(folder, "speculative_times.csv"), "target,chain,length,tokens_per_forward,drafted_per_forward,seconds_per_token,speedup,speedup_low,speedup_high,formula_speedup,different_tokens", times);
    }

    private static object?[] Counts(SpeculativeSetup setup, SpeculationMetrics metrics, int prompts, SpeculativeRuns runs, long different)
    {
        StageSpeculation target = metrics.Target;
        double alpha = target.AcceptanceRate;
        bool known = double.IsFinite(alpha) && !setup.Chain.StartsWith("lookup", StringComparison.Ordinal);
        // The formula of an endless text, and the same law of acceptances ended where each answer ends.
        double formula = known ? DraftLength.expectedTokens(alpha, setup.Length) : double.NaN;
        double finite = known ? runs.AnswerLengths.Sum() / runs.AnswerLengths.Sum(n => SpeculationHierarchy.renewalRounds(n, alpha, setup.Length)) : double.NaN;
        return [setup.Target, setup.Chain, setup.Length, prompts, target.TokensOut, target.Forwards, target.Drafted, target.Accepted, alpha,
            target.TokensPerForward, formula, finite, SpeculativeSetup.Independence(target), different];
    }

    private static object?[] Times(SpeculativeSetup setup, SpeculationMetrics metrics, SpeculativeRuns runs, int s, double plainForward)
    {
        double perToken = runs.Seconds[s].Median() / metrics.Target.TokensOut;
        double[] ratios = [.. runs.Seconds[0].Zip(runs.Seconds[s], (plain, own) => plain / own).Order()];
        double[] rates = [.. metrics.Stages.Skip(1).Select(stage => stage.AcceptanceRate)];
        double expected = setup.ExpectedSeconds is { } formula && rates.All(double.IsFinite) ? formula(rates) : double.NaN;
        return [setup.Target, setup.Chain, setup.LengthName, metrics.Target.TokensPerForward, metrics.Target.Drafted / (double)metrics.Target.Forwards,
            perToken, ratios.Median(), ratios[0], ratios[^1], plainForward / expected, runs.Different[s]];
    }

    /// <summary>The first test prompts that the target answers at length.</summary>
    private static int[][] Prompts(ModelLadder ladder, int target, ExperimentOptions options, CancellationToken cancel)
    {
        var generator = new QueryGenerator(options.Seed, QuerySplit.Test);
        int[][] candidates = [.. generator.Distinct(8 * options.SpeculativePrompts).Select(query => ladder.Tokenizer.Encode(query.Prompt))];
        Generation[] answers = ladder.Decoder(target).DecodeAll(candidates, cancel: cancel);
        return [.. candidates.Where((_, i) => answers[i].Ended && answers[i].Signals.Length >= LeastTokens).Take(options.SpeculativePrompts)];
    }
}
