using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Experiments;

/// <summary>
/// Figure 1a: cumulative regret of the learners on queries drawn with replacement from the ladder's recorded outcomes,
/// and on two simulated instances. The regret is against the best threshold policy of the menu, whose value under the
/// law that the queries are drawn from is known exactly; a learner that may leave the menu can fall below zero. Ladders of
/// more than four stages take a coarser menu, as all their threshold policies would be too many. The
/// bound beside each curve is the theorem for that learner; the certificate is what the learner itself can compute.
/// UCB1's theorem bounds the regret to the best fixed depth, a weaker comparator, so no bound is drawn beside it.
/// </summary>
public static class RegretExperiment
{
    private const int Checkpoints = 25;

    // Under full feedback the certificate is the realised regret itself, summed in another order.
    private const double RoundOff = 1e-12;

    // What each learner is called in the files, what it sees, and which theorem speaks of it.
    private static readonly (string Name, LearnerKind Kind, Feedback Feedback, string FeedbackName, string Theorem)[] Learners =
    [
        ("nest", LearnerKind.Nest, Feedback.StagesRun, "stages-run", "Theorem 4"),
        ("nest", LearnerKind.Nest, Feedback.Returned, "returned", "Theorem 4"),
        ("nest-alone", LearnerKind.NestAlone, Feedback.StagesRun, "stages-run", "Theorem 4"),
        ("hedge", LearnerKind.Hedge, Feedback.Full, "full", "Theorem 4"),
        ("posterior-sampling", LearnerKind.PosteriorSampling, Feedback.StagesRun, "stages-run", ""),
        ("explore-then-commit", LearnerKind.ExploreThenCommit, Feedback.StagesRun, "stages-run", ""),
        ("ucb1", LearnerKind.Ucb1, Feedback.Returned, "returned", ""),
    ];

    private sealed record Instance(string Name, IEnvironment Environment, int Runs)
    {
        public Menu Menu { get; } = RecordedPool.MenuFor(Environment.Stages, Environment.Bins);
    }

    /// <summary>Writes figure1a.csv, figure1a_slopes.csv and regret_checks.csv.</summary>
    public static void Run(RecordedOutcomes outcomes, ExperimentOptions options, string folder, Action<double> progress, CancellationToken cancel)
    {
        int simulatedRuns = Math.Max(2, options.Runs / 2);
        if (options.Horizon < 1000) throw new ToolkitException($"horizon: expected at least 1000, got {options.Horizon}");
        if (options.Runs < 2) throw new ToolkitException($"runs: expected at least 2, got {options.Runs}");
        var (recordedName, recorded) = RecordedPool.Of(outcomes, options);
        Instance[] instances =
        [
            new(recordedName, recorded, options.Runs),
            new("simulated-structured", new ChainMixture(Instances.structured(4, options.ConfidenceBins, (ulong)options.Seed)), simulatedRuns),
            new("simulated-aliased", Instances.aliased(4), simulatedRuns),
        ];
        int[] checkpoints = [.. Enumerable.Range(0, Checkpoints)
            .Select(i => (int)Math.Round(Math.Pow(10, 2 + (Math.Log10(options.Horizon) - 2) * i / (Checkpoints - 1)))).Distinct()];
        var jobs = (from instance in instances from learner in Learners from run in Enumerable.Range(0, instance.Runs) select (instance, learner, run)).ToArray();
        var results = new SimulationResult[jobs.Length];
        int done = 0;
        Parallel.For(0, jobs.Length, new ParallelOptions { CancellationToken = cancel, MaxDegreeOfParallelism = Environment.ProcessorCount }, i =>
        {
            var (instance, learner, run) = jobs[i];
            results[i] = Simulation.run(instance.Environment, instance.Menu, learner.Kind, learner.Feedback, options.Horizon, checkpoints, options.Seed * 1000 + run);
            progress(Interlocked.Increment(ref done) / (double)jobs.Length);
        });
        List<object?[]> curves = [], slopes = [], checks = [];
        foreach (var group in jobs.Select((job, i) => (job, Result: results[i])).GroupBy(pair => (pair.job.instance.Name, pair.job.learner)))
        {
            SimulationResult[] runs = [.. group.Select(pair => pair.Result)];
            Summarise(group.Key.Name, group.Key.learner, runs, checkpoints, options, curves, slopes, checks);
        }
        CsvFile.Write(Path.Combine(folder, "figure1a.csv"), "instance,learner,feedback,t,seeds,mean,lower,upper,bound,certificate", curves);
        CsvFile.Write(Path.Combine(folder, "figure1a_slopes.csv"),
            "instance,learner,feedback,theorem,slope,slope_low,slope_high,regret_final,bound_final,t_final", slopes);
        CsvFile.Write(Path.Combine(folder, "regret_checks.csv"),
            "instance,learner,feedback,bound_holds,certificate_holds,certificate_ratio", checks);
    }

