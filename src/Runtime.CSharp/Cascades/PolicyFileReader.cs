using System.Text.Json;
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
        var root = new StrictObject(path, "", document.RootElement);
        root.Literal("format", PolicyFileWriter.Format);
        if (root.Integer("version", 1, int.MaxValue) is var version && version != PolicyFileWriter.Version)
            throw root.Error("version", $"{PolicyFileWriter.Version} (the version that this toolkit writes)", $"{version}");
        string[] models = root.Strings("models");
        if (models.Length is < 1 or > 16 || models.Distinct().Count() != models.Length)
            throw root.Error("models", "1 to 16 different names", string.Join(", ", models));
        double lambda = root.IsNull("lambda") ? double.NaN : root.Number("lambda", 0, double.MaxValue);

        StrictObject stated = root.Object("guarantee");
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
        stated.End();

        StrictObject means = root.Object("measured");
        var measured = new PolicyMeasurement(
            means.Number("quality", 0, 1),
            means.Number("cost", 0, double.MaxValue),
            means.Number("reference_quality", 0, 1),
            means.Number("reference_cost", 0, double.MaxValue)
        );
        means.End();

        StrictObject source = root.Object("origin");
        var origin = new PolicyOrigin(
            source.Text("toolkit"),
            source.Text("traces"),
            source.Text("sha256"),
            source.Integer("seed", int.MinValue, int.MaxValue),
            source.Integer("fit_queries", 0, int.MaxValue)
        );
        source.End();

        ConfidenceCalibration? signals = ReadConfidence(root.Object("confidence"), models.Length);
        StrictObject policy = root.Object("policy");
        IStoppingPolicy read =
            policy.OneOf("kind", ["cascade", "planned"]) == "cascade" ? ReadCascade(policy, models) : ReadPlanned(policy, models);
        policy.End();
        root.End();
        return new PolicyFile(models, lambda, read, signals, guarantee, measured, origin);
    }

    private static ConfidenceCalibration? ReadConfidence(StrictObject confidence, int models)
    {
        string kind = confidence.OneOf("kind", ["recorded", "signals"]);
        ConfidenceCalibration? signals = null;
        if (kind == "signals")
        {
            StrictObject[] stages = confidence.Objects("stages", models);
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
                    stage.End();
                    return fit;
                }),
            ]);
        }
        confidence.End();
        return signals;
    }

    private static ThresholdCascade ReadCascade(StrictObject policy, string[] models)
    {
        string[] names = policy.Strings("chain");
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

    private static PlannedPolicy ReadPlanned(StrictObject policy, string[] models)
    {
        var actions = Enum.Parse<ActionSet>(policy.OneOf("actions", ["chain", "jump", "recall"]), ignoreCase: true);
        var space = new StateSpace(models.Length, actions, policy.Integer("window", 1, RecordedCascade.MaxStages));
        int features = policy.Integer("features", 0, 1_000_000);
        bool answers = policy.Flag("answers");
        bool confidences = policy.Flag("confidences");
        var shape = new BasisShape(policy.Integer("knots", 0, 1000), policy.Flag("products"), confidences);
        StrictObject[] scales = policy.Objects("scales", models.Length);
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
            scales[k].End();
        }
        StrictObject[] states = policy.Objects("states", space.Count);
        double[][][] stop = new double[space.Count][][],
            go = new double[space.Count][][];
        for (int s = 0; s < space.Count; s++)
        {
            string[] ran = [.. space.Members(s).Select(k => models[k])];
            if (!states[s].Strings("ran").SequenceEqual(ran))
                throw states[s].Error("ran", $"[{string.Join(", ", ran)}]", "others");
            int width = new StateBasis(space.Members(s), inputs).Width;
            stop[s] = Choices(states[s], "stop", space.Answers(s), models, width);
            go[s] = Choices(states[s], "go", space.Next(s), models, width);
            states[s].End();
        }
        return PlannedPolicy.Create(space, inputs, stop, go);
    }

    private static double[][] Choices(StrictObject state, string key, int[] stages, string[] models, int width)
    {
        StrictObject choices = state.Object(key);
        double[][] coefficients = [.. stages.Select(k => choices.Numbers(models[k], width))];
        choices.End();
        return coefficients;
    }
}
