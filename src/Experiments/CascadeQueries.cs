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
            "miniature" => Miniature(new QuestionMix(Knowledge.Load(file.Tasks.Path!)), file, seed),
            _ => QueryFiles.Draw(file.Tasks, seed, file.CalibrationQueries, file.TestQueries),
        };
        return [.. calibration.Select(query => (query, CascadeRecords.Calibration)), .. test.Select(query => (query, CascadeRecords.Test))];
    }

    private static (Query[] Calibration, Query[] Test) Miniature(QuestionMix mix, CascadeFile file, int seed) =>
        (
            new MiniatureQuestions(mix, seed, QuerySplit.Calibration).Distinct(file.CalibrationQueries),
            new MiniatureQuestions(mix, seed, QuerySplit.Test).Distinct(file.TestQueries)
        );
}
