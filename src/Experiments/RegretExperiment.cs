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
        Of(outcomes, options, [.. Enumerable.Range(0, outcomes.All.Stages)]);

    /// <summary>The same for a cascade of some of the stages, in increasing order.</summary>
    internal static (string Name, Pool Pool) Of(RecordedOutcomes outcomes, ExperimentOptions options, int[] chosen)
    {
        RecordedCascade data = outcomes.All;
        int[] all = [.. outcomes.CalibrationRows, .. outcomes.TestRows],
            complete = [.. all.Where(q => chosen.All(k => data.IsRecorded(q, k)))];
        if (complete.Length == 0)
            throw new ToolkitException($"regret: expected queries on which every one of the {chosen.Length} stages is recorded, got none");

        double[][] Rows(double[] values) => [.. complete.Select(q => chosen.Select(k => values[q * data.Stages + k]).ToArray())];
        double[][] confidence = Rows(data.Confidence),
            cost = Rows(data.Cost);
        int[][] bin =
        [
            .. Enumerable.Range(0, chosen.Length).Select(k => EqualMassBins([.. confidence.Select(row => row[k])], options.ConfidenceBins)),
        ];
        double whole = cost.Average(row => row.Sum());
        Pool pool = Pool.Create(
            [.. Enumerable.Range(0, complete.Length).Select(q => bin.Select(column => column[q]).ToArray())],
            Rows(data.Quality),
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

/// <summary>
/// Cumulative regret of one learner at round t: mean over seeds with its 95 % band, the a-priori bound of the theorem that
/// covers the learner, and the mean certificate (NaN where there is none).
/// </summary>
[RunTable("figure1a.csv")]
public sealed record RegretPoint(
    string Instance,
    string Learner,
    [Column(Optional = true)] string Feedback,
    [Column(Positive = true)] double T,
    int Seeds,
    double Mean,
    [Column(Optional = true)] double Lower,
    [Column(Optional = true)] double Upper,
    [Column(Optional = true)] double Bound,
    [Column(Optional = true)] double Certificate
)
{
    /// <summary>Whether an instance's queries were drawn by a simulator (as opposed to recorded ones).</summary>
    public static bool IsSimulated(string instance) => instance.StartsWith("simulated", StringComparison.Ordinal);
}

/// <summary>Slope of log regret on log t with its 95 % interval, and regret and bound at the last round.</summary>
[RunTable("figure1a_slopes.csv")]
public sealed record RegretGrowth(
    string Instance,
    string Learner,
    [Column(Optional = true)] string Feedback,
    [Column(Optional = true)] string Theorem,
    [Column(Optional = true)] double Slope,
    [Column(Optional = true)] double SlopeLow,
    [Column(Optional = true)] double SlopeHigh,
    double RegretFinal,
    [Column(Optional = true)] double BoundFinal,
    [Column(Positive = true)] double TFinal
);

/// <summary>
/// Whether a learner's mean regret stays under its bound and its certificate over the realised regret, at every checkpoint;
/// null where it has none. The ratio is of the certificate to the realised regret at the horizon.
/// </summary>
[RunTable("regret_checks.csv")]
public sealed record RegretCheck(
    string Instance,
    string Learner,
    [Column(Optional = true)] string Feedback,
    [Column(Optional = true)] bool? BoundHolds,
    [Column(Optional = true)] bool? CertificateHolds,
    [Column(Optional = true)] double CertificateRatio
);

/// <summary>
/// Figure 1a: cumulative regret of the learners on queries drawn with replacement from the cascade's recorded outcomes,
/// and on two simulated instances. The regret is against the best threshold policy of the policy class, whose value under the
/// distribution that the queries are drawn from is known exactly; a learner that may leave the policy class can fall below zero. Cascades of
/// more than four stages take a coarser policy class, as all their threshold policies would be too many. The
/// bound beside each curve is the theorem for that learner; the certificate is what the learner itself can compute.
/// UCB1's theorem bounds the regret to the best fixed depth, a weaker comparator, so no bound is drawn beside it. Other
/// sizes (2 and 8 stages, and a cascade of the first and the last recorded stage) and an unstructured instance are run
/// beside them, and every statement that the theory makes is checked in regret_claims.csv.
/// </summary>
public static class RegretExperiment
{
    private const int Checkpoints = 25;

    private static readonly RegretLearner Nest = new("nest", LearnerKind.Nest, Feedback.StagesRun, "stages-run", "Theorem 4"),
        PosteriorSampling = new("posterior-sampling", LearnerKind.PosteriorSampling, Feedback.StagesRun, "stages-run", ""),
        Ucb1 = new("ucb1", LearnerKind.Ucb1, Feedback.Returned, "returned", "");

    private static readonly RegretLearner[] Drawn =
    [
        Nest,
        new("nest", LearnerKind.Nest, Feedback.Returned, "returned", "Theorem 4"),
        new("nest-alone", LearnerKind.NestAlone, Feedback.StagesRun, "stages-run", "Theorem 4"),
        new("hedge", LearnerKind.Hedge, Feedback.Full, "full", "Theorem 4"),
        PosteriorSampling,
        new("explore-then-commit", LearnerKind.ExploreThenCommit, Feedback.StagesRun, "stages-run", ""),
        Ucb1,
    ];

    private static readonly RegretLearner[] Compared = [Nest, PosteriorSampling, Ucb1];

    // Few runs suffice where only ratios of an order of magnitude are asked for.
    private const int ComparedRuns = 2;

    /// <summary>Writes figure1a.csv, figure1a_slopes.csv, regret_checks.csv, regret_sizes.csv and regret_claims.csv.</summary>
    public static void Run(
        RecordedOutcomes outcomes,
        ExperimentOptions options,
        string folder,
        Action<double> progress,
        CancellationToken cancel
    )
    {
        if (options.Horizon < 1000)
            throw new ToolkitException($"horizon: expected at least 1000, got {options.Horizon}");
        if (options.Runs < 2)
            throw new ToolkitException($"runs: expected at least 2, got {options.Runs}");
        int[] checkpoints =
        [
            .. Enumerable
                .Range(0, Checkpoints)
                .Select(i => (int)Math.Round(Math.Pow(10, 2 + (Math.Log10(options.Horizon) - 2) * i / (Checkpoints - 1))))
                .Distinct(),
        ];
        var jobs = (
            from instance in InstancesOf(outcomes, options)
            from learner in instance.Learners
            from run in Enumerable.Range(0, instance.Runs)
            select (instance, learner, run)
        ).ToArray();
        var results = new SimulationResult[jobs.Length];
        int done = 0;
        Parallel.For(
            0,
            jobs.Length,
            new ParallelOptions { CancellationToken = cancel, MaxDegreeOfParallelism = Environment.ProcessorCount },
            i =>
            {
                var (instance, learner, run) = jobs[i];
                results[i] = Simulation.Run(
                    instance.Environment,
                    instance.PolicyClass,
                    learner.Kind,
                    learner.Feedback,
                    options.Horizon,
                    checkpoints,
                    options.Seed * 1000 + run
                );
                progress(Interlocked.Increment(ref done) / (double)jobs.Length);
            }
        );
        RegretSummary[] summaries =
        [
            .. jobs.Select((job, i) => (job, Result: results[i]))
                .GroupBy(pair => (pair.job.instance, pair.job.learner))
                .Select(group => new RegretSummary(group.Key.instance, group.Key.learner, [.. group.Select(pair => pair.Result)])),
        ];
        WriteFigure([.. summaries.Where(s => s.Instance.Drawn)], options, folder);
        RegretClaims.Write(summaries, options, folder);
    }

    private static RegretInstance[] InstancesOf(RecordedOutcomes outcomes, ExperimentOptions options)
    {
        int bins = options.ConfidenceBins,
            simulatedRuns = Math.Max(2, options.Runs / 2),
            stages = outcomes.All.Stages;
        ulong seed = (ulong)options.Seed;
        var (recordedName, recorded) = RecordedPool.Of(outcomes, options);
        List<RegretInstance> instances =
        [
            Of(recordedName, recorded, options.Runs, Drawn, true),
            Of("simulated-structured", new ChainMixture(Instances.Structured(4, bins, seed)), simulatedRuns, Drawn, true),
            Of("simulated-aliased", Instances.Aliased(4), simulatedRuns, Drawn, true),
        ];
        if (stages > 2)
        {
            var (_, ends) = RecordedPool.Of(outcomes, options, [0, stages - 1]);
            instances.Add(Of("recorded-first-and-last", ends, ComparedRuns, Compared, false));
        }
        instances.Add(Of("simulated-structured-2", new ChainMixture(Instances.Structured(2, bins, seed)), ComparedRuns, Compared, false));
        instances.Add(Of("simulated-structured-8", new ChainMixture(Instances.Structured(8, 5, seed)), ComparedRuns, Compared, false));
        instances.Add(Of("simulated-unstructured", new ChainMixture(Instances.Unstructured(4, bins, seed)), ComparedRuns, Compared, false));
        return [.. instances];

        static RegretInstance Of(string name, IEnvironment environment, int runs, RegretLearner[] learners, bool drawn) =>
            new(name, environment, RecordedPool.PolicyClassFor(environment.Stages, environment.Bins), runs, learners, drawn);
    }

    private static void WriteFigure(RegretSummary[] summaries, ExperimentOptions options, string folder)
    {
        List<RegretPoint> curves = [];
        List<RegretGrowth> slopes = [];
        List<RegretCheck> checks = [];
        foreach (RegretSummary s in summaries)
        {
            var (instance, learner, feedback) = (s.Instance.Name, s.Learner.Name, s.Learner.FeedbackName);
            for (int i = 0; i < s.Checkpoints.Length; i++)
            {
                double[] regret = s.Regrets(i);
                double mean = s.Mean(i),
                    spread = Math.Sqrt(regret.Sum(r => (r - mean) * (r - mean)) / Math.Max(1, regret.Length - 1));
                double half = StudentQuantile(regret.Length - 1) * spread / Math.Sqrt(regret.Length);
                curves.Add(
                    new RegretPoint(
                        instance,
                        learner,
                        feedback,
                        s.Checkpoints[i],
                        s.Runs.Length,
                        mean,
                        mean - half,
                        mean + half,
                        s.Bound(i),
                        s.Certificate(i)
                    )
                );
            }
            // The first decade is the learner's tuning showing, not its growth.
            Interval slope = s.Slope(Math.Min(1000, options.Horizon / 10), options.Horizon, options.Seed);
            slopes.Add(
                new RegretGrowth(
                    instance,
                    learner,
                    feedback,
                    s.Learner.Theorem,
                    slope.Estimate,
                    slope.Low,
                    slope.High,
                    s.FinalMean,
                    s.Bound(s.Checkpoints.Length - 1),
                    s.Checkpoints[^1]
                )
            );
            if (s.Bounded || s.Certified)
                checks.Add(
                    new RegretCheck(
                        instance,
                        learner,
                        feedback,
                        s.Bounded ? s.WorstShareOfBound <= 1 : null,
                        s.Certified ? s.CertificateMisses == 0 : null,
                        s.Certified ? s.CertificateRatio : double.NaN
                    )
                );
        }
        ResultTable.Write(folder, curves);
        ResultTable.Write(folder, slopes);
        ResultTable.Write(folder, checks);
    }

    // Two-sided 95 % quantile of Student's t.
    private static double StudentQuantile(int degrees) =>
        degrees < 1 ? double.NaN : MathNet.Numerics.Distributions.StudentT.InvCDF(0, 1, degrees, 0.975);
}
