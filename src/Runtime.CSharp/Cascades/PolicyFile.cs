using System.Text.Encodings.Web;
using System.Text.Json;
using OptimalStopping.Runtime.Cascades.Features;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>What a policy guarantees, and what the guarantee rests on.</summary>
/// <param name="MaxLoss">Most expected quality that the policy may lose against always asking the reference model.</param>
/// <param name="Delta">Most probability, over the draw of the queries below, that it loses more.</param>
/// <param name="Reference">The model that the policy is measured against.</param>
/// <param name="Queries">Queries that the guarantee was tested on; the policy was not fitted on them.</param>
/// <param name="Candidates">Operating points that were to be tested, in a fixed order.</param>
/// <param name="Passed">How many passed; 0 when the policy is the reference model itself.</param>
public sealed record PolicyGuarantee(double MaxLoss, double Delta, string Reference, int Queries, int Candidates, int Passed)
{
    /// <summary>The budget of a query, in the traces' units of cost; NaN where cost is not bounded.</summary>
    public double MaxCost { get; init; } = double.NaN;

    /// <summary>Most probability that a query costs more than the budget; NaN where cost is not bounded.</summary>
    public double CostRisk { get; init; } = double.NaN;

    /// <summary>Most quality that the answers given are expected to lack; NaN for a policy that gives all its answers.</summary>
    public double MaxRisk { get; init; } = double.NaN;

    /// <summary>The field by which the queries fall into groups; null where the guarantee is about all queries together.</summary>
    public string? GroupColumn { get; init; }

    /// <summary>Groups in each of which the guarantee holds; 0 without groups.</summary>
    public int Groups { get; init; }

    /// <summary>The guarantee in one sentence.</summary>
    public string Statement
    {
        get
        {
            string quality = double.IsNaN(MaxRisk) ? "quality of this policy" : "quality of this policy's answers, given or withheld,",
                groups = GroupColumn is null ? "" : $", in each of {Groups} groups by '{GroupColumn}'",
                cost = double.IsNaN(MaxCost)
                    ? ""
                    : FormattableString.Invariant(
                        $", and a query costs more than {MaxCost:0.######} with a probability of at most {CostRisk:0.####}"
                    ),
                risk = double.IsNaN(MaxRisk)
                    ? ""
                    : FormattableString.Invariant(
                        $", and the expected quality of the answers that it gives is at least {1 - MaxRisk:0.####}"
                    );
            return FormattableString.Invariant(
                    $"With probability at least {1 - Delta:0.####} over the draw of the {Queries} queries it was tested on, the expected {quality} is at most {MaxLoss:0.####} below that of always asking {Reference}, on queries drawn from where those were"
                )
                + groups
                + cost
                + risk
                + ".";
        }
    }
}

/// <summary>Means over the queries that the guarantee was tested on, with and without the policy.</summary>
public sealed record PolicyMeasurement(double Quality, double Cost, double ReferenceQuality, double ReferenceCost)
{
    /// <summary>Share of the reference model's cost that the policy saves.</summary>
    public double Saved => ReferenceCost > 0 ? 1 - Cost / ReferenceCost : 0;
}

/// <summary>Where a policy comes from.</summary>
/// <param name="Toolkit">Version that wrote it.</param>
/// <param name="Traces">Name of the trace file.</param>
/// <param name="Sha256">Hash of the trace file.</param>
/// <param name="Seed">Seed of the split.</param>
/// <param name="FitQueries">Queries that the policy was fitted on.</param>
public sealed record PolicyOrigin(string Toolkit, string Traces, string Sha256, int Seed, int FitQueries);

