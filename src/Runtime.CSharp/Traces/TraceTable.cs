using System.Text;
using System.Text.Json;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Traces;

/// <summary>A trace file held compactly: flat arrays of cost, confidence and quality instead of an object per line.</summary>
/// <param name="Models">Names of the stages, in the order of the cascade.</param>
/// <param name="Cascade">
/// What each stage did on each query, in line order. A stage that a line does not mention is not recorded (NaN).
/// </param>
public sealed record TraceTable(IReadOnlyList<string> Models, RecordedCascade Cascade)
{
    /// <summary>
    /// Lines whose id an earlier line has. Where the same query stands twice, it can fall into both parts of a split, and
    /// intervals and guarantees that rest on independent queries are too good.
    /// </summary>
    public int RepeatedIds { get; init; }

    /// <summary>The questions' texts and datasets and the numbers recorded with answers; null where the file holds none of these.</summary>
    public TraceFeatures? Features { get; init; }

    /// <summary>Which group each query is of; null where nobody asked (see <see cref="TraceReader.ReadGroups"/>).</summary>
    public TraceGroups? Groups { get; init; }

    /// <summary>
    /// Whether the stages stand in another order than on the lines: sorted by mean cost, since a cascade goes from cheap to dear.
    /// </summary>
    public bool Sorted { get; init; }
}

/// <summary>Collects the lines of a trace file into the arrays of a TraceTable. One column per model while reading.</summary>
internal sealed class TraceTableBuilder(string file, TraceObjective objective)
{
    private sealed class Column(string model)
    {
        public readonly string Model = model;
        public readonly byte[] Name = Encoding.UTF8.GetBytes(model);
        public readonly List<double> Cost = [],
            Seconds = [], // where the objective is not the cost alone
            Confidence = [],
            Quality = [];
        public readonly List<ulong> Answer = [];

        /// <summary>Numbers recorded with answers, by name; each list ends where the last one was recorded.</summary>
        public readonly Dictionary<string, List<float>> Recorded = [];
        public int Rows => Cost.Count;

        public void Record(string name, int row, double value)
        {
            if (!Recorded.TryGetValue(name, out List<float>? values))
                Recorded[name] = values = [];
            while (values.Count < row)
                values.Add(float.NaN);
            if (values.Count == row)
                values.Add((float)value);
        }

        public void PadTo(int rows)
        {
            while (Cost.Count < rows)
                Set(double.NaN, double.NaN, double.NaN, double.NaN, 0);
        }

        public void Set(double cost, double seconds, double confidence, double quality, ulong answer)
        {
            Cost.Add(cost);
            Seconds.Add(seconds);
            Confidence.Add(confidence);
            Quality.Add(quality);
            Answer.Add(answer);
        }
    }

    private readonly List<Column> _columns = [];
    private readonly long[,] _before = new long[RecordedCascade.MaxStages, RecordedCascade.MaxStages];
    private readonly List<double> _features = [];
    private readonly HashSet<ulong> _ids = []; // hashes of 64 bits
    private readonly Dictionary<string, int> _datasets = [];
    private readonly List<int> _dataset = [];
    private readonly List<(ushort[] Bin, float[] Weight)> _grams = [];
    private readonly List<double> _measures = [];
    private readonly List<(string Name, double Value)> _recorded = []; // of the stage being read
    private bool _hasText;
    private int _width = -1;
    private bool _hasAnswers;
    private int _rows,
        _repeated;
    private long _line;

