using System.Diagnostics;
using MathNet.Numerics.Statistics;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>
/// What the cascade saves on the clock of this machine: the default policy against the largest model alone, the same
/// questions side by side. Speed-ups are ratios of time (above 1 where the first is faster) with 95 % intervals over the questions.
/// </summary>
/// <param name="Mode">"one" question at a time, or "batch": as many at once as there are processors.</param>
/// <param name="Threads">Threads of the engine (TOOLKIT_THREADS).</param>
/// <param name="Target">Share of the largest model's quality that the price of cost was chosen to keep, on calibration questions.</param>
/// <param name="Kept">Quality over that of the largest model, on the timed questions.</param>
/// <param name="ChargedSaving">Cost of the largest model alone over that of the policy, at the prices measured on calibration questions.</param>
/// <param name="ReuseSpeedup">Of the policy whose stages may verify the earlier answer, over the one whose stages write anew.</param>
/// <param name="Slower">Share of the questions on which the policy takes longer than the largest model alone.</param>
[RunTable("savings.csv")]
public sealed record Saving(
    string Mode,
    int Threads,
    [Column(Unit = true)] double Target,
    double Lambda,
    int Queries,
    [Column(Unit = true)] double Quality,
    [Column(Unit = true)] double QualityOfLargest,
    double Kept,
    double KeptLow,
    double KeptHigh,
    double SecondsPerQuery,
    double SecondsOfLargest,
    double Speedup,
    double SpeedupLow,
    double SpeedupHigh,
    double ChargedSaving,
    double ReuseSpeedup,
    double ReuseSpeedupLow,
    double ReuseSpeedupHigh,
    [Column(Unit = true)] double Slower
);

/// <summary>Prices of a stage's tokens as measured, in units in which an average answer of the largest model costs 10.</summary>
[RunTable("savings_prices.csv")]
public sealed record MeasuredPrice(
    string Model,
    double InputCost,
    double OutputCost,
    double SecondsPerAnswer,
    double CostPerAnswer,
    [Column(Unit = true)] double Quality
);

/// <summary>
/// Prices the tokens of every stage by the time that they take here, plans with those prices, and holds the plan against the
/// largest model alone on the clock.
/// </summary>
public static class SavingsExperiment
{
    private static readonly double[] Targets = [0.99, 0.98, 0.95];

    // Prices of cost that are tried, twelve to a power of ten.
    private const int Prices = 40;
    private const double LeastPrice = 1e-4;

    private const int Adaptive = 0,
        Anew = 1,
        Largest = 2,
        Ways = 3;

    /// <summary>Writes savings.csv and savings_prices.csv.</summary>
    /// <exception cref="ToolkitException">A stage does not run in this process, or the questions are too few.</exception>
    public static void Run(
        CascadeFile file,
        ExperimentOptions options,
        string folder,
        Action<string, double> progress,
        CancellationToken cancel
    )
    {
        CascadeQueries.RequireLocal(file, "savings");
        var queries = CascadeQueries.Draw(file, options.Seed);
        Query[] calibration = CascadeQueries.Spread(queries, CascadeRecords.Calibration, options.SavingsCalibration),
            test = CascadeQueries.Spread(queries, CascadeRecords.Test, options.SavingsQueries);
        CascadePlans plans;
        CascadeFile priced;
        double target;
        using (Cascade cascade = Cascade.Load(file))
        {
            StageReply[][] replies = MeasuredPrices.Time(
                cascade,
                [.. calibration.Select(query => query.Prompt)],
                done => progress("timing every stage", done),
                cancel
            );
            TokenPrice[] prices = MeasuredPrices.OfStages(replies);
            priced = file with { Stages = [.. file.Stages.Select((stage, k) => stage with { Price = prices[k] })] };
            CascadeRecords records = Records(priced, calibration, replies);
            ResultTable.Write(
                folder,
                file.Stages.Select(
                    (stage, k) =>
                        new MeasuredPrice(
                            stage.Name,
                            prices[k].Input,
                            prices[k].Output,
                            replies[k].Average(reply => reply.Seconds),
                            records.Records.Average(record => record.Cost[k]),
                            records.Records.Average(record => record.Quality[k])
                        )
                )
            );
            plans = new CascadePlans(priced, records);
            target = records.Records.Average(record => record.Quality[^1]);
        }
        Plan[] front = [.. Enumerable.Range(0, Prices).Select(i => plans.Plan(LeastPrice * Math.Pow(10, i / 12.0)))];
        var rows = new List<Saving>();
        using Cascade own = Cascade.Load(priced),
            anew = Cascade.Load(priced with { Reuse = AnswerReuseMode.Never });
        foreach (double kept in Targets)
        {
            Plan plan = Cheapest(front, kept * target);
            foreach (bool batch in new[] { false, true })
            {
                string step = $"timing {(batch ? "batches" : "one by one")}, {100 * kept:0} % of the quality";
                var trial = new Trial(
                    AdaptiveCascade.From(own, plans, plan.Lambda),
                    AdaptiveCascade.From(anew, plans, plan.Lambda),
                    test,
                    options
                );
                rows.Add(trial.Run(batch, kept, plan.Lambda, done => progress(step, done), cancel));
            }
        }
        ResultTable.Write(folder, rows);
    }