/// <summary>
/// A stopping policy with its guarantee, as `toolkit calibrate` writes it to policy.json and `decode`, `run` and `serve`
/// read it. Everything is in the one file: the trace that it was fitted on is not needed again. Reading back gives the
/// same numbers bit for bit.
/// </summary>
/// <param name="Models">Names of the cascade's models, from the first stage to the last.</param>
/// <param name="Lambda">Price of cost that the policy was planned for; NaN for a policy without one.</param>
/// <param name="Policy">The policy itself; safe to share between threads.</param>
/// <param name="Calibration">
/// How a live model's features become the confidence that the policy expects; null when it expects the confidence that
/// the traces record.
/// </param>
public sealed record PolicyFile(
    IReadOnlyList<string> Models,
    double Lambda,
    IStoppingPolicy Policy,
    ConfidenceCalibration? Calibration,
    PolicyGuarantee Guarantee,
    PolicyMeasurement Measured,
    PolicyOrigin Origin
)
{
    /// <summary>Tells questions that are unlike all that the policy was calibrated on; null where the calibration had no texts, or too few.</summary>
    public Familiarity? Familiarity { get; init; }

    /// <summary>When the policy says "not sure" instead of its answer; null for one that always answers.</summary>
    public Abstention? Abstention { get; init; }

    /// <summary>The groups that the guarantee was tested on; empty without groups.</summary>
    public IReadOnlyList<PolicyGroup> Groups { get; init; } = [];

    /// <summary>
    /// What turns a question and the answers so far into the context and the confidences that the policy expects; null for a
    /// policy that sees the confidences alone.
    /// </summary>
    public FeaturePipeline? Features { get; init; }

    private const string Format = "optimal-stopping policy";

    // A file without features is what the first version wrote.
    private const int Plain = 1,
        WithFeatures = 2;

    private static readonly JsonWriterOptions Layout = new() { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The server of each remote stage as it was at calibration, null for other stages; empty where none is known.</summary>
    public IReadOnlyList<ServerFingerprint?> Servers { get; init; } = [];

    /// <summary>With the servers that answered the records of a trace file.</summary>
    /// <exception cref="ToolkitException">The file cannot be read.</exception>
    public PolicyFile WithServersOf(string traces) => this with { Servers = ServerFingerprint.Read(traces) };

    /// <summary>Reads a policy file.</summary>
    /// <exception cref="ToolkitException">With file, key, what was expected and what was got.</exception>
    public static PolicyFile Load(string path)
    {
        using JsonDocument document = Json.Open(path);
        var root = JsonMap.From(path, document.RootElement);
        root.Literal("format", Format);
        int version = root.Integer("version", 1, int.MaxValue);
        if (version is not (Plain or WithFeatures))
            throw root.Error("version", $"{Plain} or {WithFeatures} (the versions that this toolkit reads)", $"{version}");
        string[] models = root.Texts("models");
        if (models.Length is < 1 or > 16 || models.Distinct().Count() != models.Length)
            throw root.Error("models", "1 to 16 different names", string.Join(", ", models));
        double lambda = root.IsNull("lambda") ? double.NaN : root.Number("lambda", 0, double.MaxValue);

        JsonMap stated = root.Map("guarantee");
        string statement = stated.Text("statement");
        var guarantee = new PolicyGuarantee(
            stated.Number("max_loss", 0, 1),
            stated.Number("delta", 0, 1),
            stated.OneOf("reference", models),
            stated.Integer("queries", 1, int.MaxValue),
            stated.Integer("candidates", 0, int.MaxValue),
            stated.Integer("passed", 0, int.MaxValue)
        )
        {
            MaxCost = stated.NumberOr("max_cost", 0, double.MaxValue, double.NaN),
            CostRisk = stated.NumberOr("cost_risk", 0, 1, double.NaN),
            MaxRisk = stated.NumberOr("max_risk", 0, 1, double.NaN),
            GroupColumn = stated.TextOr("group_column", null),
            Groups = stated.Has("groups") ? stated.Integer("groups", 1, TraceGroups.Most) : 0,
        };
        if (guarantee.GroupColumn is null != (guarantee.Groups == 0))
            throw stated.Error("groups", "group_column and groups together", "one of them");
        if (double.IsNaN(guarantee.MaxCost) != double.IsNaN(guarantee.CostRisk))
            throw stated.Error("max_cost", "max_cost and cost_risk together", "one of them");
        // A guarantee that was edited by hand must not be printed as if it had been tested.
        if (statement != guarantee.Statement)
            throw stated.Error("statement", $"'{guarantee.Statement}'", $"'{statement}'");
        stated.RejectUnknown();

        JsonMap means = root.Map("measured");
        var measured = new PolicyMeasurement(
            means.Number("quality", 0, 1),
            means.Number("cost", 0, double.MaxValue),
            means.Number("reference_quality", 0, 1),
            means.Number("reference_cost", 0, double.MaxValue)
        );
        means.RejectUnknown();

        JsonMap source = root.Map("origin");
        var origin = new PolicyOrigin(
            source.Text("toolkit"),
            source.Text("traces"),
            source.Text("sha256"),
            source.Integer("seed", int.MinValue, int.MaxValue),
            source.Integer("fit_queries", 0, int.MaxValue)
        );
        source.RejectUnknown();

        ConfidenceCalibration? signals = ReadConfidence(root.Map("confidence"), models.Length);
        JsonMap policy = root.Map("policy");
        string kind = policy.OneOf("kind", [.. PolicyRegistry.Forms.Select(form => form.Kind)]);
        IStoppingPolicy read = PolicyRegistry.Forms.First(form => form.Kind == kind).Read(policy, models);
        policy.RejectUnknown();
        FeaturePipeline? features = version == WithFeatures ? FeaturePipelineFile.Read(root.Map("features"), models) : null;
        int columns = read is SubsetPolicy subset ? subset.Columns.Append(-1).Max() + 1 : 0;
        if (columns > (features?.ContextWidth ?? 0))
            throw root.Error("features", $"at least {columns} columns for the policy", $"{features?.ContextWidth ?? 0}");
        Familiarity? familiarity = ReadFamiliarity(root);
        Abstention? abstention = root.Has("abstain") ? Abstention.Read(root.Map("abstain"), models.Length) : null;
        if (!(abstention?.MaxRisk ?? double.NaN).Equals(guarantee.MaxRisk))
            throw root.Error("abstain", $"the guarantee's max_risk, {guarantee.MaxRisk}", $"{abstention?.MaxRisk ?? double.NaN}");
        PolicyGroup[] groups = root.Has("groups") ? [.. root.Maps("groups").Select(PolicyGroup.Read)] : [];
        if (groups.Count(group => group.Covered) != guarantee.Groups)
            throw root.Error("groups", $"{guarantee.Groups} that the guarantee covers", $"{groups.Count(group => group.Covered)}");
        IReadOnlyList<ServerFingerprint?> servers = root.Has("servers") ? ReadServers(root, models) : [];
        root.RejectUnknown();
        return new PolicyFile(models, lambda, read, signals, guarantee, measured, origin)
        {
            Familiarity = familiarity,
            Features = features,
            Abstention = abstention,
            Groups = groups,
            Servers = servers,
        };
    }

    // Files that were written before there was one have none.
    private static Familiarity? ReadFamiliarity(JsonMap root)
    {
        if (!root.Has("familiarity"))
            return null;
        string text = root.Text("familiarity");
        try
        {
            return Familiarity.Load(text);
        }
        catch (FormatException error)
        {
            throw root.Error("familiarity", error.Message.Replace("expected ", "", StringComparison.Ordinal), Json.Short(text));
        }
    }

    /// <summary>Writes the file beside its place first, then moves it there.</summary>
    /// <exception cref="ToolkitException">The place cannot be written to.</exception>
    public void Save(string path)
    {
        try
        {
            if (Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder)
                Directory.CreateDirectory(folder);
        }
        catch (Exception error) when (AtomicFile.IsWriteError(error))
        {
            throw AtomicFile.Error(path, error);
        }
        AtomicFile.Write(path, stream =>
        {
            using var json = new Utf8JsonWriter(stream, Layout);
            Write(json);
        });
    }

    /// <summary>Numbers known before any model runs that the policy wants with each query; 0 for none.</summary>
    public int QueryFeatures => Features?.RecordedContext ?? Form.QueryFeatures(Policy);

    /// <summary>The confidence in [0,1] that the policy expects after a stage wrote an answer with these features.</summary>
    public double Confidence(int stage, ConfidenceFeatures features) =>
        Calibration?.Confidence(stage, features) ?? Math.Clamp(features.RawConfidence, 0, 1);

    /// <summary>Checks that a cascade has the models that the policy was made for, in the same order.</summary>
    /// <param name="place">File that names the cascade's models, for the message.</param>
    /// <exception cref="ToolkitException">It has others.</exception>
    public void RequireModels(IReadOnlyList<string> models, string place)
    {
        if (!models.SequenceEqual(Models))
            throw new ToolkitException(
                $"{place}: expected the models of the policy ({string.Join(", ", Models)}), got {string.Join(", ", models)}"
            );
    }

    /// <summary>Checks that traces have as many numbers with each query as the policy wants.</summary>
    /// <exception cref="ToolkitException">They have more or fewer.</exception>
    public void RequireQueryFeatures(int width, string traces)
    {
        if (width != QueryFeatures)
            throw new ToolkitException($"{traces}: expected {QueryFeatures} features of each query as the policy wants, got {width}");
    }

    /// <summary>Recorded queries as the policy sees them: with the context and the confidences that its pipeline makes.</summary>
    /// <param name="data">Outcomes with the confidences that <see cref="Confidence"/> gives, or that the traces record.</param>
    /// <param name="features">What else the traces record; null for nothing.</param>
    /// <param name="traces">Their name, for messages.</param>
    /// <exception cref="ToolkitException">The traces lack what the policy needs.</exception>
    public RecordedCascade View(RecordedCascade data, TraceFeatures? features, string traces)
    {
        RequireQueryFeatures(data.ContextWidth, traces);
        try
        {
            return Features is null ? data : Features.Describe(features, data);
        }
        catch (ToolkitException error)
        {
            throw new ToolkitException($"{traces}: {error.Message}");
        }
    }

    /// <summary>Checks that the policy needs nothing but what a question and the models say.</summary>
    /// <exception cref="ToolkitException">It was fitted on traces with features of the queries, or with numbers that only the log holds.</exception>
    public void RequireLive()
    {
        if (Features?.Recorded.FirstOrDefault(name => !FeaturedQuestion.IsLive(name)) is { } logged)
            throw new ToolkitException(
                $"policy: expected one that needs only what live stages tell, got one that wants '{logged}' with each answer; calibrate with --policy {PolicyRegistry.Recall}, or on traces without it"
            );
        if (QueryFeatures > 0)
            throw new ToolkitException(
                $"policy: expected one without query features, got one that wants {QueryFeatures} numbers with each query; calibrate on traces without 'features'"
            );
    }

    private PolicyForm Form =>
        PolicyRegistry.Forms.FirstOrDefault(form => form.Holds(Policy))
        ?? throw new ToolkitException(
            $"policy: expected one that can be saved ({string.Join(", ", PolicyRegistry.Forms.Select(form => form.Kind))}), got a {Policy.GetType().Name}"
        );

    private void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("format", Format);
        json.WriteNumber("version", Features is null ? Plain : WithFeatures);
        json.WriteStartArray("models");
        foreach (string model in Models)
            json.WriteStringValue(model);
        json.WriteEndArray();
        if (double.IsNaN(Lambda))
            json.WriteNull("lambda");
        else
            json.WriteNumber("lambda", Lambda);

        json.WriteStartObject("guarantee");
        json.WriteString("statement", Guarantee.Statement);
        json.WriteNumber("max_loss", Guarantee.MaxLoss);
        json.WriteNumber("delta", Guarantee.Delta);
        json.WriteString("reference", Guarantee.Reference);
        json.WriteNumber("queries", Guarantee.Queries);
        json.WriteNumber("candidates", Guarantee.Candidates);
        json.WriteNumber("passed", Guarantee.Passed);
        if (!double.IsNaN(Guarantee.MaxCost))
        {
            json.WriteNumber("max_cost", Guarantee.MaxCost);
            json.WriteNumber("cost_risk", Guarantee.CostRisk);
        }
        if (!double.IsNaN(Guarantee.MaxRisk))
            json.WriteNumber("max_risk", Guarantee.MaxRisk);
        if (Guarantee.GroupColumn is { } column)
        {
            json.WriteString("group_column", column);
            json.WriteNumber("groups", Guarantee.Groups);
        }
        json.WriteEndObject();

        json.WriteStartObject("measured");
        json.WriteNumber("quality", Measured.Quality);
        json.WriteNumber("cost", Measured.Cost);
        json.WriteNumber("reference_quality", Measured.ReferenceQuality);
        json.WriteNumber("reference_cost", Measured.ReferenceCost);
        json.WriteEndObject();

        json.WriteStartObject("origin");
        json.WriteString("toolkit", Origin.Toolkit);
        json.WriteString("traces", Origin.Traces);
        json.WriteString("sha256", Origin.Sha256);
        json.WriteNumber("seed", Origin.Seed);
        json.WriteNumber("fit_queries", Origin.FitQueries);
        json.WriteEndObject();

        Abstention?.Write(json);
        if (Groups.Count > 0)
        {
            json.WriteStartArray("groups");
            foreach (PolicyGroup group in Groups)
                group.Write(json);
            json.WriteEndArray();
        }
        WriteConfidence(json, Calibration);
        if (Servers.Count > 0)
            WriteServers(json);
        json.WriteStartObject("policy");
        PolicyForm form = Form;
        json.WriteString("kind", form.Kind);
        form.Write(json, Policy, Models);
        json.WriteEndObject();
        if (Features is not null)
        {
            json.WriteStartObject("features");
            FeaturePipelineFile.Write(json, Features, Models);
            json.WriteEndObject();
        }
        if (Familiarity is not null)
            json.WriteString("familiarity", Familiarity.Save());
        json.WriteEndObject();
    }

    private void WriteServers(Utf8JsonWriter json)
    {
        json.WriteStartArray("servers");
        for (int k = 0; k < Servers.Count; k++)
            if (Servers[k] is { } server)
            {
                json.WriteStartObject();
                json.WriteString("stage", Models[k]);
                json.WriteString("model", server.Identity.Model);
                if (server.Identity.Version is { } version)
                    json.WriteString("version", version);
                json.WriteBoolean("log_probabilities", server.Identity.HasLogProbabilities);
                json.WriteNumber("confidence", server.Confidence);
                json.WriteNumber("deviation", server.Deviation);
                json.WriteNumber("answers", server.Answers);
                json.WriteEndObject();
            }
        json.WriteEndArray();
    }

    private static ServerFingerprint?[] ReadServers(JsonMap root, string[] models)
    {
        var servers = new ServerFingerprint?[models.Length];
        foreach (JsonMap server in root.Maps("servers"))
        {
            int stage = Array.IndexOf(models, server.OneOf("stage", models));
            if (servers[stage] is not null)
                throw server.Error("stage", "each stage once", models[stage]);
            servers[stage] = new ServerFingerprint(
                new ServerIdentity(server.Text("model"), server.TextOr("version", null), server.Flag("log_probabilities")),
                server.Number("confidence", 0, 1),
                server.Number("deviation", 0, 1),
                server.Integer("answers", 0, int.MaxValue)
            );
            server.RejectUnknown();
        }
        return servers;
    }

    private static void WriteConfidence(Utf8JsonWriter json, ConfidenceCalibration? signals)
    {
        json.WriteStartObject("confidence");
        json.WriteString("kind", signals is null ? "recorded" : "signals");
        if (signals is not null)
        {
            json.WriteStartArray("stages");
            foreach (var stage in signals.Stages)
            {
                json.WriteStartObject();
                PolicyForm.Write(json, stage);
                json.WriteEndObject();
            }
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    private static ConfidenceCalibration? ReadConfidence(JsonMap confidence, int models)
    {
        string kind = confidence.OneOf("kind", ["recorded", "signals"]);
        ConfidenceCalibration? signals = null;
        if (kind == "signals")
        {
            JsonMap[] stages = confidence.Maps("stages", models);
            signals = ConfidenceCalibration.Of(stages.Select(stage => PolicyForm.ReadRegression(stage, ConfidenceCalibration.Inputs)));
        }
        confidence.RejectUnknown();
        return signals;
    }
}