    /// <summary>Adds one line of the file.</summary>
    public void Add(ReadOnlySpan<byte> json, long line)
    {
        _line = line;
        var reader = new Utf8JsonReader(json);
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
                throw NotAnObject(json);
            ReadLine(ref reader);
            if (reader.Read())
                throw NotAnObject(json);
        }
        catch (Exception fault) when (fault is JsonException or InvalidOperationException)
        {
            // The latter is a text that is no valid Unicode.
            throw NotAnObject(json);
        }
        _rows++;
    }

    private void ReadLine(ref Utf8JsonReader reader)
    {
        bool id = false,
            stages = false,
            features = false;
        string dataset = "",
            prompt = "";
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("stages"u8))
            {
                reader.Read();
                if (stages)
                    throw Error("stages", "one array", "a second one");
                stages = true;
                ReadStages(ref reader);
            }
            else if (reader.ValueTextEquals("id"u8))
            {
                id = Text(ref reader, "id");
                if (!_ids.Add(Hash(reader.ValueSpan)))
                    _repeated++;
            }
            else if (reader.ValueTextEquals("dataset"u8))
            {
                Text(ref reader, "dataset");
                dataset = reader.GetString()!;
            }
            else if (reader.ValueTextEquals("prompt"u8))
            {
                reader.Read();
                if (reader.TokenType == JsonTokenType.String)
                    prompt = reader.GetString()!;
                else
                    reader.Skip();
            }
            else if (reader.ValueTextEquals("split"u8))
                Text(ref reader, "split");
            else if (reader.ValueTextEquals("features"u8))
            {
                features = true;
                ReadFeatures(ref reader);
            }
            else
            {
                reader.Read();
                reader.Skip();
            }
        }
        if (!id)
            throw Error("id", "a string", "nothing");
        if (!stages)
            throw Error("stages", "an array of at least one stage", "nothing");
        if (_width < 0)
            _width = 0;
        if (!features && _width > 0)
            throw Error("features", $"{_width} numbers as on the lines before", "nothing");
        if (!_datasets.TryGetValue(dataset, out int number))
            _datasets[dataset] = number = _datasets.Count;
        _dataset.Add(number);
        AddText(prompt);
    }

    private void AddText(string prompt)
    {
        if (_rows >= TraceFeatures.MostTexts)
        {
            _hasText = false;
            _grams.Clear();
            _measures.Clear();
            return;
        }
        _hasText |= prompt.Length > 0;
        Span<double> measures = stackalloc double[QuestionText.Measures.Count];
        QuestionText.Measure(prompt, measures);
        _measures.AddRange(measures);
        _grams.Add(QuestionText.Grams(prompt));
    }

    private void ReadStages(ref Utf8JsonReader reader)
    {
        const string expected = "an array of at least one stage";
        if (reader.TokenType != JsonTokenType.StartArray)
            throw Error("stages", expected, Got(ref reader));
        int position = 0,
            previous = -1;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.StartObject)
                throw Error($"stages[{position}]", "an object", Got(ref reader));
            var column = ReadStage(ref reader, position, previous);
            if (previous >= 0 && _before[previous, column] == 0)
                _before[previous, column] = _line;
            previous = column;
            position++;
        }
        if (position == 0)
            throw Error("stages", expected, "[]");
    }

    /// <summary>Reads one stage into its column and returns the column's number.</summary>
    private int ReadStage(ref Utf8JsonReader reader, int position, int previous)
    {
        int column = -1,
            seen = 0;
        double cost = double.NaN,
            seconds = double.NaN,
            confidence = double.NaN,
            quality = double.NaN;
        ulong answer = 0;
        _recorded.Clear();
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("cost"u8))
            {
                Once(ref seen, 1, position, "cost");
                cost = Number(ref reader, position, "cost", "a number of at least 0", double.MaxValue, false);
            }
            else if (reader.ValueTextEquals("confidence"u8))
            {
                Once(ref seen, 2, position, "confidence");
                confidence = Number(ref reader, position, "confidence", "a number in [0,1] or null", 1, true);
            }
            else if (reader.ValueTextEquals("quality"u8))
            {
                Once(ref seen, 4, position, "quality");
                quality = Number(ref reader, position, "quality", "a number in [0,1]", 1, false);
            }
            else if (reader.ValueTextEquals("model"u8))
            {
                Once(ref seen, 8, position, "model");
                reader.Read();
                if (reader.TokenType != JsonTokenType.String)
                    throw Error($"stages[{position}].model", "a string", Got(ref reader));
                column = ColumnOf(ref reader, previous + 1);
            }
            else if (reader.ValueTextEquals("answer"u8))
            {
                Once(ref seen, 16, position, "answer");
                reader.Read();
                if (reader.TokenType is JsonTokenType.String or JsonTokenType.Number or JsonTokenType.True or JsonTokenType.False)
                {
                    string text =
                        reader.TokenType == JsonTokenType.String ? reader.GetString()! : Encoding.UTF8.GetString(reader.ValueSpan);
                    answer = Hash(Encoding.UTF8.GetBytes(QuestionText.Normalise(text)));
                    _hasAnswers = true;
                }
                else
                    reader.Skip();
            }
            else if (objective != TraceObjective.Cost && reader.ValueTextEquals("seconds"u8))
            {
                Once(ref seen, 32, position, "seconds");
                seconds = Number(ref reader, position, "seconds", "a number of at least 0", double.MaxValue, false);
            }
            else if (reader.ValueTextEquals("tokens"u8))
            {
                reader.Read();
                Record("tokens", ref reader);
            }
            else if (reader.ValueTextEquals("signals"u8))
            {
                reader.Read();
                if (reader.TokenType != JsonTokenType.StartObject)
                    reader.Skip();
                else
                    while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
                    {
                        string name = reader.GetString()!;
                        reader.Read();
                        Record(name, ref reader);
                    }
            }
            else
            {
                reader.Read();
                reader.Skip();
            }
        }
        if (column < 0)
            throw Error($"stages[{position}].model", "a string", "nothing");
        if (double.IsNaN(cost))
            throw Error($"stages[{position}].cost", "a number of at least 0", "nothing");
        if (double.IsNaN(quality))
            throw Error($"stages[{position}].quality", "a number in [0,1]", "nothing");
        if (objective != TraceObjective.Cost && double.IsNaN(seconds))
            throw Error($"stages[{position}].seconds", "a number of at least 0 ('toolkit collect --times' writes it)", "nothing");
        var target = _columns[column];
        if (target.Rows > _rows)
            throw Error($"stages[{position}].model", "a model once per line", $"{target.Model} again");
        target.PadTo(_rows);
        target.Set(cost, seconds, confidence, quality, answer);
        foreach (var (name, value) in _recorded)
            target.Record(name, _rows, value);
        return column;
    }

    // Numbers and flags are taken; whatever else stands there is passed over.
    private void Record(string name, ref Utf8JsonReader reader)
    {
        if (reader.TokenType == JsonTokenType.Number && reader.TryGetDouble(out double value) && double.IsFinite(value))
            _recorded.Add((name, value));
        else if (reader.TokenType is JsonTokenType.True or JsonTokenType.False)
            _recorded.Add((name, reader.TokenType == JsonTokenType.True ? 1 : 0));
        else
            reader.Skip();
    }

    private void Once(ref int seen, int key, int position, string name)
    {
        if ((seen & key) != 0)
            throw Error($"stages[{position}].{name}", "each key once", "a second one");
        seen |= key;
    }

    private int ColumnOf(ref Utf8JsonReader reader, int guess)
    {
        if (guess < _columns.Count && reader.ValueTextEquals(_columns[guess].Name))
            return guess;
        for (var c = 0; c < _columns.Count; c++)
            if (reader.ValueTextEquals(_columns[c].Name))
                return c;
        if (_columns.Count == RecordedCascade.MaxStages)
            throw Error("stages.model", $"at most {RecordedCascade.MaxStages} models in a file", $"one more, {reader.GetString()}");
        _columns.Add(new Column(reader.GetString()!));
        return _columns.Count - 1;
    }

    private void ReadFeatures(ref Utf8JsonReader reader)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
            throw Error("features", "an array of numbers", Got(ref reader));
        var count = 0;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetDouble(out var x) || !double.IsFinite(x))
                throw Error($"features[{count}]", "a number", Got(ref reader));
            _features.Add(x);
            count++;
        }
        if (_width < 0)
            _width = count;
        if (count != _width)
            throw Error("features", $"{_width} numbers as on the lines before", $"{count}");
    }

    private bool Text(ref Utf8JsonReader reader, string key)
    {
        reader.Read();
        return reader.TokenType == JsonTokenType.String ? true : throw Error(key, "a string", Got(ref reader));
    }

    private double Number(ref Utf8JsonReader reader, int position, string key, string expected, double high, bool nullable)
    {
        reader.Read();
        if (nullable && reader.TokenType == JsonTokenType.Null)
            return double.NaN;
        if (reader.TokenType == JsonTokenType.Number && reader.TryGetDouble(out var x) && x >= 0 && x <= high)
            return x;
        throw Error($"stages[{position}].{key}", expected, Got(ref reader));
    }

    /// <summary>FNV-1a, 64 bits; 0 stays free for "no answer".</summary>
    private static ulong Hash(ReadOnlySpan<byte> text)
    {
        var h = 14695981039346656037UL;
        foreach (var b in text)
            h = (h ^ b) * 1099511628211UL;
        return h == 0 ? 1 : h;
    }

    private ToolkitException Error(string key, string expected, string got) => TraceError.At(file, _line, key, expected, got);

    private ToolkitException NotAnObject(ReadOnlySpan<byte> json) =>
        Error("line", "one JSON object", Encoding.UTF8.GetString(json[..Math.Min(json.Length, 200)]));

    private static string Got(ref Utf8JsonReader reader) =>
        reader.TokenType switch
        {
            JsonTokenType.StartObject => "an object",
            JsonTokenType.StartArray => "an array",
            JsonTokenType.String => $"\"{reader.GetString()}\"",
            _ => Encoding.UTF8.GetString(reader.ValueSpan),
        };

    /// <summary>Puts the columns in the order of the cascade and interleaves them.</summary>
    public TraceTable Build()
    {
        TakeObjective();
        if (_rows == 0)
            throw new ToolkitException($"{file}: expected at least one query, got none");
        if (_columns.Count < 2)
            throw new ToolkitException($"{file}: expected at least 2 models, got {_columns.Count} ({_columns[0].Model})");
        var (order, sorted) = CascadeOrder();
        var n = order.Length;
        var size = checked(_rows * n);
        double[] cost = new double[size],
            confidence = new double[size],
            quality = new double[size];
        var hashes = new ulong[_hasAnswers ? size : 0];
        for (var k = 0; k < n; k++)
        {
            var column = _columns[order[k]];
            column.PadTo(_rows);
            for (var q = 0; q < _rows; q++)
            {
                cost[q * n + k] = column.Cost[q];
                confidence[q * n + k] = column.Confidence[q];
                quality[q * n + k] = column.Quality[q];
                if (_hasAnswers)
                    hashes[q * n + k] = column.Answer[q];
            }
        }
        var labels = new int[hashes.Length];
        for (var i = 0; i < labels.Length; i++)
        {
            // The label of an answer is the first stage of the query that gave the same one.
            var first = i - i % n;
            labels[i] = hashes[i] == 0 ? -1 : Array.IndexOf(hashes, hashes[i], first, n) - first;
        }
        var cascade = RecordedCascade.Create(_rows, n, cost, confidence, quality, labels, Math.Max(0, _width), _features.ToArray());
        return new TraceTable(order.Select(c => _columns[c].Model).ToArray(), cascade)
        {
            RepeatedIds = _repeated,
            Features = Features(order),
            Sorted = sorted,
        };
    }

    // Puts what is to be saved in the place of the costs.
    private void TakeObjective()
    {
        if (objective == TraceObjective.Cost)
            return;
        double cost = Dearest(column => column.Cost),
            seconds = Dearest(column => column.Seconds);
        foreach (Column column in _columns)
            for (int q = 0; q < column.Rows; q++)
                column.Cost[q] =
                    objective == TraceObjective.Latency ? column.Seconds[q] : column.Cost[q] / cost + column.Seconds[q] / seconds;

        // The largest mean over the models; 1 where all is free.
        double Dearest(Func<Column, List<double>> amounts)
        {
            double most = _columns.Max(column => amounts(column).Where(double.IsFinite).DefaultIfEmpty(0).Average());
            return most > 0 ? most : 1;
        }
    }

    private TraceFeatures? Features(int[] order)
    {
        string[] names = [.. _columns.SelectMany(column => column.Recorded.Keys).Distinct().Order(StringComparer.Ordinal)];
        if (!_hasText && _datasets.Count < 2 && names.Length == 0)
            return null;
        var values = new float[checked(_rows * order.Length * names.Length)];
        Array.Fill(values, float.NaN);
        for (int k = 0; k < order.Length; k++)
        for (int s = 0; s < names.Length; s++)
            if (_columns[order[k]].Recorded.TryGetValue(names[s], out List<float>? column))
                for (int q = 0; q < column.Count; q++)
                    values[(q * order.Length + k) * names.Length + s] = column[q];
        return new TraceFeatures
        {
            Datasets = _datasets.Count < 2 ? [] : [.. _datasets.Keys],
            Dataset = _datasets.Count < 2 ? [] : [.. _dataset],
            Measures = _hasText ? [.. _measures] : [],
            Grams = _hasText ? _grams : [],
            Recorded = names,
            Values = values,
        };
    }

    /// <summary>The models by mean cost, among equally dear ones in the order of the lines; whether that is another order than theirs.</summary>
    private (int[] Order, bool Sorted) CascadeOrder()
    {
        int[] order =
        [
            .. Enumerable.Range(0, _columns.Count).OrderBy(c => _columns[c].Cost.Where(x => !double.IsNaN(x)).Average()).ThenBy(c => c),
        ];
        bool sorted = false;
        for (int i = 0; i < order.Length; i++)
        for (int j = i + 1; j < order.Length; j++)
            sorted |= _before[order[j], order[i]] > 0;
        return (order, sorted);
    }
}