    private static void Summarise(string instance, (string Name, LearnerKind Kind, Feedback Feedback, string FeedbackName, string Theorem) learner,
        SimulationResult[] runs, int[] checkpoints, ExperimentOptions options, List<object?[]> curves, List<object?[]> slopes, List<object?[]> checks)
    {
        bool boundHolds = true, certificateHolds = true;
        // UCB1's theorem speaks of another comparator than the curve does.
        double BoundAt(int i) => learner.Kind == LearnerKind.Ucb1 ? double.NaN : runs[0].Bound[i];
        double ratio = double.NaN;
        for (int i = 0; i < checkpoints.Length; i++)
        {
            double[] regret = [.. runs.Select(run => run.RegretToMenu[i])];
            double mean = regret.Average(), spread = Math.Sqrt(regret.Sum(r => (r - mean) * (r - mean)) / Math.Max(1, regret.Length - 1));
            double half = StudentQuantile(regret.Length - 1) * spread / Math.Sqrt(regret.Length);
            double bound = BoundAt(i), certificate = runs.Average(run => run.CertificateA[i]);
            curves.Add([instance, learner.Name, learner.FeedbackName, checkpoints[i], runs.Length, mean, mean - half, mean + half, bound, certificate]);
            if (mean > bound) boundHolds = false;
            foreach (SimulationResult run in runs)
                if (run.CertificateA[i] < run.RealisedRegret[i] - RoundOff * checkpoints[i]) certificateHolds = false;
            ratio = certificate / runs.Average(run => run.RealisedRegret[i]);
        }
        // The first decade is the learner's tuning showing, not its growth.
        int[] from = [.. Enumerable.Range(0, checkpoints.Length).Where(i => checkpoints[i] >= Math.Min(1000, options.Horizon / 10))];
        Interval slope = RegretSlope.logLog([.. from.Select(i => checkpoints[i])],
            [.. runs.Select(run => from.Select(i => run.RegretToMenu[i]).ToArray())], 0.95, 1000, (ulong)options.Seed);
        slopes.Add([instance, learner.Name, learner.FeedbackName, learner.Theorem, slope.Estimate, slope.Low, slope.High,
            runs.Average(run => run.RegretToMenu[^1]), BoundAt(checkpoints.Length - 1), checkpoints[^1]]);
        bool bounded = !double.IsNaN(BoundAt(checkpoints.Length - 1)), certified = !double.IsNaN(runs[0].CertificateA[^1]);
        if (bounded || certified)
            checks.Add([instance, learner.Name, learner.FeedbackName, bounded ? boundHolds ? 1 : 0 : null, certified ? certificateHolds ? 1 : 0 : null, certified ? ratio : null]);
    }

    // Two-sided 95 % quantile of Student's t.
    private static double StudentQuantile(int degrees) =>
        degrees < 1 ? double.NaN : MathNet.Numerics.Distributions.StudentT.InvCDF(0, 1, degrees, 0.975);
}
