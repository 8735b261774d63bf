using System.Runtime.InteropServices;
using System.Text.Json;
using OptimalStopping.Runtime.Cascades.Features;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// A pipeline as it stands in policy.json under `features`. Long rows of single-precision numbers are base64 of their
/// little-endian bytes; of the question's n-grams only those that training saw often enough are kept. Reading back gives the
/// same predictions bit for bit.
/// </summary>
internal static class FeaturePipelineFile
{
    public static void Write(Utf8JsonWriter json, FeaturePipeline pipeline, IReadOnlyList<string> models)
    {
        Texts(json, "datasets", pipeline.Datasets);
        Texts(json, "recorded", pipeline.Recorded);
        json.WriteNumber("query_features", pipeline.RecordedContext);
        json.WriteBoolean("has_question", pipeline.Question is not null);
        if (pipeline.Question is { } question)
        {
            json.WriteStartObject("question");
            Write(json, question);
            json.WriteEndObject();
        }
        json.WriteStartArray("stages");
        for (int k = 0; k < models.Count; k++)
        {
            StageModel stage = pipeline.Stages[k];
            json.WriteStartObject();
            json.WriteString("model", models[k]);
            Write(json, "confidence", stage.Confidence);
            Write(json, "cost", stage.Cost);
            json.WriteStartArray("recorded");
            foreach (QuantileScale scale in stage.Recorded)
            {
                json.WriteStartObject();
                Values(json, scale);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteStartObject("regression");
            PolicyForm.Write(json, stage.Regression);
            json.WriteEndObject();
            PolicyForm.Numbers(json, "signals", stage.Monotone?.Signals ?? []);
            PolicyForm.Numbers(json, "values", stage.Monotone?.Values ?? []);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    /// <exception cref="ToolkitException">With file, key, what was expected and what was got.</exception>
    public static FeaturePipeline Read(JsonMap saved, IReadOnlyList<string> models)
    {
        string[] datasets = saved.Texts("datasets"),
            recorded = saved.Texts("recorded");
        int own = saved.Integer("query_features", 0, 1_000_000);
        QuestionModel? question = saved.Flag("has_question") ? ReadQuestion(saved.Map("question"), datasets.Length, models.Count) : null;
        JsonMap[] stages = saved.Maps("stages", models.Count);
        var read = new StageModel[stages.Length];
        for (int k = 0; k < stages.Length; k++)
            read[k] = ReadStage(stages[k], models[k], recorded.Length);
        saved.RejectUnknown();
        return new FeaturePipeline(datasets, recorded, question, read, own);
    }

    private static void Write(Utf8JsonWriter json, QuestionModel question)
    {
        int targets = question.Regression.Targets;
        ushort[] bins = [.. Enumerable.Range(0, question.Frequency.Length).Where(b => question.Frequency[b] != 0).Select(b => (ushort)b)];
        json.WriteBoolean("text", question.Frequency.Length > 0);
        json.WriteString("bins", Base64<ushort>(bins));
        json.WriteString("frequency", Base64<float>([.. bins.Select(b => question.Frequency[b])]));
        PolicyForm.Numbers(json, "means", question.Means);
        PolicyForm.Numbers(json, "scales", question.Scales);
        json.WriteNumber("targets", targets);
        json.WriteString("mean", Base64<float>(question.Regression.Mean));
        // Columns of n-grams that are left out have weight 0.
        IEnumerable<int> columns = bins.Select(b => (int)b)
            .Concat(Enumerable.Range(question.Frequency.Length, question.Regression.Width - question.Frequency.Length));
        json.WriteString(
            "weights",
            Base64<float>([.. columns.SelectMany(j => question.Regression.Weights.AsSpan(j * targets, targets).ToArray())])
        );
    }

    private static QuestionModel ReadQuestion(JsonMap saved, int datasets, int stages)
    {
        bool text = saved.Flag("text");
        ushort[] bins = Binary<ushort>(saved, "bins", null);
        float[] shown = Finite(saved, "frequency", bins.Length);
        int measures = text ? QuestionText.Measures.Count : 0;
        double[] means = saved.Numbers("means", measures),
            scales = saved.Numbers("scales", measures);
        int targets = saved.Integer("targets", stages, 2 * stages);
        if (targets != stages && targets != 2 * stages)
            throw saved.Error("targets", $"{stages} or {2 * stages}", $"{targets}");
        float[] mean = Finite(saved, "mean", targets),
            kept = Finite(saved, "weights", (bins.Length + measures + datasets) * targets);
        var frequency = new float[text ? QuestionText.Bins : 0];
        var weights = new float[(frequency.Length + measures + datasets) * targets];
        for (int i = 0; i < bins.Length; i++)
        {
            if (bins[i] >= frequency.Length || (i > 0 && bins[i] <= bins[i - 1]))
                throw saved.Error("bins", $"increasing numbers below {frequency.Length}", $"{bins[i]}");
            frequency[bins[i]] = shown[i];
            kept.AsSpan(i * targets, targets).CopyTo(weights.AsSpan(bins[i] * targets));
        }
        kept.AsSpan(bins.Length * targets).CopyTo(weights.AsSpan(frequency.Length * targets));
        saved.RejectUnknown();
        return new QuestionModel(
            frequency,
            means,
            scales,
            datasets,
            stages,
            new SparseRidge(frequency.Length + measures + datasets, targets, mean, weights)
        );
    }

    private static StageModel ReadStage(JsonMap saved, string model, int recorded)
    {
        saved.Literal("model", model);
        QuantileScale confidence = ReadScale(saved.Map("confidence")),
            cost = ReadScale(saved.Map("cost"));
        QuantileScale[] others = [.. saved.Maps("recorded", recorded).Select(ReadScale)];
        LogisticCalibrator regression = PolicyForm.ReadRegression(saved.Map("regression"), StageModel.Inputs(recorded));
        double[] signals = saved.Numbers("signals", null),
            values = saved.Numbers("values", signals.Length);
        Increasing(saved, "signals", signals);
        saved.RejectUnknown();
        return new StageModel(confidence, cost, others, regression, signals.Length == 0 ? null : new IsotonicCalibrator(signals, values));
    }

    private static void Write(Utf8JsonWriter json, string key, QuantileScale scale)
    {
        json.WriteStartObject(key);
        Values(json, scale);
        json.WriteEndObject();
    }

    private static void Values(Utf8JsonWriter json, QuantileScale scale)
    {
        PolicyForm.Numbers(json, "knots", scale.Knots);
        PolicyForm.Numbers(json, "ranks", scale.Ranks);
    }

    private static QuantileScale ReadScale(JsonMap saved)
    {
        double[] knots = saved.Numbers("knots", null),
            ranks = saved.Numbers("ranks", knots.Length);
        Increasing(saved, "knots", knots);
        saved.RejectUnknown();
        return new QuantileScale(knots, ranks);
    }

    private static void Increasing(JsonMap saved, string key, double[] values)
    {
        for (int i = 1; i < values.Length; i++)
            if (!(values[i] > values[i - 1]))
                throw saved.Error($"{key}[{i}]", $"a number above {values[i - 1]}", $"{values[i]}");
    }

    private static void Texts(Utf8JsonWriter json, string key, IEnumerable<string> values)
    {
        json.WriteStartArray(key);
        foreach (string value in values)
            json.WriteStringValue(value);
        json.WriteEndArray();
    }

    private static string Base64<T>(T[] values)
        where T : unmanaged => Convert.ToBase64String(MemoryMarshal.AsBytes(values.AsSpan()));

    private static T[] Binary<T>(JsonMap saved, string key, int? count)
        where T : unmanaged
    {
        string text = saved.Text(key);
        string expected = count is null ? "base64 of numbers" : $"base64 of {count} numbers";
        byte[] bytes;
        try
        {
            bytes = Convert.FromBase64String(text);
        }
        catch (FormatException)
        {
            throw saved.Error(key, expected, Json.Short(text));
        }
        int size = Marshal.SizeOf<T>();
        if (bytes.Length % size != 0 || (count is not null && bytes.Length != (long)count * size))
            throw saved.Error(key, expected, $"{bytes.Length} bytes");
        return MemoryMarshal.Cast<byte, T>(bytes).ToArray();
    }

    private static float[] Finite(JsonMap saved, string key, int count)
    {
        float[] values = Binary<float>(saved, key, count);
        return Array.TrueForAll(values, float.IsFinite) ? values : throw saved.Error(key, "finite numbers", "others");
    }
}
