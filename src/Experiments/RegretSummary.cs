using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

/// <summary>A learner of the regret experiment: what it is called in the files, what it sees, which theorem speaks of it.</summary>
internal sealed record RegretLearner(string Name, LearnerKind Kind, Feedback Feedback, string FeedbackName, string Theorem);

/// <summary>An instance of the regret experiment, the policy class that regret is against, and who learns on it how often.</summary>
/// <param name="Drawn">Whether figure 1a shows it; the others only stand in regret_sizes.csv and regret_claims.csv.</param>
internal sealed record RegretInstance(
    string Name,
    IEnvironment Environment,
    PolicyClass PolicyClass,
    int Runs,
    RegretLearner[] Learners,
    bool Drawn
);

/// <summary>All runs of one learner on one instance, checkpoint by checkpoint.</summary>
internal sealed record RegretSummary(RegretInstance Instance, RegretLearner Learner, SimulationResult[] Runs)
{
    // Under full feedback the certificate is the realised regret itself, summed in another order.
    private const double RoundOff = 1e-12;

    public int[] Checkpoints => Runs[0].Checkpoints;

    /// <summary>Regret to the policy class's best policy of every run, at a checkpoint.</summary>
    public double[] Regrets(int i) => [.. Runs.Select(run => run.RegretToClass[i])];

    public double Mean(int i) => Regrets(i).Average();

    public double Certificate(int i) => Runs.Average(run => run.CertificateA[i]);

    public double Realised(int i) => Runs.Average(run => run.RealisedRegret[i]);

    public double FinalMean => Mean(Checkpoints.Length - 1);

    /// <summary>The learner's own theorem; UCB1's speaks of another comparator than the curve does.</summary>
    public double Bound(int i) => Learner.Kind == LearnerKind.Ucb1 ? double.NaN : Runs[0].Bound[i];

    public bool Bounded => !double.IsNaN(Bound(Checkpoints.Length - 1));
    public bool Certified => !double.IsNaN(Runs[0].CertificateA[^1]);

    /// <summary>The largest mean regret as a share of the bound, over checkpoints.</summary>
    public double WorstShareOfBound => Enumerable.Range(0, Checkpoints.Length).Max(i => Mean(i) / Bound(i));

    /// <summary>How many of all runs and checkpoints have a certificate below the realised regret.</summary>
    public int CertificateMisses =>
        Runs.Sum(run =>
            Enumerable.Range(0, Checkpoints.Length).Count(i => run.CertificateA[i] < run.RealisedRegret[i] - RoundOff * Checkpoints[i])
        );

    /// <summary>Mean certificate over mean realised regret, at the horizon.</summary>
    public double CertificateRatio => Certificate(Checkpoints.Length - 1) / Realised(Checkpoints.Length - 1);

    /// <summary>
    /// Slope of ln(mean regret) on ln t over the checkpoints between two numbers of queries, with a bootstrap interval over runs.
    /// NaN where fewer than two checkpoints lie there.
    /// </summary>
    public Interval Slope(double from, double to, int seed)
    {
        int[] inside = [.. Enumerable.Range(0, Checkpoints.Length).Where(i => Checkpoints[i] >= from && Checkpoints[i] <= to)];
        return inside.Length < 2
            ? new Interval(double.NaN, double.NaN, double.NaN, 0.95)
            : RegretSlope.LogLog(
                [.. inside.Select(i => Checkpoints[i])],
                [.. Runs.Select(run => inside.Select(i => run.RegretToClass[i]).ToArray())],
                0.95,
                1000,
                (ulong)seed
            );
    }
}
