using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>One price of cost, with and without looks: means over the test questions.</summary>
/// <param name="Setting">"measured": prices of this machine; "published": the first and the last model at a GPU's prices.</param>
/// <param name="CostWithout">Of the policy that may stop or ask; in units in which an answer of the largest model costs 10.</param>
/// <param name="CostWith">Of the policy that may look as well.</param>
/// <param name="Gain">Quality less lambda times cost, with looks over without: above 0 where looks pay.</param>
/// <param name="Looks">Looks per question.</param>
[RunTable("looks.csv")]
public sealed record LookPoint(
    string Setting,
    double Lambda,
    [Column(Unit = true)] double QualityWithout,
    double CostWithout,
    [Column(Unit = true)] double QualityWith,
    double CostWith,
    double Gain,
    double GainLow,
    double GainHigh,
    double Looks
);

/// <summary>
/// Whether it pays that a larger model only reads the answer that is there: a look. It costs a prompt's forward and no tokens
/// written, and its log-probabilities of the answer say how sure the larger model is of it. The planner may choose, beside
/// stopping and asking, to look (Pandora's box with partial inspection: <see cref="RecordedCascade.WithJudges"/>).
/// </summary>
public static class LookExperiment
{
    private const int Prices = 24;
    private const double LeastPrice = 1e-3;

    /// <summary>
    /// Tokens per second of Qwen3-0.6B and Qwen3-8B (bfloat16, SGLang, one NVIDIA H20, batch of one), as the Qwen3 documentation
    /// publishes them ("Speed Benchmark"): of writing 2,048 tokens behind 1 token, and of reading 6,144 and writing 2,048.
    /// </summary>
    private static readonly (double Writing, double Both)[] Published = [(414.17, 1426.46), (81.73, 296.25)];

    /// <summary>Writes looks.csv and look_quality.csv.</summary>
    /// <exception cref="ToolkitException">A stage does not run in this process.</exception>
    public static void Run(
        CascadeFile file,
        ExperimentOptions options,
        string folder,
        Action<string, double> progress,
        CancellationToken cancel
    )
    {
        CascadeQueries.RequireLocal(file, "looks");
        var drawn = CascadeQueries.Draw(file, options.Seed);
        Query[] calibration = CascadeQueries.Spread(drawn, CascadeRecords.Calibration, options.LookQueries),
            test = CascadeQueries.Spread(drawn, CascadeRecords.Test, options.LookQueries),
            queries = [.. calibration, .. test];
        using Cascade cascade = Cascade.Load(file with { Reuse = AnswerReuseMode.Never });
        LookRecords records = LookRecords.Collect(
            cascade,
            queries,
            calibration.Length,
            share => progress("answers and looks", share),
            cancel
        );
        var points = new List<LookPoint>();
        var qualities = new List<LookQuality>();
        foreach (var (setting, kept, prices) in Settings(records))
        {
            progress($"planning at {setting} prices", 0);
            Compare(setting, records.Only(kept, prices, [.. kept.Select(k => file.Stages[k].Name)]), options, points, qualities, cancel);
        }
        ResultTable.Write(folder, points);
        ResultTable.Write(folder, qualities);
    }

    // A model's price of reading and of writing a token. The published speeds count tokens read and written together, so reading is
    // what is left of the time: a little too dear, as writing behind a long prompt is slower than behind none.
    private static IEnumerable<(string Setting, int[] Kept, StagePrice[] Prices)> Settings(LookRecords records)
    {
        yield return ("measured", [.. Enumerable.Range(0, records.Stages)], records.MeasuredHere());
        TokenPrice[] published =
        [
            .. Published.Select(speed => new TokenPrice((8192 / speed.Both - 2048 / speed.Writing) / 6144 * 1e6, 1e6 / speed.Writing)),
        ];
        yield return ("published", [0, records.Stages - 1], records.InUnits(published, records.Stages - 1));
    }

    private static void Compare(
        string setting,
        LookedCascade looked,
        ExperimentOptions options,
        List<LookPoint> points,
        List<LookQuality> qualities,
        CancellationToken cancel
    )
    {
        RecordedCascade with = looked.Data,
            without = with.Only(with.Writers);
        int[] train = [.. Enumerable.Range(0, looked.Calibration)],
            test = [.. Enumerable.Range(looked.Calibration, with.Queries - looked.Calibration)];
        qualities.AddRange(looked.Qualities(setting, test));
        Planner plain = PlannerOf(without, train),
            looking = PlannerOf(with, train);
        for (int i = 0; i < Prices; i++)
        {
            cancel.ThrowIfCancellationRequested();
            double lambda = LeastPrice * Math.Pow(10, i * 3.0 / Prices);
            ReplayOutcome own = Replay.Run(looking.Plan(lambda).Policy, with, test),
                other = Replay.Run(plain.Plan(lambda).Policy, without, test);
            double[] value = [.. own.Quality.Zip(own.Cost, (q, c) => q - lambda * c)],
                baseline = [.. other.Quality.Zip(other.Cost, (q, c) => q - lambda * c)];
            Interval gain = Bootstrap.BcaMean([.. value.Zip(baseline, (a, b) => a - b)], options.Resamples, 0.95, (ulong)options.Seed);
            points.Add(
                new LookPoint(
                    setting,
                    lambda,
                    other.Quality.Average(),
                    other.Cost.Average(),
                    own.Quality.Average(),
                    own.Cost.Average(),
                    gain.Estimate,
                    gain.Low,
                    gain.High,
                    looked.LooksPerQuery(looking.Plan(lambda).Policy, test)
                )
            );
        }
    }

    private static Planner PlannerOf(RecordedCascade data, int[] rows) =>
        new(data, rows, ActionSet.Jump, PlannedFamily.Candidates(data.Writers.Length, rows.Length).Last(s => s.Realised == 0));
}
