using System.Diagnostics;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>What a look of a model at the answer of a smaller one costs and tells, on the test questions.</summary>
/// <param name="LookCost">Mean cost of a look.</param>
/// <param name="AnswerCost">Mean cost of an answer of the looking model.</param>
/// <param name="AurocOfWriter">How well the writer's own confidence tells right answers from wrong ones.</param>
/// <param name="AurocWithLook">The same with the look.</param>
[RunTable("look_quality.csv")]
public sealed record LookQuality(
    string Setting,
    string Writer,
    string Looker,
    double LookCost,
    double AnswerCost,
    [Column(Unit = true)] double AurocOfWriter,
    [Column(Unit = true)] double AurocWithLook
);

/// <summary>Every stage's answer to every question, and every larger model's look at it, with the times that they took.</summary>
/// <param name="Replies">By stage, then by question.</param>
/// <param name="Looks">By writer, by looking stage (null up to the writer), by question.</param>
/// <param name="Calibration">The first so many questions are the calibration's.</param>
internal sealed record LookRecords(
    StageReply[][] Replies,
    (DraftVerdict Verdict, double Seconds)[]?[][] Looks,
    double[][] Quality,
    int Calibration
)
{
    public int Stages => Replies.Length;

    private const double Ridge = 1;

    private int Queries => Replies[0].Length;

    public static LookRecords Collect(Cascade cascade, Query[] queries, int calibration, Action<double> progress, CancellationToken cancel)
    {
        StageReply[][] replies = MeasuredPrices.Time(
            cascade,
            [.. queries.Select(query => query.Prompt)],
            share => progress(0.7 * share),
            cancel
        );
        int stages = replies.Length;
        var looks = new (DraftVerdict, double)[]?[stages][];
        for (int j = 0; j < stages; j++)
        {
            looks[j] = new (DraftVerdict, double)[]?[stages];
            for (int k = j + 1; k < stages; k++)
                looks[j][k] = new (DraftVerdict, double)[queries.Length];
        }
        for (int q = 0; q < queries.Length; q++)
        {
            progress(0.7 + 0.3 * q / queries.Length);
            cancel.ThrowIfCancellationRequested();
            var request = new StageRequest(StagePrompt.FromQuestion(queries[q].Prompt));
            for (int j = 0; j < stages; j++)
            for (int k = j + 1; k < stages; k++)
            {
                long start = Stopwatch.GetTimestamp();
                DraftVerdict verdict = cascade
                    .Stages[k]
                    .VerifyAsync(request, replies[j][q].Tokens, cancel)
                    .AsTask()
                    .GetAwaiter()
                    .GetResult();
                looks[j][k]![q] = (verdict, Stopwatch.GetElapsedTime(start).TotalSeconds);
            }
        }
        double[][] quality =
        [
            .. replies.Select(stage => stage.Select((reply, q) => reply.IsWhole ? queries[q].Grade(reply.Text) : 0).ToArray()),
        ];
        return new LookRecords(replies, looks, quality, calibration);
    }

    /// <summary>Prices of this machine: of answers by their times, of looks by theirs.</summary>
    public StagePrice[] MeasuredHere()
    {
        TokenPrice[] answers = MeasuredPrices.OfStages(Replies);
        double unit = MeasuredPrices.Largest / Replies[^1].Average(reply => reply.Seconds);
        return
        [
            .. answers.Select(
                (price, k) =>
                {
                    double seconds = 0,
                        tokens = 0;
                    for (int j = 0; j < k; j++)
                    for (int q = 0; q < Queries; q++)
                    {
                        seconds += Looks[j][k]![q].Seconds;
                        tokens += Read(j, q);
                    }
                    return new StagePrice(price, k == 0 ? 0 : seconds * unit / tokens);
                }
            ),
        ];
    }

    /// <summary>Seconds per token as costs in which an average answer of the given stage costs as much as the largest.</summary>
    public StagePrice[] InUnits(TokenPrice[] seconds, int largest)
    {
        double unit =
            MeasuredPrices.Largest / Replies[largest].Average(reply => seconds[^1].For(reply.PromptTokens, reply.CompletionTokens));
        return
        [
            .. seconds.Select(price => new StagePrice(new TokenPrice(price.Input * unit, price.Output * unit), price.Input * unit / 1e6)),
        ];
    }

    /// <summary>The records of some stages, each followed by the looks of the later ones at its answer.</summary>
    /// <param name="kept">Stages, increasing.</param>
    /// <param name="prices">Of each of them.</param>
    public LookedCascade Only(int[] kept, StagePrice[] prices, string[] names)
    {
        var columns = new List<(int Writer, int Looker)>(); // places in kept; looker -1: the writer's own answer
        for (int j = 0; j < kept.Length; j++)
            columns.AddRange(Enumerable.Range(j + 1, kept.Length - j - 1).Select(k => (j, k)).Prepend((j, -1)));
        int width = columns.Count;
        double[] cost = new double[Queries * width],
            confidence = new double[cost.Length],
            quality = new double[cost.Length];
        for (int c = 0; c < width; c++)
        {
            var (j, k) = columns[c];
            int writer = kept[j];
            double[][] features = [.. Enumerable.Range(0, Queries).Select(q => Features(writer, k < 0 ? -1 : kept[k], q))];
            LogisticCalibrator calibrator = Logistic.Fit(features[..Calibration], Quality[writer][..Calibration], Ridge);
            for (int q = 0; q < Queries; q++)
            {
                int i = q * width + c;
                StageReply reply = Replies[writer][q];
                cost[i] = k < 0 ? prices[j].Answer.For(reply.PromptTokens, reply.CompletionTokens) : prices[k].Look * Read(writer, q);
                confidence[i] = reply.IsWhole ? calibrator.Apply(features[q]) : 0;
                quality[i] = Quality[writer][q];
            }
        }
        int[] judges = [.. columns.Select(column => column.Looker < 0 ? -1 : columns.IndexOf((column.Writer, -1)))];
        return new LookedCascade(
            RecordedCascade.Create(Queries, width, cost, confidence, quality).WithJudges(judges),
            columns,
            names,
            Calibration
        );
    }

    // What a look reads: the prompt and the answer.
    private int Read(int writer, int query) => Replies[writer][query].PromptTokens + Replies[writer][query].Tokens.Count;

    // How probable the answer is to its writer, and to the model that looks at it.
    private double[] Features(int writer, int looker, int query)
    {
        double[] own = Replies[writer][query].Features.ToVector();
        if (looker < 0)
            return own;
        DraftVerdict verdict = Looks[writer][looker]![query].Verdict;
        IReadOnlyList<double> known = verdict.Drafted == 0 ? [0] : verdict.LogProbabilities;
        return
        [
            .. own,
            known.Sum(),
            known.Average(),
            known.Min(),
            verdict.Drafted == 0 ? 1 : (double)verdict.Accepted / verdict.Drafted,
            verdict.Accepted == verdict.Drafted ? 1 : 0,
        ];
    }
}

