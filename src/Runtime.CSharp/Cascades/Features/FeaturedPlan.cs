using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades.Features;

/// <summary>
/// Plans on what a <see cref="FeaturePipeline"/> sees. With good predictions the differences between the stages' worths are
/// small against the noise of their estimates, so everything here keeps variance low: few context columns, heavy penalties,
/// realised instead of estimated continuation values (whose maximum is biased upwards), and only the stages that pay. Where
/// cross-validation finds that the queries carry more, regressions with knots take over.
/// </summary>
/// <param name="Pipeline">What the plans see.</param>
/// <param name="Stages">Stages of the whole cascade.</param>
/// <param name="Kept">The stages that the plans use, increasing.</param>
/// <param name="Columns">Context columns that they see, of those of the pipeline's view.</param>
/// <param name="View">What the pipeline shows of the kept stages, on all described queries.</param>
/// <param name="Fit">The plans, for the kept stages.</param>
/// <param name="Actions">Whether a plan may answer with an earlier stage.</param>
public sealed record FeaturedPlan(
    FeaturePipeline Pipeline,
    int Stages,
    int[] Kept,
    int[] Columns,
    RecordedCascade View,
    FittedPlan Fit,
    ActionSet Actions
)
{
    private const int SearchRows = 3000,
        SearchPrices = 12,
        Prices = 40,
        Window = 3,
        Folds = 5;

    // Fewer queries than this do not say which stages pay.
    private const int LeastToSearch = 600;

    // With fewer queries than this, a penalty of 1,000 of them would leave next to nothing of what they say.
    private const int FewQueries = 1000;

    // How much better an estimator has to be to be taken, over the root of the queries: the best of several noisy scores is
    // too high, and a flexible estimator loses more where it was taken by chance.
    private const double Margin = 0.1,
        FlexibleMargin = 0.3;

    // A change of the stages has to bring this much held-out quality.
    private const double LeastGain = 0.0003;

    /// <summary>What the pipeline shows of all stages.</summary>
    public required RecordedCascade Described { get; init; }

    /// <summary>Estimators that compete, from stiff to flexible; the first is taken unless another is clearly better.</summary>
    private static EstimatorSettings[] Candidates(int queries) =>
        queries < FewQueries
            ? [Settings(0, 300, 1), Settings(0, 1000, 1), Settings(0, 100, 1), Settings(0, 30, 1), Settings(0, 10, 1)]
            :
            [
                Settings(0, 1000, 1),
                Settings(0, 300, 1),
                Settings(0, 3000, 1),
                Settings(2, 100, 0.5),
                Settings(4, 30, 0.5),
                Settings(8, 10, 0.5, products: true),
            ];

    /// <summary>
    /// Plans for the queries that a pipeline was fitted on; null where one model is both the cheapest and the best, so that
    /// there is nothing to plan.
    /// </summary>
    /// <param name="view">What the pipeline shows of all stages.</param>
    /// <param name="rows">The queries that it was fitted on, in random order.</param>
    public static FeaturedPlan? Make(FeaturePipeline pipeline, RecordedCascade view, int[] rows, ActionSet actions)
    {
        var range = Range.From(view, rows);
        if (range.Hull.Length < 2)
            return null;
        int n = view.Stages;
        int[] kept = rows.Length < LeastToSearch ? range.Hull : Search(pipeline, view, rows, range, actions);
        if (!Covers(view, kept))
            kept = [.. Enumerable.Range(0, n)];
        var best = (Score: double.NegativeInfinity, Settings: Candidates(rows.Length)[0], Columns: pipeline.Columns([]));
        foreach (int[] columns in Contexts(pipeline, kept, rows.Length))
        {
            RecordedCascade own = Part(view, kept, columns);
            foreach (EstimatorSettings settings in Candidates(rows.Length))
            {
                double score = range.Score(Plan(own, rows, settings, range.Prices(SearchPrices), actions));
                double margin =
                    double.IsInfinity(best.Score) ? 0
                    : settings.Shape.Knots == 0 ? Margin
                    : FlexibleMargin;
                if (score > best.Score + margin / Math.Sqrt(rows.Length))
                    best = (score, settings, columns);
            }
        }
        return Make(pipeline, view, rows, kept, best.Columns, best.Settings, best.Score, Prices, actions);
    }

    /// <summary>The same choices as these, on another pipeline and other queries: for cross-validation.</summary>
    public FeaturedPlan Refit(FeaturePipeline pipeline, RecordedCascade view, int[] rows, int prices) =>
        Make(pipeline, view, rows, Kept, Columns, Fit.Settings, double.NaN, prices, Actions);

    /// <summary>A policy of the plans as one for the whole cascade and the whole context.</summary>
    public IStoppingPolicy Whole(IStoppingPolicy policy) => new SubsetPolicy(policy, Stages, Kept, Columns);

    private static FeaturedPlan Make(
        FeaturePipeline pipeline,
        RecordedCascade view,
        int[] rows,
        int[] kept,
        int[] columns,
        EstimatorSettings settings,
        double score,
        int prices,
        ActionSet actions
    )
    {
        RecordedCascade own = Part(view, kept, columns);
        Plan[] plans = Plan(own, rows, settings, Range.From(view, rows).Prices(prices), actions);
        var family = new FittedFamily("features", [.. plans.Select(p => p.Lambda)], [.. plans.Select(p => p.Policy)]);
        return new FeaturedPlan(
            pipeline,
            view.Stages,
            kept,
            columns,
            own,
            new FittedPlan(family, settings, [score], [.. plans.Select(p => p.HeldOutCost)], [.. plans.Select(p => p.HeldOutQuality)]),
            actions
        )
        {
            Described = view,
        };
    }

    // Adds or drops one stage at a time while that brings held-out quality, from the models that a mixture would use on.
    private static int[] Search(FeaturePipeline pipeline, RecordedCascade view, int[] rows, Range range, ActionSet actions)
    {
        int[] sample = rows.Length > SearchRows ? rows[..SearchRows] : rows;
        double[] prices = range.Prices(SearchPrices);
        double Score(int[] stages) =>
            range.Score(
                Plan(Part(view, stages, Contexts(pipeline, stages, rows.Length)[^1]), sample, Candidates(rows.Length)[0], prices, actions)
            );
        int[] kept = range.Hull;
        double best = Score(kept);
        while (true)
        {
            int[][] others =
            [
                .. Enumerable
                    .Range(0, view.Stages)
                    .Select(k => kept.Contains(k) ? kept.Where(other => other != k).ToArray() : [.. kept.Append(k).Order()])
                    .Where(stages => stages.Length > 1 && Covers(view, stages)),
            ];
            if (others.Length == 0)
                return kept;
            double[] scores = [.. others.Select(Score)];
            int at = Array.IndexOf(scores, scores.Max());
            if (scores[at] < best + LeastGain)
                return kept;
            (kept, best) = (others[at], scores[at]);
        }
    }

    private static bool Covers(RecordedCascade view, int[] stages) =>
        Enumerable.Range(0, view.Queries).All(q => stages.Any(k => view.IsRecorded(q, k)));

    // The means over all stages; with enough queries also the predictions of each stage.
    private static int[][] Contexts(FeaturePipeline pipeline, int[] stages, int rows)
    {
        int[] means = pipeline.Columns([]),
            all = pipeline.Columns(stages);
        return all.Length > means.Length && rows >= 100 * all.Length ? [means, all] : [means];
    }

    private static EstimatorSettings Settings(int knots, double penalty, double realised, bool products = false) =>
        new(new BasisShape(knots, products, true), penalty, realised, Window, Folds);

    private static RecordedCascade Part(RecordedCascade view, int[] stages, int[] columns)
    {
        RecordedCascade only = view.Only(stages);
        var context = new double[view.Queries * columns.Length];
        for (int q = 0; q < view.Queries; q++)
        for (int j = 0; j < columns.Length; j++)
            context[q * columns.Length + j] = view.Context[q * view.ContextWidth + columns[j]];
        return RecordedCascade.Create(
            view.Queries,
            stages.Length,
            only.Cost,
            only.Confidence,
            only.Quality,
            only.Answer,
            columns.Length,
            context
        );
    }

    private static Plan[] Plan(RecordedCascade part, int[] rows, EstimatorSettings settings, double[] prices, ActionSet actions)
    {
        int[] usable = [.. rows.Where(q => Enumerable.Range(0, part.Stages).Any(k => part.IsRecorded(q, k)))];
        var planner = new Planner(part, usable, actions, settings);
        var plans = new Plan[prices.Length];
        // A plan needs room: no more at a time than there are processors.
        var workers = new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount };
        Parallel.For(0, plans.Length, workers, i => plans[i] = planner.Plan(prices[i]));
        return plans;
    }

    /// <summary>What the plans are judged by: the single models of the whole cascade.</summary>
    private sealed record Range(double[] Cost, double[] Quality, int[] Hull)
    {
        public static Range From(RecordedCascade view, int[] rows)
        {
            int[] stages = [.. Enumerable.Range(0, view.Stages).Where(k => rows.Any(q => view.IsRecorded(q, k)))];
            double[] cost = [.. stages.Select(k => view.MeanCost(rows, k))],
                quality = [.. stages.Select(k => view.MeanQuality(rows, k))];
            return new Range(cost, quality, [.. Frontier.UpperHull(cost, quality).Select(i => stages[i]).Order()]);
        }

        /// <summary>Held-out area under the curve of some plans.</summary>
        public double Score(Plan[] plans) =>
            CurveMetrics.Compute([.. plans.Select(p => p.HeldOutCost)], [.. plans.Select(p => p.HeldOutQuality)], Cost, Quality).Auc;

        /// <summary>
        /// Prices, decreasing, 0 last: from twice the steepest rate at which one model's quality is bought from another to an
        /// eighth of the flattest.
        /// </summary>
        public double[] Prices(int count)
        {
            int[] order = Frontier.UpperHull(Cost, Quality);
            double high = 0,
                low = double.PositiveInfinity;
            for (int i = 1; i < order.Length; i++)
            {
                double rate = (Quality[order[i]] - Quality[order[i - 1]]) / (Cost[order[i]] - Cost[order[i - 1]]);
                (high, low) = (Math.Max(high, rate), Math.Min(low, rate));
            }
            (high, low) = (2 * high, low / 8);
            return [.. Enumerable.Range(0, count).Select(i => high * Math.Pow(low / high, i / (count - 1.0))), 0];
        }
    }
}
