using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Traces;

namespace OptimalStopping.Experiments;

/// <summary>Runs the named experiments on recorded outcomes and writes their result files into a folder.</summary>
public static class ExperimentSuite
{
    /// <summary>Names that `--experiments` takes.</summary>
    public static IReadOnlyList<string> Names { get; } = ["all", "regret", "tradeoff", "statistical", Speculative, Savings, Looks];

    /// <summary>The experiment with smaller models as drafters of larger ones; part of `all` where all models run in this process.</summary>
    public const string Speculative = "speculative";

    /// <summary>The experiment that times the cascade against its largest model; not part of `all`.</summary>
    public const string Savings = "savings";

    /// <summary>The experiment in which a larger model may only read the answer that is there; likewise.</summary>
    public const string Looks = "looks";

    /// <summary>Runs one experiment, or all.</summary>
    /// <param name="progress">Told the step and the share of it that is done.</param>
    public static void Run(
        string which,
        RecordedOutcomes outcomes,
        ExperimentOptions options,
        string folder,
        Action<string, double> progress,
        CancellationToken cancel
    )
    {
        if (!Names.Contains(which))
            throw new ToolkitException($"experiments: expected {string.Join(", ", Names)}, got '{which}'");
        if (which is Speculative or Savings or Looks)
            throw new ToolkitException($"experiments: {which}: expected models to run, got recorded outcomes");
        if (which is "all" or "tradeoff" or "statistical")
        {
            PolicyBench bench = PolicyBench.Fit(outcomes, progress, cancel);
            progress("intervals and tests", 0);
            if (which != "statistical")
                TradeoffExperiment.Run(bench, options, folder);
            cancel.ThrowIfCancellationRequested();
            if (which != "tradeoff")
                StatisticalExperiment.Run(bench, options, folder);
        }
        if (which is "all" or "regret")
            RegretExperiment.Run(outcomes, options, folder, share => progress("regret", share), cancel);
    }
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
        policy?.RequireLive();
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
            if (!Speculate(models, request, progress, cancel))
                throw new ToolkitException(
                    $"speculative: expected answers of at least {SpeculativeExperiment.LeastTokens} tokens from '{file.Stages[^1].Name}', got none"
                );
            RunManifest.Write(folder, request, file.Name, RunManifest.InputFiles(file));
            return;
        }
        if (request.Experiments is ExperimentSuite.Savings or ExperimentSuite.Looks)
        {
            folder.Open();
            if (request.Experiments == ExperimentSuite.Savings)
                SavingsExperiment.Run(file, request.Options, request.Out, progress, cancel);
            else
                LookExperiment.Run(file, request.Options, request.Out, progress, cancel);
            RunManifest.Write(folder, request, file.Name, RunManifest.InputFiles(file));
            return;
        }
        using (Cascade cascade = Cascade.Load(file))
        {
            var queries = CascadeQueries.Draw(file, request.Options.Seed);
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
        RecordedOutcomes outcomes = RecordedOutcomes.From(all, calibration, CascadeRecords.FeaturesOf(records, all.Models));
        if (policy is not null)
            outcomes = outcomes with { Given = GivenPolicy.On(all, policy, records) };
        ExperimentSuite.Run(request.Experiments, outcomes, request.Options, request.Out, progress, cancel);
        if (request.Experiments == "all" && file.Stages.All(stage => stage.IsLocal))
            using (Cascade models = Cascade.Load(file))
                Speculate(models, request with { Options = Short(request.Options) }, progress, cancel);
        RunManifest.Write(folder, request, file.Name, [.. RunManifest.InputFiles(file), .. PolicyInput(request)]);
    }

    // As one part of many, with fewer prompts and rounds: its intervals are wider, and `all` ends in minutes.
    private static ExperimentOptions Short(ExperimentOptions options) =>
        options with
        {
            SpeculativePrompts = Math.Min(24, options.SpeculativePrompts),
            SpeculativeRounds = Math.Min(4, options.SpeculativeRounds),
        };

    private static bool Speculate(Cascade models, RunRequest request, Action<string, double> progress, CancellationToken cancel)
    {
        if (!SpeculativeExperiment.Run(models, request.Options, request.Out, progress, cancel))
            return false;
        DraftReuse.Run(models, request.Options, request.Out, progress, cancel);
        return true;
    }

    private static void RunTraces(RunRequest request, Action<string, double> progress, CancellationToken cancel)
    {
        if (request.Experiments is ExperimentSuite.Speculative or ExperimentSuite.Savings or ExperimentSuite.Looks)
            throw new ToolkitException(
                $"--experiments {request.Experiments}: expected a cascade of models to run (--config), got --traces"
            );
        progress("reading the traces", 0);
        TraceTable table = TraceReader.ReadTable(request.Traces!);
        RecordedOutcomes outcomes = RecordedOutcomes.From(table, request.Options.Seed, request.Traces!);
        if (request.Policy is not null)
            outcomes = outcomes with { Given = GivenPolicy.On(request.Traces!, table, PolicyFile.Load(request.Policy)) };
        using RunFolder folder = RunFolder.Claim(request.Out);
        folder.Admit(request);
        folder.Open();
        ExperimentSuite.Run(request.Experiments, outcomes, request.Options, request.Out, progress, cancel);
        RunManifest.Write(folder, request, Path.GetFileNameWithoutExtension(request.Traces!), [request.Traces!, .. PolicyInput(request)]);
    }

    private static string[] PolicyInput(RunRequest request) => request.Policy is null ? [] : [request.Policy];

    private sealed class Relay(Action<int> report) : IProgress<int>
    {
        public void Report(int value) => report(value);
    }
}

