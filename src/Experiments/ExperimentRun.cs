using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Tasks.Miniature;
using OptimalStopping.Runtime.Traces;

namespace OptimalStopping.Experiments;

/// <summary>What `toolkit run` is asked to do.</summary>
/// <param name="Experiments">all, regret, tradeoff, statistical or speculative.</param>
/// <param name="Config">The cascade file; unused where traces are given.</param>
/// <param name="Traces">A trace file to replay instead of running models, or null.</param>
/// <param name="Out">The run folder.</param>
/// <param name="Resume">Whether records that the folder already holds are gone on with.</param>
public sealed record RunRequest(string Experiments, string Config, string? Traces, string Out, bool Resume, ExperimentOptions Options)
{
    /// <summary>A policy file whose policy is replayed beside the others, or null.</summary>
    public string? Policy { get; init; }
}

/// <summary>`toolkit run`: collects the cascade's answers (or reads traces), then runs the experiments on them.</summary>
public static class ExperimentRun
{
    /// <summary>Runs the request; result files appear in its folder.</summary>
    /// <exception cref="ToolkitException">The folder is in use, holds another run, or an input is faulty.</exception>
    public static void Run(RunRequest request, Action<string, double> progress, CancellationToken cancel)
    {
        if (!ExperimentSuite.Names.Contains(request.Experiments))
            throw new ToolkitException($"--experiments: expected {string.Join(", ", ExperimentSuite.Names)}, got '{request.Experiments}'");
        if (request.Traces is null)
            RunCascade(request, progress, cancel);
        else
            RunTraces(request, progress, cancel);
    }

    private static void RunCascade(RunRequest request, Action<string, double> progress, CancellationToken cancel)
    {
        CascadeFile file = CascadeFile.Load(request.Config);
        PolicyFile? policy = request.Policy is null ? null : PolicyFile.Load(request.Policy);
        policy?.RequireModels([.. file.Stages.Select(stage => stage.Name)], file.File);
        policy?.RequireNoFeatures();
        using RunFolder folder = RunFolder.Claim(request.Out);
        string records = Path.Combine(request.Out, "records.jsonl");
        if (File.Exists(records) && !request.Resume)
            throw new ToolkitException(
                $"{records}: expected a new folder, got the records of an earlier run; give --resume to go on with them, or another --out"
            );
        folder.Admit(request);
        if (request.Experiments == ExperimentSuite.Speculative)
        {
            folder.Open();
            using Cascade models = Cascade.Load(file);
            SpeculativeExperiment.Run(models, request.Options, request.Out, progress, cancel);
            DraftReuse.Run(models, request.Options, request.Out, progress, cancel);
            RunManifest.Write(folder, request, file.Name, RunManifest.InputFiles(file));
            return;
        }
        using (Cascade cascade = Cascade.Load(file))
        {
            var queries = Queries(file, request.Options.Seed);
            Collector.Run(
                cascade,
                queries,
                records,
                new Relay(done => progress("asking the models", done / (double)queries.Count)),
                cancel
            );
        }
        folder.Open();
        CascadeRecords all = CascadeRecords.Load(records);
        ConfidenceCalibration calibration = ConfidenceCalibration.Fit(all.Of(CascadeRecords.Calibration));
        CascadeReport.Write(all.Of(CascadeRecords.Test), calibration, request.Out);
        RecordedOutcomes outcomes = RecordedOutcomes.Of(all, calibration);
        if (policy is not null)
            outcomes = outcomes with { Given = GivenPolicy.On(all, policy) };
        ExperimentSuite.Run(request.Experiments, outcomes, request.Options, request.Out, progress, cancel);
        RunManifest.Write(folder, request, file.Name, [.. RunManifest.InputFiles(file), .. PolicyInput(request)]);
    }

    private static void RunTraces(RunRequest request, Action<string, double> progress, CancellationToken cancel)
    {
        if (request.Experiments == ExperimentSuite.Speculative)
            throw new ToolkitException("--experiments speculative: expected a cascade of models to run (--config), got --traces");
        progress("reading the traces", 0);
        TraceTable table = TraceReader.ReadTable(request.Traces!);
        RecordedOutcomes outcomes = RecordedOutcomes.Of(table, request.Options.Seed, request.Traces!);
        if (request.Policy is not null)
            outcomes = outcomes with
            {
                Given = GivenPolicy.On(request.Traces!, table.Models, outcomes, PolicyFile.Load(request.Policy), request.Options.Seed),
            };
        using RunFolder folder = RunFolder.Claim(request.Out);
        folder.Admit(request);
        folder.Open();
        ExperimentSuite.Run(request.Experiments, outcomes, request.Options, request.Out, progress, cancel);
        RunManifest.Write(folder, request, Path.GetFileNameWithoutExtension(request.Traces!), [request.Traces!, .. PolicyInput(request)]);
    }

    /// <summary>The queries of a run: first the calibration split, then the test split; every prompt once.</summary>
    public static IReadOnlyList<(Query Query, string Split)> Queries(CascadeFile file, int seed)
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

    private static string[] PolicyInput(RunRequest request) => request.Policy is null ? [] : [request.Policy];

    private sealed class Relay(Action<int> report) : IProgress<int>
    {
        public void Report(int value) => report(value);
    }
}
