using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>
/// The recorded queries of both parts as the pool that the regret experiment draws from: confidences cut into bins of
/// equal mass per stage (edges over the whole pool), cost priced so that running every stage costs a given quality.
/// </summary>
internal static class RecordedPool
{
    /// <summary>The most policies that a policy class may have: every query of every run updates all of them.</summary>
    internal const int LargestPolicyClass = 4096;

    /// <summary>
    /// The pool and its name in the result files. Regret is to policies that may stop anywhere, so a query needs every
    /// stage: those that lack one are left out, and the name then says how many remain, as they are another population.
    /// </summary>
    /// <exception cref="ToolkitException">No query has every stage.</exception>
    internal static (string Name, Pool Pool) Of(RecordedOutcomes outcomes, ExperimentOptions options) =>
        Of(outcomes, options, [.. Enumerable.Range(0, outcomes.Calibration.Stages)]);

    /// <summary>The same for a cascade of some of the stages, in increasing order.</summary>
    internal static (string Name, Pool Pool) Of(RecordedOutcomes outcomes, ExperimentOptions options, int[] chosen)
    {
        (RecordedCascade Part, int Query)[] all =
        [
            .. new[] { outcomes.Calibration, outcomes.Test }.SelectMany(part => Enumerable.Range(0, part.Queries).Select(q => (part, q))),
        ];
        int stages = outcomes.Calibration.Stages;
        var complete = all.Where(row => chosen.All(k => row.Part.IsRecorded(row.Query, k))).ToArray();
        if (complete.Length == 0)
            throw new ToolkitException($"regret: expected queries on which every one of the {chosen.Length} stages is recorded, got none");

        double[][] Rows(Func<RecordedCascade, double[]> values) =>
            [.. complete.Select(row => chosen.Select(k => values(row.Part)[row.Query * stages + k]).ToArray())];
        double[][] confidence = Rows(part => part.Confidence),
            cost = Rows(part => part.Cost);
        int[][] bin =
        [
            .. Enumerable.Range(0, chosen.Length).Select(k => EqualMassBins([.. confidence.Select(row => row[k])], options.ConfidenceBins)),
        ];
        double whole = cost.Average(row => row.Sum());
        Pool pool = Pool.Create(
            [.. Enumerable.Range(0, complete.Length).Select(q => bin.Select(column => column[q]).ToArray())],
            Rows(part => part.Quality),
            cost,
            whole > 0 ? options.RegretPrice / whole : 0,
            options.ConfidenceBins
        );
        return (complete.Length == all.Length ? "recorded" : $"{complete.Length} of {all.Length} queries with every stage", pool);
    }

    /// <summary>
    /// The policy class of an instance: all threshold policies, or on cascades so long that these are too many, those whose
    /// thresholds lie on an even grid of as many levels as fit.
    /// </summary>
    /// <exception cref="ToolkitException">More than 13 stages: not even stop-or-go policies fit.</exception>
    internal static PolicyClass PolicyClassFor(int stages, int bins)
    {
        int levels = bins + 1;
        while (levels > 1 && Math.Pow(levels, stages - 1) > LargestPolicyClass)
            levels--;
        if (levels == bins + 1)
            return PolicyClass.Thresholds(stages, bins);
        if (levels < 2)
            throw new ToolkitException($"regret: expected at most 13 stages, got {stages}");
        return PolicyClass.ThresholdsAt(stages, bins, [.. Enumerable.Range(0, levels).Select(i => i * bins / (levels - 1))]);
    }

    // A missing confidence counts as the lowest.
    private static int[] EqualMassBins(double[] values, int bins)
    {
        double[] sorted = [.. values.Where(v => !double.IsNaN(v)).Order()];
        if (sorted.Length == 0)
            return new int[values.Length];
        double[] edges = [.. Enumerable.Range(1, bins - 1).Select(b => sorted[(int)((long)b * sorted.Length / bins)])];
        return [.. values.Select(v => double.IsNaN(v) ? 0 : edges.Count(edge => v >= edge))];
    }
}
