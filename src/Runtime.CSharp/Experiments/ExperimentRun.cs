using System.Text.Json.Nodes;
using OptimalStopping.Runtime.Ladder;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Traces;

namespace OptimalStopping.Runtime.Experiments;

/// <summary>What `toolkit run` is asked to do.</summary>
/// <param name="Experiments">all, regret, tradeoff or statistical.</param>
/// <param name="Config">The ladder file; unused where traces are given.</param>
/// <param name="Traces">A trace file to replay instead of running models, or null.</param>
/// <param name="Out">The run folder.</param>
/// <param name="Resume">Whether records that the folder already holds are gone on with.</param>
public sealed record RunRequest(string Experiments, string Config, string? Traces, string Out, bool Resume, ExperimentOptions Options)
{
    /// <summary>A policy file whose policy is replayed beside the others, or null.</summary>
    public string? Policy { get; init; }
}

/// <summary>`toolkit run`: collects the ladder's answers (or reads traces), then runs the experiments on them.</summary>
public static class ExperimentRun
{
    /// <summary>Runs the request; result files appear in its folder.</summary>
    /// <exception cref="ToolkitException">The folder is in use, holds another run, or an input is faulty.</exception>
    public static void Run(RunRequest request, Action<string, double> progress, CancellationToken cancel)
    {
        if (!ExperimentSuite.Names.Contains(request.Experiments))
            throw new ToolkitException($"--experiments: expected {string.Join(", ", ExperimentSuite.Names)}, got '{request.Experiments}'");
        if (request.Traces is null) RunLadder(request, progress, cancel);
        else RunTraces(request, progress, cancel);
    }

    private static void RunLadder(RunRequest request, Action<string, double> progress, CancellationToken cancel)
    {
        LadderFile file = LadderFile.Load(request.Config);
        PolicyFile? policy = request.Policy is null ? null : PolicyFile.Load(request.Policy);
        policy?.RequireModels([.. file.Stages.Select(stage => stage.Name)], file.File);
        policy?.RequireNoFeatures();
        using FileStream folderLock = Claim(request.Out);
        string records = Path.Combine(request.Out, "records.jsonl");
        if (File.Exists(records) && !request.Resume)
            throw new ToolkitException($"{records}: expected a new folder, got the records of an earlier run; give --resume to go on with them, or another --out");
        using (ModelLadder ladder = ModelLadder.Load(file))
        {
            var queries = Queries(file, request.Options.Seed);
            Collector.Run(ladder, queries, records, new Relay(done => progress("asking the models", done / (double)queries.Count)), cancel);
        }
        LadderRecords all = LadderRecords.Load(records);
        SignalCalibration calibration = SignalCalibration.Fit(all.Of(LadderRecords.Calibration));
        LadderReport.Write(all.Of(LadderRecords.Test), calibration, request.Out);
        RecordedOutcomes outcomes = RecordedOutcomes.Of(all, calibration);
        if (policy is not null) outcomes = outcomes with { Given = GivenPolicy.On(all, policy) };
        ExperimentSuite.Run(request.Experiments, outcomes, request.Options, request.Out, progress, cancel);
        RunManifest.Write(request.Out, Settings(request, file.Name), [file.File, .. PolicyInput(request), .. file.Stages.Select(stage => Path.Combine(stage.Path, "model.safetensors"))]);
    }

    private static void RunTraces(RunRequest request, Action<string, double> progress, CancellationToken cancel)
    {
        progress("reading the traces", 0);
        TraceTable table = TraceReader.ReadTable(request.Traces!);
        RecordedOutcomes outcomes = RecordedOutcomes.Of(table, request.Options.Seed);
        if (request.Policy is not null)
            outcomes = outcomes with { Given = GivenPolicy.On(request.Traces!, table.Models, outcomes, PolicyFile.Load(request.Policy), request.Options.Seed) };
        using FileStream folderLock = Claim(request.Out);
        ExperimentSuite.Run(request.Experiments, outcomes, request.Options, request.Out, progress, cancel);
        RunManifest.Write(request.Out, Settings(request, Path.GetFileNameWithoutExtension(request.Traces!)), [request.Traces!, .. PolicyInput(request)]);
    }

    /// <summary>The queries of a run: first the calibration split, then the test split; every prompt once.</summary>
    public static IReadOnlyList<(Query Query, string Split)> Queries(LadderFile file, int seed) =>
    [
        .. new QueryGenerator(seed, QuerySplit.Calibration).Distinct(file.CalibrationQueries).Select(query => (query, LadderRecords.Calibration)),
        .. new QueryGenerator(seed, QuerySplit.Test).Distinct(file.TestQueries).Select(query => (query, LadderRecords.Test)),
    ];

    private static Dictionary<string, JsonNode?> Settings(RunRequest request, string ladder) => new()
    {
        ["experiments"] = request.Experiments,
        ["ladder"] = ladder,
        ["source"] = request.Traces is null ? "models" : "traces",
        ["config"] = request.Traces is null ? request.Config : null,
        ["traces"] = request.Traces is null ? null : Path.GetFileName(request.Traces),
        ["policy"] = request.Policy is null ? null : Path.GetFileName(request.Policy),
        ["seed"] = request.Options.Seed,
        ["resamples"] = request.Options.Resamples,
        ["horizon"] = request.Options.Horizon,
        ["runs"] = request.Options.Runs,
        ["confidence_bins"] = request.Options.ConfidenceBins,
        ["regret_price"] = request.Options.RegretPrice,
        ["table_price"] = request.Options.TablePrice,
    };

    private static string[] PolicyInput(RunRequest request) => request.Policy is null ? [] : [request.Policy];

    // One process at a time works in a folder. The system drops the lock when the process ends, however it ends.
    private static FileStream Claim(string folder)
    {
        try
        {
            Directory.CreateDirectory(folder);
            return new FileStream(Path.Combine(folder, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ToolkitException($"{folder}: expected a folder that can be written to and that no other run uses, got: {error.Message}", error);
        }
    }

    private sealed class Relay(Action<int> report) : IProgress<int>
    {
        public void Report(int value) => report(value);
    }
}
