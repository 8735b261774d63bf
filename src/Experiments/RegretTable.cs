using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

/// <summary>Mean regret of a learner at round t over instances of a kind and runs, and its standard error (NaN for one run).</summary>
[RunTable("regret_table.csv")]
public sealed record RegretMean(
    string Instance,
    string Learner,
    string Feedback,
    int Runs,
    int T,
    double Regret,
    [Column(Optional = true)] double StandardError
);

/// <summary>
/// The table of regrets on the named simulated instances (theory-proofs.md section 8.1): every learner under every feedback that
/// it can use, on two random instances of each kind. Takes an hour of processor time at T = 100,000, so it is not part of `all`.
/// </summary>
public static class RegretTable
{
    private static readonly LearnerKind[] Partial =
    [
        LearnerKind.ExploreThenCommit,
        LearnerKind.EpsilonGreedy,
        LearnerKind.Greedy,
        LearnerKind.PosteriorSampling,
        LearnerKind.OptStop,
        LearnerKind.NestAlone,
        LearnerKind.Nest,
    ];

    private static readonly LearnerKind[] Full = [LearnerKind.Hedge, LearnerKind.HedgeWithSide, LearnerKind.Greedy];

    /// <summary>Random instances of each kind, and runs on each.</summary>
    private const int InstancesOfAKind = 2;

    /// <summary>Writes regret_table.csv: mean regret over instances and runs at the horizon, and its standard error.</summary>
    public static void Run(ExperimentOptions options, string folder, Action<double> progress, CancellationToken cancel)
    {
        int runs = Math.Max(1, options.Runs / 5);
        (string Name, Func<ulong, IEnvironment> Make, Func<IEnvironment, PolicyClass> PolicyClass, bool AgainstClass)[] kinds =
        [
            ("structured n=2 m=10", seed => new ChainMixture(Instances.Structured(2, 10, seed)), All, false),
            ("structured n=4 m=5", seed => new ChainMixture(Instances.Structured(4, 5, seed)), All, false),
            ("structured n=4 m=10", seed => new ChainMixture(Instances.Structured(4, 10, seed)), All, false),
            (
                "structured n=8 m=5",
                seed => new ChainMixture(Instances.Structured(8, 5, seed)),
                e => PolicyClass.ThresholdsAt(8, 5, [0, 2, 4, 5]),
                false
            ),
            ("unstructured n=4 m=10", seed => new ChainMixture(Instances.Unstructured(4, 10, seed)), All, false),
            // One instance; its optimum is a threshold policy, so regret to the policy class is regret to the optimum.
            ("aliased n=3", _ => Instances.Aliased(3), All, true),
        ];
        (LearnerKind Kind, Feedback Feedback)[] learners =
        [
            (LearnerKind.Ucb1, Feedback.Returned),
            .. Partial.Select(kind => (kind, Feedback.Returned)),
            .. Partial.Select(kind => (kind, Feedback.StagesRun)),
            .. Full.Select(kind => (kind, Feedback.Full)),
        ];
        var jobs = (
            from kind in kinds
            from instance in Enumerable.Range(1, InstancesOfAKind)
            from learner in learners
            from run in Enumerable.Range(0, runs)
            select (kind, instance, learner, run)
        ).ToArray();
        var regrets = new double[jobs.Length];
        int done = 0;
        Parallel.For(
            0,
            jobs.Length,
            new ParallelOptions { CancellationToken = cancel, MaxDegreeOfParallelism = Environment.ProcessorCount },
            i =>
            {
                var (kind, instance, learner, run) = jobs[i];
                IEnvironment environment = kind.Make((ulong)(options.Seed * 100 + instance));
                SimulationResult result = Simulation.Run(
                    environment,
                    kind.PolicyClass(environment),
                    learner.Kind,
                    learner.Feedback,
                    options.Horizon,
                    [options.Horizon],
                    options.Seed * 1000 + run
                );
                regrets[i] = kind.AgainstClass ? result.RegretToClass[0] : result.RegretToOptimal[0];
                progress(Interlocked.Increment(ref done) / (double)jobs.Length);
            }
        );
        var rows = jobs.Select((job, i) => (job, Regret: regrets[i]))
            .GroupBy(pair => (pair.job.kind.Name, pair.job.learner))
            .Select(group =>
            {
                double[] values = [.. group.Select(pair => pair.Regret)];
                double mean = values.Average();
                double error =
                    values.Length < 2
                        ? double.NaN
                        : Math.Sqrt(values.Sum(v => (v - mean) * (v - mean)) / (values.Length - 1.0) / values.Length);
                return new RegretMean(
                    group.Key.Name,
                    group.Key.learner.Kind.ToString(),
                    group.Key.learner.Feedback.ToString(),
                    values.Length,
                    options.Horizon,
                    mean,
                    error
                );
            });
        ResultTable.Write(folder, rows);
    }

    private static PolicyClass All(IEnvironment environment) => PolicyClass.Thresholds(environment.Stages, environment.Bins);
}
