using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

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
            stages = outcomes.Calibration.Stages;
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
        List<object?[]> curves = [],
            slopes = [],
            checks = [];
        foreach (RegretSummary s in summaries)
        {
            object?[] who = [s.Instance.Name, s.Learner.Name, s.Learner.FeedbackName];
            for (int i = 0; i < s.Checkpoints.Length; i++)
            {
                double[] regret = s.Regrets(i);
                double mean = s.Mean(i),
                    spread = Math.Sqrt(regret.Sum(r => (r - mean) * (r - mean)) / Math.Max(1, regret.Length - 1));
                double half = StudentQuantile(regret.Length - 1) * spread / Math.Sqrt(regret.Length);
                curves.Add([.. who, s.Checkpoints[i], s.Runs.Length, mean, mean - half, mean + half, s.Bound(i), s.Certificate(i)]);
            }
            // The first decade is the learner's tuning showing, not its growth.
            Interval slope = s.Slope(Math.Min(1000, options.Horizon / 10), options.Horizon, options.Seed);
            slopes.Add([
                .. who,
                s.Learner.Theorem,
                slope.Estimate,
                slope.Low,
                slope.High,
                s.FinalMean,
                s.Bound(s.Checkpoints.Length - 1),
                s.Checkpoints[^1],
            ]);
            if (s.Bounded || s.Certified)
                checks.Add([
                    .. who,
                    s.Bounded
                        ? s.WorstShareOfBound <= 1
                            ? 1
                            : 0
                        : null,
                    s.Certified
                        ? s.CertificateMisses == 0
                            ? 1
                            : 0
                        : null,
                    s.Certified ? s.CertificateRatio : null,
                ]);
        }
        CsvFile.Write(Path.Combine(folder, "figure1a.csv"), "instance,learner,feedback,t,seeds,mean,lower,upper,bound,certificate", curves);
        CsvFile.Write(
            Path.Combine(folder, "figure1a_slopes.csv"),
            "instance,learner,feedback,theorem,slope,slope_low,slope_high,regret_final,bound_final,t_final",
            slopes
        );
        CsvFile.Write(
            Path.Combine(folder, "regret_checks.csv"),
            "instance,learner,feedback,bound_holds,certificate_holds,certificate_ratio",
            checks
        );
    }

    // Two-sided 95 % quantile of Student's t.
    private static double StudentQuantile(int degrees) =>
        degrees < 1 ? double.NaN : MathNet.Numerics.Distributions.StudentT.InvCDF(0, 1, degrees, 0.975);
}