/// <summary>What a stage's answers and its looks cost.</summary>
/// <param name="Look">A token that a look reads.</param>
internal readonly record struct StagePrice(TokenPrice Answer, double Look);

/// <summary>Records with looks as stages that judge.</summary>
/// <param name="Columns">Writer and looking model of each column, as places among the models; -1: the writer's own answer.</param>
/// <param name="Calibration">The first so many questions are the calibration's.</param>
internal sealed record LookedCascade(RecordedCascade Data, IReadOnlyList<(int Writer, int Looker)> Columns, string[] Names, int Calibration)
{
    /// <summary>What each look costs and tells on some questions.</summary>
    public IEnumerable<LookQuality> Qualities(string setting, int[] rows)
    {
        for (int c = 0; c < Columns.Count; c++)
        {
            var (writer, looker) = Columns[c];
            if (looker < 0)
                continue;
            int own = Data.Judges[c],
                answers = Enumerable.Range(0, Columns.Count).First(i => Columns[i] == (looker, -1));
            yield return new LookQuality(
                setting,
                Names[writer],
                Names[looker],
                Data.MeanCost(rows, c),
                Data.MeanCost(rows, answers),
                Auroc(own),
                Auroc(c)
            );
        }

        double Auroc(int column) =>
            CalibrationMetrics.Auroc(
                [.. rows.Select(q => Data.Confidence[q * Columns.Count + column])],
                [.. rows.Select(q => Data.Quality[q * Columns.Count + column])]
            );
    }

    /// <summary>Looks per question under a policy.</summary>
    public double LooksPerQuery(IStoppingPolicy policy, int[] rows)
    {
        var seen = new Watched(policy);
        Replay.Run(seen, Data, rows);
        return seen.Asked.Where((_, c) => Columns[c].Looker >= 0).Sum() / (double)rows.Length;
    }

    private sealed class Watched(IStoppingPolicy policy) : IStoppingPolicy
    {
        public int[] Asked { get; } = new int[policy.Stages];

        public int Stages => policy.Stages;

        public Decision Decide(Observation observation)
        {
            Decision decision = policy.Decide(observation);
            if (!decision.Stop)
                Asked[decision.Stage]++;
            return decision;
        }
    }
}
