using System.Reflection;
using System.Text.Json;
using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Experiments;

/// <summary>
/// All that a run folder holds: every table that a record of this assembly declares, and the settings of its manifest. What
/// draws, tabulates or quotes a run takes it from here.
/// </summary>
public sealed class RunData
{
    private static readonly MethodInfo ReadTable = typeof(ResultTable).GetMethod(nameof(ResultTable.Read))!;

    private readonly Dictionary<Type, Array> _tables;

    private RunData(Dictionary<Type, Array> tables, (string Key, string Value)[] settings) => (_tables, Settings) = (tables, settings);

    /// <summary>Settings of the run: manifest.json with dotted keys and values as text; empty where there is none.</summary>
    public (string Key, string Value)[] Settings { get; }

    /// <summary>Whether no table has a row (the manifest alone is nothing to draw).</summary>
    public bool IsEmpty => _tables.Values.All(rows => rows.Length == 0);

    /// <summary>Reads every table of a run folder, and its manifest.</summary>
    /// <exception cref="ToolkitException">The folder is missing, or a file in it is malformed.</exception>
    public static RunData Load(string folder)
    {
        if (!Directory.Exists(folder))
            throw new ToolkitException($"{folder}: expected the folder of a run, got no such folder");
        var tables = new Dictionary<Type, Array>();
        foreach (Type row in typeof(RunData).Assembly.GetTypes())
            if (row.IsDefined(typeof(RunTableAttribute)))
                tables[row] = (Array)ReadTable.MakeGenericMethod(row).Invoke(null, BindingFlags.DoNotWrapExceptions, null, [folder], null)!;
        return new RunData(tables, ReadSettings(Path.Combine(folder, RunManifest.FileName)));
    }

    /// <summary>The rows of a table, in the order of its file; none where the run did not write it.</summary>
    public T[] Table<T>() => (T[])_tables[typeof(T)];

    /// <summary>A line of headline.csv, or null where the run has none or it holds no number.</summary>
    public HeadlineNumber? Headline(string metric) =>
        Table<HeadlineNumber>().FirstOrDefault(h => h.Metric == metric && double.IsFinite(h.Value));

    /// <summary>The models' names as headline.csv has them, in the order of the stages. A run on recorded traces has no other.</summary>
    public string[] HeadlineModels =>
        [
            .. Table<HeadlineNumber>()
                .Where(h => h.Metric.StartsWith(HeadlineNumber.AccuracyOf, StringComparison.Ordinal))
                .Select(h => h.Metric[HeadlineNumber.AccuracyOf.Length..]),
        ];

    /// <summary>The name of a stage's model (from 1), from whichever table gives it; "model k" where none does.</summary>
    public string ModelName(int stage) =>
        Table<StageAccuracy>().FirstOrDefault(s => s.Stage == stage)?.Model
        ?? Table<FeatureQuality>().FirstOrDefault(s => s.Stage == stage)?.Model
        ?? Table<ReliabilityPoint>().FirstOrDefault(s => s.Stage == stage)?.Model
        ?? HeadlineModels.ElementAtOrDefault(stage - 1)
        ?? $"model {stage}";

    /// <summary>
    /// " (cheapest model = 1)" where the cheapest model costs 1, else nothing: recorded traces have a unit of their own, which
    /// their file does not name.
    /// </summary>
    public string CostUnit
    {
        get
        {
            double[] costs =
            [
                .. Table<OperatingPoint>().Where(p => PolicyRegistry.IsSingle(p.Policy)).Select(p => p.Cost),
                .. Table<PolicyComparison>().Where(c => PolicyRegistry.IsSingle(c.Baseline)).Select(c => c.CostBaseline),
            ];
            return costs.Length > 0 && Math.Abs(costs.Min() - 1) < 1e-9 ? " (cheapest model = 1)" : "";
        }
    }

    private static (string, string)[] ReadSettings(string path)
    {
        if (!File.Exists(path))
            return [];
        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllText(path));
            return [.. Flatten("", document.RootElement)];
        }
        catch (JsonException fault)
        {
            throw new ToolkitException($"{path}:{fault.LineNumber.GetValueOrDefault() + 1}: expected JSON, got: {fault.Message}", fault);
        }
    }

    private static IEnumerable<(string, string)> Flatten(string prefix, JsonElement element)
    {
        string Under(string name) => prefix.Length == 0 ? name : $"{prefix}.{name}";
        return element.ValueKind switch
        {
            JsonValueKind.Object => element.EnumerateObject().SelectMany(p => Flatten(Under(p.Name), p.Value)),
            JsonValueKind.Array when element.EnumerateArray().Any(e => e.ValueKind == JsonValueKind.Object) => element
                .EnumerateArray()
                .SelectMany((e, i) => Flatten(Under($"{i + 1}"), e)),
            JsonValueKind.Array => [(prefix, string.Join(", ", element.EnumerateArray()))],
            _ => [(prefix, element.ToString())],
        };
    }
}
