using OptimalStopping.Runtime.Cascades.Features;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// Routers that see the question and nothing else, as others build them: each predicts every model's quality and sends the
/// question to the one whose predicted quality, less the price of its mean cost, is largest.
/// </summary>
internal static class TextRouters
{
    // RouterBench's kNN router takes 40 neighbours or more.
    private const int Neighbours = 40;

    /// <summary>
    /// RouteLLM-like: a logistic regression for each model on what a linear model makes of the question's text and dataset.
    /// </summary>
    /// <param name="described">What a pipeline shows; its training queries are described by fits that did not see them.</param>
    /// <param name="prices">Prices of cost, one operating point for each.</param>
    public static FittedPolicies Logistic(RecordedCascade described, int[] rows, double[] prices)
    {
        int n = described.Stages,
            width = described.ContextWidth;
        var predicted = new double[described.Queries * n];
        Parallel.For(0, n, k =>
        {
            int[] own = [.. rows.Where(q => described.IsRecorded(q, k))];
            double[] Inputs(int q) => described.Context.AsSpan(q * width, width).ToArray();
            LogisticCalibrator fit = Theory.Logistic.Fit([.. own.Select(Inputs)], [.. own.Select(q => described.Quality[q * n + k])], 1);
            for (int q = 0; q < described.Queries; q++)
                predicted[q * n + k] = fit.Apply(described.Context.AsSpan(q * width, width));
        });
        return Router("text-router", described, rows, predicted, prices);
    }

    /// <summary>The mean quality of the 40 training questions with the most alike words, characters and dataset.</summary>
    /// <param name="model">Weighs the n-grams.</param>
    /// <param name="features">The questions.</param>
    public static FittedPolicies Nearest(QuestionModel model, TraceFeatures features, RecordedCascade data, int[] rows, double[] prices)
    {
        int n = data.Stages;
        SparseRow[] sparse = new SparseRow[data.Queries];
        Parallel.For(0, sparse.Length, q => sparse[q] = model.Row(Question.From(features, q)));
        var postings = new List<(int Row, float Value)>[model.Regression.Width];
        for (int i = 0; i < rows.Length; i++)
        for (int e = 0; e < sparse[rows[i]].Index.Length; e++)
            (postings[sparse[rows[i]].Index[e]] ??= []).Add((i, sparse[rows[i]].Value[e]));
        double[] length = [.. rows.Select(q => (double)sparse[q].Value.Sum(v => v * v))];
        double[] mean = [.. Enumerable.Range(0, n).Select(k => data.MeanQuality(rows, k))];
        var predicted = new double[data.Queries * n];
        Parallel.For(
            0,
            data.Queries,
            () => new float[rows.Length],
            (q, _, product) =>
            {
                Array.Clear(product);
                for (int e = 0; e < sparse[q].Index.Length; e++)
                    if (postings[sparse[q].Index[e]] is { } shared)
                        foreach (var (row, value) in shared)
                            product[row] += value * sparse[q].Value[e];
                // Squared distances but for the query's own length; a training query is not its own neighbour.
                var nearest = new PriorityQueue<int, double>();
                for (int i = 0; i < rows.Length; i++)
                {
                    if (rows[i] == q)
                        continue;
                    double near = 2 * product[i] - length[i];
                    if (nearest.Count < Neighbours)
                        nearest.Enqueue(i, near);
                    else
                        nearest.EnqueueDequeue(i, near);
                }
                int[] found = [.. nearest.UnorderedItems.Select(item => rows[item.Element])];
                for (int k = 0; k < n; k++)
                {
                    double[] known = [.. found.Where(r => data.IsRecorded(r, k)).Select(r => data.Quality[r * n + k])];
                    predicted[q * n + k] = known.Length == 0 ? mean[k] : known.Average();
                }
                return product;
            },
            _ => { }
        );
        return Router("knn-router", data, rows, predicted, prices);
    }

    private static FittedPolicies Router(string name, RecordedCascade data, int[] rows, double[] predicted, double[] prices)
    {
        RecordedCascade view = RecordedCascade.Create(
            data.Queries,
            data.Stages,
            data.Cost,
            data.Confidence,
            data.Quality,
            data.Answer,
            data.Stages,
            predicted
        );
        double[] cost = [.. Enumerable.Range(0, data.Stages).Select(k => data.MeanCost(rows, k))];
        return new FittedPolicies(new FittedFamily(name, prices, [.. prices.Select(price => new QuestionRouter(cost, price))]))
        {
            Seen = view,
        };
    }

    /// <summary>Runs one model: the one whose predicted quality (the context) is most worth its mean cost.</summary>
    private sealed class QuestionRouter(double[] cost, double price) : IStoppingPolicy
    {
        public int Stages => cost.Length;

        public Decision Decide(Observation observation)
        {
            if (observation.Last >= 0)
                return Decision.StopWith(observation.Last);
            int best = 0;
            for (int k = 1; k < cost.Length; k++)
                if (!(observation.Context[k] - price * cost[k] <= observation.Context[best] - price * cost[best]))
                    best = k;
            return Decision.GoTo(best);
        }
    }
}
