using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>
/// How often a calibrated policy keeps its guarantee. The queries of a trace file are taken for the whole world: samples are
/// drawn from it with replacement, a policy is calibrated on each, and what the policy really loses is its mean loss over
/// the whole file, which is then known exactly. (A test on a held-out part would add that part's own noise.)
/// </summary>
/// <param name="Resamples">Samples drawn.</param>
/// <param name="Sample">Queries in each; half to fit on, half to test on, as the options say.</param>
/// <param name="Broken">Policies that lose more than they guarantee.</param>
/// <param name="WithoutPolicy">Samples in which nothing cheaper than the reference model could be shown to keep the guarantee.</param>
/// <param name="MeanSaved">Mean share of the reference model's cost saved, over all samples.</param>
/// <param name="MeanLoss">Mean quality lost.</param>
public sealed record GuaranteeCheck(int Resamples, int Sample, int Broken, int WithoutPolicy, double MeanSaved, double MeanLoss)
{
    /// <summary>Share of the policies that broke their guarantee.</summary>
    public double BrokenShare => Broken / (double)Resamples;

    /// <summary>What the share may be: delta, and three standard errors of it over so many samples.</summary>
    public double Limit(double delta) => delta + 3 * Math.Sqrt(delta * (1 - delta) / Resamples);

    /// <summary>Runs the check. Deterministic in the options' seed; the confidences are those that the traces record.</summary>
    /// <exception cref="ToolkitException">A number out of range.</exception>
    public static GuaranteeCheck Run(
        TraceTable table,
        CalibrationOptions options,
        int resamples,
        int sample,
        Action<double>? progress = null,
        CancellationToken cancel = default
    )
    {
        if (resamples < 1)
            throw new ToolkitException($"resamples: expected at least 1, got {resamples}");
        if (sample < 4)
            throw new ToolkitException($"sample: expected at least 4 queries, got {sample}");
        RecordedCascade world = table.Cascade;
        int[] all = RecordedOutcomes.AllRows(world);
        var results = new (double Loss, double Saved, bool None)[resamples];
        int done = 0;
        Parallel.For(
            0,
            resamples,
            new ParallelOptions { CancellationToken = cancel, MaxDegreeOfParallelism = Environment.ProcessorCount },
            i =>
            {
                int seed = unchecked(options.Seed * 1_000_003 + i);
                var random = new Random(seed);
                int[] rows = [.. Enumerable.Range(0, sample).Select(_ => random.Next(world.Queries))];
                PolicyFile policy = PolicyCalibration.Run(
                    table with
                    {
                        Cascade = RecordedOutcomes.Select(world, rows),
                    },
                    options with
                    {
                        Seed = seed,
                    }
                );
                int reference = policy.Models.ToList().IndexOf(policy.Guarantee.Reference);
                int[] comparable = [.. all.Where(q => world.IsRecorded(q, reference))];
                ReplayOutcome own = Replay.Run(policy.Policy, world, comparable);
                ReplayOutcome always = Replay.Run(ThresholdCascade.Fixed(world.Stages, reference), world, comparable);
                double fullCost = always.Cost.Average();
                results[i] = (
                    always.Quality.Average() - own.Quality.Average(),
                    fullCost > 0 ? 1 - own.Cost.Average() / fullCost : 0,
                    policy.Guarantee.Passed == 0
                );
                progress?.Invoke(Interlocked.Increment(ref done) / (double)resamples);
            }
        );
        return new GuaranteeCheck(
            resamples,
            sample,
            results.Count(r => r.Loss > options.MaxLoss + 1e-12),
            results.Count(r => r.None),
            results.Average(r => r.Saved),
            results.Average(r => r.Loss)
        );
    }
}
