using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>
/// Chooses with which confidences a policy's answers are given and when it says "not sure", so that the answers given lack at most so much
/// quality (Proposition "selective risk"). A level is a probability of being right, by isotonic regression of quality on each
/// stage's confidence on the fitted part; it is a threshold for each stage. The levels are tested on the other part from the one that the
/// fitted part shows most clearly to the one that answers most.
/// </summary>
internal static class AbstentionCalibration
{
    private const int MostLevels = 50;

    /// <summary>Null where no level could be shown to keep the risk.</summary>
    /// <param name="view">Recorded outcomes with the confidences that the policy sees.</param>
    /// <param name="fit">Queries that the levels are made from.</param>
    /// <param name="test">Queries that they are tested on; the policy and the levels do not depend on their qualities.</param>
    /// <param name="maxRisk">Most quality that the answers given may lack in expectation.</param>
    /// <param name="delta">Most probability that they lack more.</param>
    public static Abstention? Calibrate(IStoppingPolicy policy, RecordedCascade view, int[] fit, int[] test, double maxRisk, double delta)
    {
        var fitted = Answers.Of(policy, view, fit);
        // A test that counts every lost part of an answer's quality as a whole answer is the sharper one where there are no parts.
        bool binary = fitted.Loss.All(loss => loss is 0 or 1);
        double[][] levels = Levels(fitted, view.Stages);
        levels = levels[SelectiveRisk.Clearest(fitted.Loss, Given(fitted), maxRisk, delta, binary)..];
        var tested = Answers.Of(policy, view, test);
        bool[][] given = Given(tested);
        int passed = SelectiveRisk.Passed(tested.Loss, given, maxRisk, delta, binary);
        if (passed == 0)
            return null;
        double[] answered = [.. tested.Loss.Where((_, i) => given[passed - 1][i])];
        return new Abstention(maxRisk, levels[passed - 1], answered.Length / (double)test.Length, answered.Average());

        bool[][] Given(Answers answers) => Array.ConvertAll(levels, thresholds =>
            {
                var level = new Abstention(maxRisk, thresholds, 0, 0);
                return answers.Stage.Select((stage, i) => level.Gives(stage, answers.Confidence[i])).ToArray();
            });
    }

    // What a policy answers on some queries: by which stage, how sure that one is, and how much quality is lacking.
    private sealed record Answers(int[] Stage, double[] Confidence, double[] Loss)
    {
        public static Answers Of(IStoppingPolicy policy, RecordedCascade view, int[] rows)
        {
            ReplayOutcome outcome = Replay.Run(policy, view, rows);
            return new(
                outcome.Stage,
                [.. rows.Select((q, i) => view.Confidence[q * view.Stages + outcome.Stage[i]])],
                Array.ConvertAll(outcome.Quality, quality => 1 - quality)
            );
        }
    }

    // Thresholds by level, from the most careful level to the one that gives every answer.
    private static double[][] Levels(Answers answers, int stages)
    {
        var curves = new (double[] Confidence, double[] Quality)[stages];
        var silent = new double[stages]; // mean quality of a stage that tells no confidence
        for (int k = 0; k < stages; k++)
        {
            int[] own = [.. Enumerable.Range(0, answers.Loss.Length).Where(i => answers.Stage[i] == k)],
                sure = [.. own.Where(i => !double.IsNaN(answers.Confidence[i]))];
            silent[k] = sure.Length > 0 || own.Length == 0 ? double.NaN : own.Average(i => 1 - answers.Loss[i]);
            if (sure.Length == 0)
            {
                curves[k] = ([], []);
                continue;
            }
            IsotonicCalibrator isotonic = Isotonic.Fit(
                [.. sure.Select(i => answers.Confidence[i])],
                [.. sure.Select(i => 1 - answers.Loss[i])]
            );
            double[] confidences = [.. sure.Select(i => answers.Confidence[i]).Distinct().Order()];
            curves[k] = (confidences, Array.ConvertAll(confidences, isotonic.Apply));
        }
        double[] probabilities =
        [
            .. curves.SelectMany(curve => curve.Quality).Concat(silent.Where(x => !double.IsNaN(x))).Distinct().OrderDescending(),
        ];
        int count = Math.Min(MostLevels, probabilities.Length);
        var levels = new List<double[]>();
        for (int l = 0; l < count; l++)
        {
            double level = probabilities[(int)((long)l * probabilities.Length / count)];
            double[] thresholds = [.. Enumerable.Range(0, stages).Select(k => Threshold(curves[k], silent[k], level))];
            if (levels.Count == 0 || !levels[^1].AsSpan().SequenceEqual(thresholds))
                levels.Add(thresholds);
        }
        levels.Add(new double[stages]);
        return [.. levels];
    }

    // A stage that never answered on the fitted part has shown nothing, and its answers are withheld.
    private static double Threshold((double[] Confidence, double[] Quality) curve, double silent, double level)
    {
        if (silent >= level)
            return 0;
        int at = Array.FindIndex(curve.Quality, quality => quality >= level);
        return at < 0 ? double.PositiveInfinity : curve.Confidence[at];
    }
}
