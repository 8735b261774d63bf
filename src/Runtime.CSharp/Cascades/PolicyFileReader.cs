using System.Text.Json;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// Reads policy.json strictly: every key must be there, unknown ones are faults, and every fault names the place, what
/// was expected and what was got.
/// </summary>
internal static class PolicyFileReader
{
    public static PolicyFile Read(string path)
    {
        using JsonDocument document = Json.Open(path);
        var root = JsonMap.From(path, document.RootElement);
        root.Literal("format", PolicyFileWriter.Format);
        if (root.Integer("version", 1, int.MaxValue) is var version && version != PolicyFileWriter.Version)
            throw root.Error("version", $"{PolicyFileWriter.Version} (the version that this toolkit writes)", $"{version}");
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
        );
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
        IStoppingPolicy read =
            policy.OneOf("kind", ["cascade", "planned"]) == "cascade" ? ReadCascade(policy, models) : ReadPlanned(policy, models);
        policy.RejectUnknown();
        root.RejectUnknown();
        return new PolicyFile(models, lambda, read, signals, guarantee, measured, origin);
    }

    private static ConfidenceCalibration? ReadConfidence(JsonMap confidence, int models)
    {
        string kind = confidence.OneOf("kind", ["recorded", "signals"]);
        ConfidenceCalibration? signals = null;
        if (kind == "signals")
        {
            JsonMap[] stages = confidence.Maps("stages", models);
            signals = ConfidenceCalibration.Of([
                .. stages.Select(stage =>
                {
                    var fit = new LogisticCalibrator(
                        stage.Numbers("means", ConfidenceCalibration.Inputs),
                        stage.Numbers("scales", ConfidenceCalibration.Inputs),
                        stage.Numbers("weights", ConfidenceCalibration.Inputs),
                        stage.Number("intercept", double.MinValue, double.MaxValue),
                        stage.Number("ridge", 0, double.MaxValue)
                    );
                    if (fit.Scales.Any(scale => !(scale > 0)))
                        throw stage.Error("scales", "numbers above 0", string.Join(", ", fit.Scales));
                    stage.RejectUnknown();
                    return fit;
                }),
            ]);
        }
        confidence.RejectUnknown();
        return signals;
    }

    private static ThresholdCascade ReadCascade(JsonMap policy, string[] models)
    {
        string[] names = policy.Texts("chain");
        int[] chain = [.. names.Select(name => Array.IndexOf(models, name))];
        double[] thresholds = policy.Numbers("thresholds", Math.Max(0, chain.Length - 1));
        try
        {
            return new ThresholdCascade(models.Length, chain, thresholds);
        }
        catch (ArgumentException e)
        {
            throw policy.Error("chain", "some of the models, in their order", $"{string.Join(", ", names)}: {e.Message}");
        }
    }

    private static PlannedPolicy ReadPlanned(JsonMap policy, string[] models)
    {
        var actions = Enum.Parse<ActionSet>(policy.OneOf("actions", ["chain", "jump", "recall"]), ignoreCase: true);
        var space = new StateSpace(models.Length, actions, policy.Integer("window", 1, RecordedCascade.MaxStages));
        int features = policy.Integer("features", 0, 1_000_000);
        bool answers = policy.Flag("answers");
        bool confidences = policy.Flag("confidences");
        var shape = new BasisShape(policy.Integer("knots", 0, 1000), policy.Flag("products"), confidences);
        JsonMap[] scales = policy.Maps("scales", models.Length);
        var inputs = new StateInputs(new ConfidenceScale[models.Length], new bool[models.Length], answers, features, shape);
        for (int k = 0; k < models.Length; k++)
        {
            scales[k].Literal("model", models[k]);
            inputs.HasNull[k] = scales[k].Flag("nulls");
            double[] confidence = scales[k].Numbers("confidence", null),
                rank = scales[k].Numbers("rank", confidence.Length);
            try
            {
                inputs.Scales[k] = ConfidenceScale.Create(confidence, rank);
            }
            catch (ArgumentException e)
            {
                throw scales[k].Error("confidence", "increasing confidences with their ranks", e.Message);
            }
            scales[k].RejectUnknown();
        }
        JsonMap[] states = policy.Maps("states", space.Count);
        double[][][] stop = new double[space.Count][][],
            go = new double[space.Count][][];
        for (int s = 0; s < space.Count; s++)
        {
            string[] ran = [.. space.Members(s).Select(k => models[k])];
            if (!states[s].Texts("ran").SequenceEqual(ran))
                throw states[s].Error("ran", $"[{string.Join(", ", ran)}]", "others");
            int width = new StateBasis(space.Members(s), inputs).Width;
            stop[s] = Choices(states[s], "stop", space.Answers(s), models, width);
            go[s] = Choices(states[s], "go", space.Next(s), models, width);
            states[s].RejectUnknown();
        }
        return PlannedPolicy.Create(space, inputs, stop, go);
    }

    private static double[][] Choices(JsonMap state, string key, int[] stages, string[] models, int width)
    {
        JsonMap choices = state.Map(key);
        double[][] coefficients = [.. stages.Select(k => choices.Numbers(models[k], width))];
        choices.RejectUnknown();
        return coefficients;
    }
}
