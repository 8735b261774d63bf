using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Tasks.Miniature;

namespace OptimalStopping.Experiments;

/// <summary>The questions that a cascade file names: generated, or drawn from the user's files.</summary>
public static class CascadeQueries
{
    /// <summary>The queries of a run: first the calibration split, then the test split; every prompt once.</summary>
    public static IReadOnlyList<(Query Query, string Split)> Draw(CascadeFile file, int seed)
    {
        var (calibration, test) = file.Tasks.Kind switch
        {
            "nano" => (
                new QueryGenerator(seed, QuerySplit.Calibration).Distinct(file.CalibrationQueries),
                new QueryGenerator(seed, QuerySplit.Test).Distinct(file.TestQueries)
            ),
            "miniature" => Miniature(Knowledge.Load(file.Tasks.Path!), file, seed),
            _ => QueryFiles.Draw(file.Tasks, seed, file.CalibrationQueries, file.TestQueries),
        };
        return [.. calibration.Select(query => (query, CascadeRecords.Calibration)), .. test.Select(query => (query, CascadeRecords.Test))];
    }

    /// <summary>Checks that every stage runs in this process, where it can be timed.</summary>
    /// <param name="experiment">Named in the message.</param>
    /// <exception cref="ToolkitException">One runs elsewhere.</exception>
    public static void RequireLocal(CascadeFile file, string experiment)
    {
        if (file.Stages.FirstOrDefault(stage => !stage.IsLocal) is { } remote)
            throw new ToolkitException(
                $"{file.File}: {experiment}: expected stages that run in this process, got '{remote.Name}' (backend: {remote.Backend})"
            );
    }

    /// <summary>At most so many of a split's questions, spread evenly over them.</summary>
    public static Query[] Spread(IReadOnlyList<(Query Query, string Split)> queries, string split, int most)
    {
        Query[] all = [.. queries.Where(q => q.Split == split).Select(q => q.Query)];
        int count = Math.Min(most, all.Length);
        return [.. Enumerable.Range(0, count).Select(i => all[(int)((long)i * all.Length / count)])];
    }

    private static (Query[] Calibration, Query[] Test) Miniature(Knowledge knowledge, CascadeFile file, int seed) =>
        (
            new MiniatureQuestions(new QuestionMix(knowledge), seed, QuerySplit.Calibration).Distinct(file.CalibrationQueries),
            new MiniatureQuestions(new QuestionMix(knowledge, file.Tasks.FlatTest), seed, QuerySplit.Test).Distinct(file.TestQueries)
        );
}
