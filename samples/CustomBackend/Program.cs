using System.Globalization;
using System.Text.RegularExpressions;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Samples.CustomBackend;

/// <summary>The backend <c>calculator</c> of cascade files: it computes what it understands, exactly and for next to nothing.</summary>
public sealed class CalculatorBackend() : StageBackend("calculator")
{
    /// <inheritdoc/>
    public override CascadeStage Read(YamlMap keys, CascadeStage stage, string folder)
    {
        string operation = keys.Text("operation");
        return operation is "add" or "sub" ? stage with { Settings = operation } : throw keys.Error("operation", "add or sub", operation);
    }

    /// <inheritdoc/>
    public override IStage Open(StageContext context) => new Calculator(context.Stage, (string)context.Stage.Settings!);
}

/// <summary>A stage that is no language model. Its confidence is 1 for what it can compute, and 0 for everything else.</summary>
public sealed class Calculator(CascadeStage stage, string operation) : IStage
{
    private readonly Regex _task = new($@"^{operation} (\d+)[+-](\d+)=$", RegexOptions.CultureInvariant);

    /// <inheritdoc/>
    public string Name => stage.Name;

    /// <inheritdoc/>
    public bool CanVerify => false;

    /// <inheritdoc/>
    public double CostOf(int promptTokens, int completionTokens) => stage.Cost;

    /// <inheritdoc/>
    public ValueTask<StageReply> AnswerAsync(StageRequest request, Action<StageToken>? onToken = null, CancellationToken cancel = default)
    {
        string prompt = request.Prompt.Text ?? request.Prompt.Messages[^1].Content;
        Match task = _task.Match(prompt);
        string text = task.Success ? $"#{Compute(task).ToString(CultureInfo.InvariantCulture)}" : "";
        double logProbability = task.Success ? 0 : double.NegativeInfinity;
        var token = new StageToken(-1, text, logProbability);
        onToken?.Invoke(token);
        var features = new ConfidenceFeatures(logProbability, logProbability, logProbability, 0, 0, 1);
        return new(new StageReply(text, [token], features, Ended: true, PromptTokens: 1, CompletionTokens: 1, stage.Cost, Seconds: 0));
    }

    /// <inheritdoc/>
    public ValueTask<DraftVerdict> VerifyAsync(StageRequest request, IReadOnlyList<StageToken> draft, CancellationToken cancel = default) =>
        throw new StageException(Name, StageFailures.Rejected, "a calculator verifies no drafts");

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private long Compute(Match task)
    {
        long first = long.Parse(task.Groups[1].ValueSpan, CultureInfo.InvariantCulture),
            second = long.Parse(task.Groups[2].ValueSpan, CultureInfo.InvariantCulture);
        return operation == "add" ? first + second : first - second;
    }
}

/// <summary>Run from the root of a clone: <c>dotnet run --project samples/CustomBackend</c>.</summary>
public static class Program
{
    /// <summary>Registers the backend, and answers one prompt that it understands and one that it does not.</summary>
    public static async Task Main()
    {
        StageBackends.Register(new CalculatorBackend());
        await using Cascade cascade = Cascade.Load(CascadeFile.Load("samples/CustomBackend/cascade.yaml"));
        var policy = new ThresholdCascade(stages: 2, chain: [0, 1], thresholds: [0.9]);
        var adaptive = new AdaptiveCascade(cascade, (_, features) => features.RawConfidence, policy);
        foreach (string prompt in new[] { "add 963+447=", "last kfa,zob=" })
        {
            AdaptiveAnswer answer = await adaptive.AnswerAsync(new StageRequest(StagePrompt.FromQuestion(prompt)));
            Console.WriteLine($"{prompt} {answer.Chosen.Text} by {cascade.Stages[answer.Chosen.Stage].Name} for {answer.Cost}");
        }
    }
}