/// <summary>One result file of a run and of its reproduction.</summary>
/// <param name="Name">The file's name in both folders.</param>
/// <param name="Same">Whether the bytes are the same.</param>
/// <param name="Got">What the reproduction has, in words.</param>
public readonly record struct ReproducedFile(string Name, bool Same, string Got);

/// <summary>`toolkit run --reproduce`: runs a manifest again and compares every result with what the manifest says.</summary>
public static class RunReproduction
{
    /// <summary>
    /// Checks that the inputs are those of the manifest, runs it in another folder, and compares. The two runs may differ
    /// in processors and kernels: results do not depend on them.
    /// </summary>
    /// <param name="manifestFile">The manifest.json of the run.</param>
    /// <param name="config">Where the cascade file is now, or null: where the manifest says, from the current folder.</param>
    /// <param name="traces">The same for a trace file.</param>
    /// <param name="policy">The same for a policy file.</param>
    /// <param name="folder">The folder for the new run; an interrupted reproduction there is gone on with.</param>
    /// <exception cref="ToolkitException">The manifest is faulty, an input is not the one of the run, or the run fails.</exception>
    public static IReadOnlyList<ReproducedFile> Run(
        string manifestFile,
        string? config,
        string? traces,
        string? policy,
        string folder,
        Action<string, double> progress,
        CancellationToken cancel
    )
    {
        RunManifest manifest = RunManifest.Read(manifestFile);
        if (Path.GetFullPath(folder) == Path.GetDirectoryName(Path.GetFullPath(manifestFile)))
            throw new ToolkitException($"{folder}: expected a folder other than the one of the run to reproduce, got the same");
        RunRequest request = manifest.Request with
        {
            Config = config ?? manifest.Request.Config,
            Traces = traces ?? manifest.Request.Traces,
            Policy = policy ?? manifest.Request.Policy,
            Out = folder,
            Resume = true,
        };
        IReadOnlyList<string> source = request.Traces is { } file ? [file] : RunManifest.InputFiles(CascadeFile.Load(request.Config));
        CheckInputs(manifestFile, manifest, request.Policy is { } chosen ? [.. source, chosen] : source);
        ExperimentRun.Run(request, progress, cancel);
        return [.. manifest.Results.Select(result => Compare(result.Key, result.Value, Path.Combine(folder, result.Key)))];
    }

    private static void CheckInputs(string manifestFile, RunManifest manifest, IReadOnlyList<string> inputs)
    {
        if (inputs.Count != manifest.Inputs.Count)
            throw new ToolkitException(
                $"{manifestFile}: inputs_sha256: expected the {manifest.Inputs.Count} files of the run, got {inputs.Count}: {string.Join(", ", inputs)}"
            );
        for (int i = 0; i < inputs.Count; i++)
            if (FileDigest.Sha256(inputs[i]) is var digest && digest != manifest.Inputs[i].Value)
                throw new ToolkitException(
                    $"{inputs[i]}: expected the file of the run ({manifest.Inputs[i].Key}, SHA-256 {manifest.Inputs[i].Value}), got {digest}"
                );
    }

    private static ReproducedFile Compare(string name, string expected, string path) =>
        !File.Exists(path) ? new(name, false, "no such file")
        : FileDigest.Sha256(path) == expected ? new(name, true, "the same bytes")
        : new(name, false, "other bytes");
}
