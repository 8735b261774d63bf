using MathNet.Numerics.Distributions;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

/// <summary>One way to decode with a target: which models draft, and how long.</summary>
/// <param name="Chain">Names from the first drafter to the target, joined by <c>&gt;</c>; <c>lookup</c> for prompt lookup.</param>
/// <param name="Length">The fixed draft length of every step; 0 for adaptive, -1 for plain decoding.</param>
/// <param name="NewDecoder">Builds a decoder. Those of one way share what they learn, unless they are to know nothing.</param>
/// <param name="ExpectedSeconds">Seconds per token of the target by the theory's formulas, from the acceptance rates of
/// each step (first drafter first); null where none applies.</param>
internal sealed record SpeculativeSetup(
    string Target,
    string Chain,
    int Length,
    Func<SpeculativeDecoder> NewDecoder,
    Func<double[], double>? ExpectedSeconds
)
{
    public const int Longest = 12;

    /// <summary>Fixed lengths that are searched.</summary>
    public static IReadOnlyList<int> Lengths { get; } = [1, 2, 3, 4, 6, 8, 12];

    /// <summary>The fixed length that is timed twice, by decoders that do not differ: how far apart equal ways come out.</summary>
    public const int Twin = 3;

    public string LengthName =>
        Length switch
        {
            0 => "adaptive",
            -1 => "none",
            _ => Length.ToString(System.Globalization.CultureInfo.InvariantCulture),
        };

    /// <summary>Every chain for one target: each smaller stage as drafter, prompt lookup, and the chain of all stages. Each
    /// has plain decoding first, then the fixed lengths, the adaptive one, an adaptive one whose decoders know nothing yet, and length
    /// <see cref="Twin"/> once more.</summary>
    /// <param name="costs">What a drafter and its verifier, two stages, cost in turn; for drafts of up to <see cref="Longest"/>.</param>
    public static List<SpeculativeSetup[]> Of(Cascade cascade, int target, Func<int, int, ForwardCosts> costs)
    {
        string[] names = [.. cascade.File.Stages.Select(stage => stage.Name)];
        var chains = new List<SpeculativeSetup[]>();
        SpeculativeSetup plain = Way([target], -1, lookup: false, null);
        for (int drafter = 0; drafter < target; drafter++)
        {
            int d = drafter;
            Add([d, target], lookup: false, Lengths, (g, rates) =>
                (costs(d, target).Verify[g] + costs(d, target).Begin + g * costs(d, target).Draft) / DraftLength.ExpectedTokens(rates[0], g)
            );
        }
        Add([target], lookup: true, Lengths, null); // how often a place is found is not in the formula
        if (target >= 2)
        {
            int[] all = [.. Enumerable.Range(0, target + 1)];
            Add(all, lookup: false, Lengths.Where(g => g <= 4), (g, rates) =>
                SpeculationHierarchy.ExactCost(
                    [.. all.Select(k => k == 0 ? costs(0, 1).Draft : costs(k - 1, k).Verify[g])],
                    rates,
                    [.. rates.Select(_ => g)]
                )
            );
        }
        return chains;

        void Add(int[] stages, bool lookup, IEnumerable<int> lengths, Func<int, double[], double>? expected) =>
            chains.Add([
                plain,
                .. lengths.Select(g => Way(stages, g, lookup, expected is null ? null : rates => expected(g, rates))),
                Way(stages, 0, lookup, null),
                Way(stages, 0, lookup, null, learns: false),
                Way(stages, Twin, lookup, null),
            ]);

        SpeculativeSetup Way(int[] stages, int length, bool lookup, Func<double[], double>? expected, bool learns = true)
        {
            // A drafted token costs a forward of the stage below: an upper bound where that one speculates itself.
            // Inside a chain no model ever runs alone.
            ForwardCosts Step(int below, int stage) =>
                stage == target ? costs(below, stage) : costs(below, stage) with { Alone = costs(below, stage).Verify[0] };
            IEnumerable<ForwardCosts> Steps() => lookup ? [costs(0, stages[0]).WithoutDrafter] : stages.Zip(stages.Skip(1), Step);
            DraftController[] Controllers() =>
                [.. Steps().Select(step => length > 0 ? DraftController.Fixed(length) : DraftController.Adaptive(step))];
            DraftController[]? learning = learns ? Controllers() : null;
            string chain = (lookup ? "lookup>" : "") + string.Join('>', stages.Select(k => names[k]));
            ITokenModel[] models = [.. stages.Select(k => cascade.Models[k])];
            return new SpeculativeSetup(
                names[target],
                chain,
                length,
                () =>
                    new SpeculativeDecoder(
                        models,
                        cascade.Tokenizer.StopTokens,
                        cascade.File.MaxTokens,
                        learning ?? Controllers(),
                        lookup ? () => new LookupDraft() : null
                    ),
                expected
            );
        }
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
            if (!(expected >= 5))
                continue;
            positions++;
            double difference = stage.AcceptedAt[j] - stage.Tested[j] * rate;
            statistic += difference * difference / (stage.Tested[j] * rate * (1 - rate));
        }
        return positions < 2 ? double.NaN : 1 - ChiSquared.CDF(positions - 1, statistic);
    }
}
