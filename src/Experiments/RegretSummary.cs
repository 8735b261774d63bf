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

/// <summary>One statement of the theory on one instance, what was measured, and whether it holds.</summary>
/// <param name="Relation">"&lt;=" or "&gt;=": how the measured number has to stand to the limit.</param>
[RunTable("regret_claims.csv")]
public sealed record RegretClaim(
    string Claim,
    string Instance,
    [Column(Optional = true)] double Measured,
    string Relation,
    double Limit,
    bool Holds
);

/// <summary>
/// Every learner and instance at the horizon: the sizes, the mean regret to the policy class, the theorem's bound and the
/// certificate (NaN where there is none), the realised regret, and the growth in both halves of the logarithmic range.
/// </summary>
[RunTable("regret_sizes.csv")]
public sealed record RegretSize(
    string Instance,
    int Stages,
    int Bins,
    int Policies,
    string Learner,
    string Feedback,
    int Seeds,
    int T,
    double Regret,
    [Column(Optional = true)] double Bound,
    double Realised,
    [Column(Optional = true)] double Certificate,
    [Column(Optional = true)] double SlopeEarly,
    [Column(Optional = true)] double SlopeLate,
    [Column(Optional = true)] double RegretToOptimum
);

/// <summary>
/// What the theory guarantees of the learners and what was measured: one row per statement and instance in regret_claims.csv,
/// whether it holds or not, and the numbers behind them in regret_sizes.csv.
/// </summary>
internal static class RegretClaims
{
    /// <summary>Writes both files.</summary>
    public static void Write(IReadOnlyList<RegretSummary> summaries, ExperimentOptions options, string folder)
    {
        // Growth is looked at in two halves of the (logarithmic) range, because its slope is to fall.
        double from = Math.Min(1000, options.Horizon / 10),
            middle = Math.Sqrt(from * options.Horizon);
        List<RegretClaim> claims = [];
        List<RegretSize> sizes = [];
        void Claim(string text, string instance, double measured, string relation, double limit) =>
            claims.Add(
                new RegretClaim(text, instance, measured, relation, limit, relation == "<=" ? measured <= limit : measured >= limit)
            );

        foreach (RegretSummary s in summaries)
        {
            double early = s.Slope(from, middle, options.Seed).Estimate,
                late = s.Slope(middle, options.Horizon, options.Seed).Estimate;
            IEnvironment environment = s.Instance.Environment;
            sizes.Add(
                new RegretSize(
                    s.Instance.Name,
                    environment.Stages,
                    environment.Bins,
                    PolicyClass.Size(s.Instance.PolicyClass),
                    s.Learner.Name,
                    s.Learner.FeedbackName,
                    s.Runs.Length,
                    options.Horizon,
                    s.FinalMean,
                    s.Bound(s.Checkpoints.Length - 1),
                    s.Realised(s.Checkpoints.Length - 1),
                    s.Certificate(s.Checkpoints.Length - 1),
                    early,
                    late,
                    s.Runs.Average(run => run.RegretToOptimal[^1])
                )
            );
            if (s.Learner.Name != "nest")
                continue;
            string nest = $"nest ({s.Learner.FeedbackName})";
            Claim($"{nest}: mean regret over its bound at the worst t", s.Instance.Name, s.WorstShareOfBound, "<=", 1);
            Claim(
                $"{nest}: certificates below the realised regret of {s.Runs.Length * s.Checkpoints.Length}",
                s.Instance.Name,
                s.CertificateMisses,
                "<=",
                0
            );
            if (environment.Stages == 4)
                Claim($"{nest}: certificate over realised regret", s.Instance.Name, s.CertificateRatio, "<=", 10);
            double slope = s.Slope(from, options.Horizon, options.Seed).Estimate;
            if (!double.IsNaN(slope))
                Claim($"{nest}: slope of ln regret on ln t", s.Instance.Name, slope, "<=", 1);
            if (!double.IsNaN(early) && !double.IsNaN(late))
                Claim($"{nest}: late slope less early slope", s.Instance.Name, late - early, "<=", 0);
            foreach (RegretSummary other in summaries.Where(o => o.Instance == s.Instance))
            {
                // A learner that beats the policy class has a regret below 0, of which no ratio speaks.
                double ratio = s.FinalMean > 0 ? other.FinalMean / s.FinalMean : double.PositiveInfinity;
                if (other.Learner.Kind == LearnerKind.Ucb1 && environment.Stages >= 4)
                    Claim($"ucb1's regret over that of {nest}", s.Instance.Name, ratio, ">=", 4);
                if (other.Learner.Kind == LearnerKind.PosteriorSampling && s.Instance.Name.Contains("aliased"))
                    Claim($"posterior sampling's regret over that of {nest}", s.Instance.Name, ratio, ">=", 10);
            }
        }
        ResultTable.Write(folder, claims);
        ResultTable.Write(folder, sizes);
    }
}