    private static double Grade(Query query, StageReply reply) => reply.IsWhole ? query.Grade(reply.Text) : 0;

    private static CascadeRecords Records(CascadeFile file, Query[] queries, StageReply[][] replies) =>
        new(
            [.. file.Stages.Select(stage => stage.Name)],
            [
                .. queries.Select(
                    (query, i) =>
                        new CascadeRecord(
                            CascadeRecords.Calibration,
                            query.Family,
                            query.Level,
                            [.. replies.Select((stage, k) => file.Stages[k].CostOf(stage[i].PromptTokens, stage[i].CompletionTokens))],
                            [.. replies.Select(stage => Grade(query, stage[i]))],
                            [.. replies.Select(stage => file.Tasks.ExtractAnswer(stage[i].Text) ?? "")],
                            [.. replies.Select(stage => stage[i].Features)]
                        )
                        {
                            Prompt = query.Prompt,
                            Cut = Enumerable.Range(0, replies.Length).Where(k => !replies[k][i].IsWhole).ToHashSet(),
                        }
                ),
            ]
        );

    /// <summary>The plan of least held-out cost that keeps the quality on held-out calibration questions, or the one of most quality.</summary>
    private static Plan Cheapest(Plan[] plans, double quality) =>
        plans.Where(plan => plan.HeldOutQuality >= quality).MinBy(plan => plan.HeldOutCost) ?? plans.MaxBy(plan => plan.HeldOutQuality)!;

    /// <summary>One operating point, timed: the policy, the policy without reuse, and the largest model, in turn.</summary>
    private sealed class Trial(AdaptiveCascade own, AdaptiveCascade anew, Query[] queries, ExperimentOptions options)
    {
        // The largest model alone runs in the cascade that writes anew: no draft is ever before it.
        private readonly IStage _largest = anew.Cascade.Stages[^1];
        private readonly double[] _quality = new double[queries.Length],
            _qualityOfLargest = new double[queries.Length],
            _cost = new double[queries.Length],
            _costOfLargest = new double[queries.Length];

        public Saving Run(bool batch, double target, double lambda, Action<double> progress, CancellationToken cancel)
        {
            int rounds = options.SavingsRounds;
            double[][][] seconds = [.. Enumerable.Range(0, Ways).Select(_ => queries.Select(_ => new double[rounds]).ToArray())];
            var random = new Random(options.Seed);
            int[] order = [Adaptive, Anew, Largest];
            var workers = new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount, CancellationToken = cancel };
            for (int round = -1; round < rounds; round++) // the first warms up
            {
                progress((round + 1) / (rounds + 1.0));
                if (batch)
                {
                    random.Shuffle(order);
                    foreach (int way in order)
                        Parallel.For(0, queries.Length, workers, i => Time(way, i, round));
                }
                else
                    for (int i = 0; i < queries.Length; i++)
                    {
                        cancel.ThrowIfCancellationRequested();
                        random.Shuffle(order);
                        foreach (int way in order)
                            Time(way, i, round);
                    }
            }
            var times = new SpeculativeTimes(seconds, options.Resamples, (ulong)options.Seed);
            Interval speedup = times.Ratio(Largest, Adaptive),
                reuse = times.Ratio(Anew, Adaptive),
                kept = Bootstrap.Bca(
                    [.. Enumerable.Range(0, queries.Length)],
                    chosen => chosen.Sum(i => _quality[(int)i]) / Math.Max(1e-9, chosen.Sum(i => _qualityOfLargest[(int)i])),
                    options.Resamples,
                    0.95,
                    (ulong)options.Seed
                );
            return new Saving(
                batch ? "batch" : "one",
                WorkerPool.Shared.Size,
                target,
                lambda,
                queries.Length,
                _quality.Average(),
                _qualityOfLargest.Average(),
                kept.Estimate,
                kept.Low,
                kept.High,
                times.Seconds(Adaptive) / queries.Length,
                times.Seconds(Largest) / queries.Length,
                speedup.Estimate,
                speedup.Low,
                speedup.High,
                _costOfLargest.Sum() / _cost.Sum(),
                reuse.Estimate,
                reuse.Low,
                reuse.High,
                Enumerable
                    .Range(0, queries.Length)
                    .Count(i => Statistics.Median(seconds[Adaptive][i]) > Statistics.Median(seconds[Largest][i])) / (double)queries.Length
            );

            void Time(int way, int i, int round)
            {
                long start = Stopwatch.GetTimestamp();
                if (way == Largest)
                {
                    StageReply reply = _largest.Answer(queries[i].Prompt, cancel);
                    Keep(Stopwatch.GetElapsedTime(start));
                    (_qualityOfLargest[i], _costOfLargest[i]) = (Grade(queries[i], reply), reply.Cost);
                    return;
                }
                AdaptiveAnswer answer = (way == Adaptive ? own : anew).Answer(queries[i].Prompt, cancel: cancel);
                Keep(Stopwatch.GetElapsedTime(start));
                if (way == Adaptive)
                    (_quality[i], _cost[i]) = (Grade(queries[i], answer.Chosen.Reply), answer.Cost);

                void Keep(TimeSpan time)
                {
                    if (round >= 0)
                        seconds[way][i][round] = time.TotalSeconds;
                }
            }
        }
    }
}
