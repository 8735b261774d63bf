using System.Text.Json;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>How one kind of policy stands in policy.json. A kind that has a form can be calibrated, saved and served.</summary>
/// <param name="kind">Its name in the file.</param>
internal abstract class PolicyForm(string kind)
{
    public string Kind => kind;

    /// <summary>Whether a policy is of this kind.</summary>
    public abstract bool Holds(IStoppingPolicy policy);

    /// <summary>Writes what the policy is made of, as properties of the open object.</summary>
    public abstract void Write(Utf8JsonWriter json, IStoppingPolicy policy, IReadOnlyList<string> models);

    /// <summary>Reads it back: the same decisions, bit for bit.</summary>
    /// <exception cref="ToolkitException">With file, key, what was expected and what was got.</exception>
    public abstract IStoppingPolicy Read(JsonMap saved, string[] models);

    /// <summary>Numbers known before any model runs that the policy wants with each query; 0 for none.</summary>
    public virtual int QueryFeatures(IStoppingPolicy policy) => 0;

    internal static void Write(Utf8JsonWriter json, LogisticCalibrator fit)
    {
        Numbers(json, "means", fit.Means);
        Numbers(json, "scales", fit.Scales);
        Numbers(json, "weights", fit.Weights);
        json.WriteNumber("intercept", fit.Intercept);
        json.WriteNumber("ridge", fit.Ridge);
    }

    internal static LogisticCalibrator ReadRegression(JsonMap saved, int inputs)
    {
        var fit = new LogisticCalibrator(
            saved.Numbers("means", inputs),
            saved.Numbers("scales", inputs),
            saved.Numbers("weights", inputs),
            saved.Number("intercept", double.MinValue, double.MaxValue),
            saved.Number("ridge", 0, double.MaxValue)
        );
        if (fit.Scales.Any(scale => !(scale > 0)))
            throw saved.Error("scales", "numbers above 0", string.Join(", ", fit.Scales));
        saved.RejectUnknown();
        return fit;
    }

    protected static void Strings(Utf8JsonWriter json, string key, IEnumerable<string> values)
    {
        json.WriteStartArray(key);
        foreach (string value in values)
            json.WriteStringValue(value);
        json.WriteEndArray();
    }

    internal static void Numbers(Utf8JsonWriter json, string key, double[] values)
    {
        json.WriteStartArray(key);
        foreach (double value in values)
            if (double.IsPositiveInfinity(value))
                json.WriteStringValue("inf");
            else
                json.WriteNumberValue(value);
        json.WriteEndArray();
    }
}

/// <summary>A sub-chain of the models with a threshold for each but the last.</summary>
internal sealed class ThresholdCascadeForm() : PolicyForm("cascade")
{
    public override bool Holds(IStoppingPolicy policy) => policy is ThresholdCascade;

    public override void Write(Utf8JsonWriter json, IStoppingPolicy policy, IReadOnlyList<string> models)
    {
        var cascade = (ThresholdCascade)policy;
        Strings(json, "chain", cascade.Chain.Select(k => models[k]));
        Numbers(json, "thresholds", cascade.Thresholds);
    }

    public override IStoppingPolicy Read(JsonMap saved, string[] models)
    {
        string[] names = saved.Texts("chain");
        int[] chain = [.. names.Select(name => Array.IndexOf(models, name))];
        double[] thresholds = saved.Numbers("thresholds", Math.Max(0, chain.Length - 1));
        try
        {
            return new ThresholdCascade(models.Length, chain, thresholds);
        }
        catch (ArgumentException e)
        {
            throw saved.Error("chain", "some of the models, in their order", $"{string.Join(", ", names)}: {e.Message}");
        }
    }
}

/// <summary>A planned policy: what the columns of its states are made from, and the coefficients of each choice.</summary>
internal sealed class PlannedPolicyForm() : PolicyForm("planned")
{
    public override bool Holds(IStoppingPolicy policy) => policy is PlannedPolicy;

    public override int QueryFeatures(IStoppingPolicy policy) => ((PlannedPolicy)policy).Inputs.ContextWidth;

