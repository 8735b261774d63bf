using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>What one group of features brings to the plans on features.</summary>
/// <param name="Group">text, dataset, recorded, agreement or confidence.</param>
/// <param name="Auc">Area under the curve without the group.</param>
/// <param name="Gain">Area with all groups less the area without this one, on the same test queries.</param>
/// <param name="Low">Lower end of its 95 % interval.</param>
/// <param name="High">Upper end.</param>
public sealed record AblationRow(string Group, double Auc, double Gain, double Low, double High);

/// <summary>
/// `toolkit evaluate --ablation`: the plans on features are fitted again without one group of features at a time. A gain
/// below 0 says that the group costs more in variance than it tells; it is reported as it is.
/// </summary>
public static class EvaluationAblation
{
    /// <summary>One row for each group that the traces hold; none where plans on features cannot be made.</summary>
    public static IReadOnlyList<AblationRow> Run(TraceTable table, EvaluationOptions options, IProgress<string>? progress = null)
    {
        RecordedCascade data = table.Cascade;
        TraceFeatures features = table.Features ?? TraceFeatures.None;
        EvaluationSplit split = EvaluationSplit.Make(data.Queries, options.TrainFraction, options.Seed, options.Traces);
        int[] train = options.TrainQueries is { } most && most < split.Train.Length ? split.Train[..most] : split.Train;
        int groups = Math.Min(EvaluationBootstrap.Groups, split.Test.Length);
        var parts = new List<(string Name, RecordedCascade Data, TraceFeatures Features)> { ("", data, features) };
        if (features.HasText)
            parts.Add(("text", data, With(features, text: false)));
        if (features.Datasets.Count > 0)
            parts.Add(("dataset", data, With(features, datasets: false)));
        if (features.Recorded.Count > 0)
            parts.Add(("recorded", data, With(features, recorded: false)));
        if (data.HasAnswers)
            parts.Add(("agreement", Without(data, data.Confidence, []), features));
        if (data.Confidence.Any(c => !double.IsNaN(c)))
            parts.Add(("confidence", Without(data, [.. Enumerable.Repeat(double.NaN, data.Confidence.Length)], data.Answer), features));

        var names = new List<string>();
        var outcomes = new List<GroupedOutcome[]>();
        foreach (var (name, seen, known) in parts)
        {
            progress?.Report(name == "" ? "fitting with all features" : $"fitting without {name}");
            if (new PolicyTraining(seen, train, known).Featured is not { } plan)
            {
                if (name == "")
                    return [];
                continue;
            }
            names.Add(name);
            outcomes.Add(FittedPolicies.From(plan).Replay(seen, split.Test, groups));
        }
        IStoppingPolicy[] singles = [.. Enumerable.Range(0, data.Stages).Select(k => ThresholdCascade.Fixed(data.Stages, k))];
        MetricEstimate[][] estimates = EvaluationBootstrap.Estimate(
            outcomes,
            FamilyReplay.Run(singles, data, split.Test, groups),
            0,
            options.Resamples,
            options.Seed
        );
        return
        [
            .. names
                .Select((name, i) => (name, Auc: estimates[i].First(m => m.Name == "auc")))
                .Skip(1)
                .Select(row => new AblationRow(
                    row.name,
                    row.Auc.Value,
                    -row.Auc.Difference,
                    -row.Auc.DifferenceHigh,
                    -row.Auc.DifferenceLow
                )),
        ];
    }

    private static TraceFeatures With(TraceFeatures all, bool text = true, bool datasets = true, bool recorded = true) =>
        new()
        {
            Datasets = datasets ? all.Datasets : [],
            Dataset = datasets ? all.Dataset : [],
            Measures = text ? all.Measures : [],
            Grams = text ? all.Grams : [],
            Recorded = recorded ? all.Recorded : [],
            Values = recorded ? all.Values : [],
        };

    private static RecordedCascade Without(RecordedCascade data, double[] confidence, int[] answer) =>
        RecordedCascade.Create(data.Queries, data.Stages, data.Cost, confidence, data.Quality, answer, data.ContextWidth, data.Context);
}
