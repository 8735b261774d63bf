using OptimalStopping.Theory;

namespace OptimalStopping.Experiments;

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
        List<object?[]> claims = [],
            sizes = [];
        void Claim(string text, string instance, double measured, string relation, double limit) =>
            claims.Add([
                text,
                instance,
                measured,
                relation,
                limit,
                relation == "<="
                    ? measured <= limit
                        ? 1
                        : 0
                    : measured >= limit
                        ? 1
                        : 0,
            ]);

        foreach (RegretSummary s in summaries)
        {
            double early = s.Slope(from, middle, options.Seed).Estimate,
                late = s.Slope(middle, options.Horizon, options.Seed).Estimate;
            IEnvironment environment = s.Instance.Environment;
            sizes.Add([
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
                s.Runs.Average(run => run.RegretToOptimal[^1]),
            ]);
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
        CsvFile.Write(Path.Combine(folder, "regret_claims.csv"), "claim,instance,measured,relation,limit,holds", claims);
        CsvFile.Write(
            Path.Combine(folder, "regret_sizes.csv"),
            "instance,stages,bins,policies,learner,feedback,seeds,t,regret,bound,realised,certificate,slope_early,slope_late,regret_to_optimum",
            sizes
        );
    }
}