    public override void Write(Utf8JsonWriter json, IStoppingPolicy saved, IReadOnlyList<string> models)
    {
        var policy = (PlannedPolicy)saved;
        var (space, inputs) = (policy.Space, policy.Inputs);
        json.WriteString("actions", space.Actions.ToString().ToLowerInvariant());
        json.WriteNumber("window", space.Window);
        json.WriteNumber("features", inputs.ContextWidth);
        json.WriteBoolean("answers", inputs.HasAnswers);
        json.WriteBoolean("confidences", inputs.Shape.Confidences);
        json.WriteNumber("knots", inputs.Shape.Knots);
        json.WriteBoolean("products", inputs.Shape.Products);
        json.WriteStartArray("scales");
        for (int k = 0; k < models.Count; k++)
        {
            json.WriteStartObject();
            json.WriteString("model", models[k]);
            json.WriteBoolean("nulls", inputs.HasNull[k]);
            Numbers(json, "confidence", inputs.Scales[k].Knots);
            Numbers(json, "rank", inputs.Scales[k].Ranks);
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteStartArray("states");
        for (int s = 0; s < space.Count; s++)
        {
            json.WriteStartObject();
            Strings(json, "ran", space.Members(s).Select(k => models[k]));
            Choices(json, "stop", space.Answers(s), policy.Stop[s], models);
            Choices(json, "go", space.Next(s), policy.Go[s], models);
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    public override IStoppingPolicy Read(JsonMap policy, string[] models)
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

    private static void Choices(Utf8JsonWriter json, string key, int[] stages, double[][] coefficients, IReadOnlyList<string> models)
    {
        json.WriteStartObject(key);
        for (int a = 0; a < stages.Length; a++)
            Numbers(json, models[stages[a]], coefficients[a]);
        json.WriteEndObject();
    }

    private static double[][] Choices(JsonMap state, string key, int[] stages, string[] models, int width)
    {
        JsonMap choices = state.Map(key);
        double[][] coefficients = [.. stages.Select(k => choices.Numbers(models[k], width))];
        choices.RejectUnknown();
        return coefficients;
    }
}

/// <summary>A policy for some of the models and some of the context's columns; it asks none of the others.</summary>
internal sealed class SubsetPolicyForm() : PolicyForm("subset")
{
    public override bool Holds(IStoppingPolicy policy) => policy is SubsetPolicy subset && Inner(subset.Inner) is not null;

    public override void Write(Utf8JsonWriter json, IStoppingPolicy policy, IReadOnlyList<string> models)
    {
        var subset = (SubsetPolicy)policy;
        string[] kept = [.. subset.Kept.Select(k => models[k])];
        Strings(json, "stages", kept);
        Numbers(json, "columns", [.. subset.Columns.Select(c => (double)c)]);
        json.WriteStartObject("of");
        PolicyForm inner = Inner(subset.Inner)!;
        json.WriteString("kind", inner.Kind);
        inner.Write(json, subset.Inner, kept);
        json.WriteEndObject();
    }

    public override IStoppingPolicy Read(JsonMap saved, string[] models)
    {
        string[] kept = saved.Texts("stages");
        double[] columns = saved.Numbers("columns", null);
        if (columns.FirstOrDefault(c => !(c >= 0 && c < 1_000_000 && c == Math.Floor(c)), 0) is var wrong && wrong != 0)
            throw saved.Error("columns", "whole numbers from 0 on", $"{wrong}");
        JsonMap of = saved.Map("of");
        PolicyForm[] forms = Forms;
        string kind = of.OneOf("kind", [.. forms.Select(form => form.Kind)]);
        if (kept.Length == 0)
            throw saved.Error("stages", "some of the models, in their order", "none");
        IStoppingPolicy inner = forms.First(form => form.Kind == kind).Read(of, kept);
        of.RejectUnknown();
        try
        {
            return new SubsetPolicy(
                inner,
                models.Length,
                [.. kept.Select(name => Array.IndexOf(models, name))],
                Array.ConvertAll(columns, c => (int)c)
            );
        }
        catch (ArgumentException e)
        {
            throw saved.Error("stages", "some of the models, in their order", $"{string.Join(", ", kept)}: {e.Message}");
        }
    }

    private static PolicyForm[] Forms => [new ThresholdCascadeForm(), new PlannedPolicyForm()];

    private static PolicyForm? Inner(IStoppingPolicy policy) => Forms.FirstOrDefault(form => form.Holds(policy));
}
