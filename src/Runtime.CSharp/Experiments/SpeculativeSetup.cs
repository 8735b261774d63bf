using MathNet.Numerics.Distributions;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Ladder;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Experiments;

/// <summary>One way to decode with a target: which models draft, and how long.</summary>
/// <param name="Chain">Names from the first drafter to the target, joined by <c>&gt;</c>; <c>lookup</c> for prompt lookup.</param>
/// <param name="Length">The fixed draft length of every step; 0 for adaptive, -1 for plain decoding.</param>
/// <param name="ExpectedSeconds">Seconds per token of the target by the theory's formulas, from the acceptance rates of
/// each step (first drafter first); null where none applies.</param>
internal sealed record SpeculativeSetup(string Target, string Chain, int Length, SpeculativeDecoder Decoder, Func<double[], double>? ExpectedSeconds)
{
    public const int Longest = 12;

    /// <summary>Fixed lengths that are searched.</summary>
    public static IReadOnlyList<int> Lengths { get; } = [1, 2, 3, 4, 6, 8, 12];

    public string LengthName => Length switch { 0 => "adaptive", -1 => "none", _ => Length.ToString(System.Globalization.CultureInfo.InvariantCulture) };

    /// <summary>Every chain for one target: each smaller stage as drafter, prompt lookup, and the chain of all stages. Each
    /// has plain decoding first, then the fixed lengths, then the adaptive one.</summary>
    /// <param name="costs">What a drafter and its verifier, two stages, cost in turn; for drafts of up to <see cref="Longest"/>.</param>
    public static List<SpeculativeSetup[]> Of(ModelLadder ladder, int target, Func<int, int, ForwardCosts> costs)
    {
        string[] names = [.. ladder.File.Stages.Select(stage => stage.Name)];
        var setups = new List<SpeculativeSetup>();
        void Add(int[] stages, int length, bool lookup, Func<double[], double>? expected)
        {
            var controllers = new List<DraftController>();
            if (lookup) controllers.Add(length > 0 ? DraftController.Fixed(length) : DraftController.Adaptive(new ForwardCosts(0, 0, costs(0, stages[0]).Verify)));
            // A drafted token costs a forward of the stage below: an upper bound where that one speculates itself.
            foreach ((int below, int stage) in stages.Zip(stages.Skip(1)))
                controllers.Add(length > 0 ? DraftController.Fixed(length) : DraftController.Adaptive(costs(below, stage)));
            string chain = (lookup ? "lookup>" : "") + string.Join('>', stages.Select(k => names[k]));
            setups.Add(new SpeculativeSetup(names[target], chain, stages.Length == 1 && !lookup ? -1 : length,
                new SpeculativeDecoder([.. stages.Select(k => ladder.Models[k])], ladder.Tokenizer.StopTokens, ladder.File.MaxTokens, controllers,
                    lookup ? () => new LookupDraft() : null), expected));
        }
        Add([target], 1, lookup: false, null);
        for (int drafter = 0; drafter < target; drafter++)
        {
            int d = drafter;
            foreach (int g in Lengths)
                Add([d, target], g, lookup: false, rates => (costs(d, target).Verify[g] + costs(d, target).Begin + g * costs(d, target).Draft) / DraftLength.expectedTokens(rates[0], g));
            Add([d, target], 0, lookup: false, null);
        }
        foreach (int g in Lengths)
            Add([target], g, lookup: true, null); // how often a place is found is not in the formula
        Add([target], 0, lookup: true, null);
        if (target >= 2)
        {
            int[] all = [.. Enumerable.Range(0, target + 1)];
            foreach (int g in Lengths.Where(g => g <= 4))
                Add(all, g, lookup: false, rates => SpeculationHierarchy.exactCost(
                    [.. all.Select(k => k == 0 ? costs(0, 1).Draft : costs(k - 1, k).Verify[g])], rates, [.. rates.Select(_ => g)]));
            Add(all, 0, lookup: false, null);
        }
        SpeculativeSetup plain = setups[0];
        return [.. setups.Skip(1).GroupBy(setup => setup.Chain).Select(chain => (SpeculativeSetup[])[plain, .. chain])];
    }

    /// <summary>
    /// Pearson's p-value that a token's chance to be accepted, if all before it are, is the same at every position of a
    /// draft: the independence that the formulas assume. NaN where fewer than two positions were looked at often enough.
    /// </summary>
    public static double Independence(StageSpeculation stage)
    {
        double statistic = 0;
        int positions = 0;
        double rate = stage.AcceptanceRate;
        for (int j = 0; j < stage.MaxDraft; j++)
        {
            double expected = stage.Tested[j] * Math.Min(rate, 1 - rate);
            if (!(expected >= 5)) continue;
            positions++;
            double difference = stage.AcceptedAt[j] - stage.Tested[j] * rate;
            statistic += difference * difference / (stage.Tested[j] * rate * (1 - rate));
        }
        return positions < 2 ? double.NaN : 1 - ChiSquared.CDF(positions - 1, statistic);
    }
}
