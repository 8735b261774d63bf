namespace OptimalStopping.Runtime.Models;

/// <summary>Shapes of published Qwen3 models and of the embedded cascade's largest, for measuring speed without their weights.</summary>
public static class ModelShapes
{
    /// <summary>The names that <see cref="Find"/> knows.</summary>
    public static IReadOnlyList<string> Names { get; } = ["nano", "qwen3-0.6b", "qwen3-1.7b", "qwen3-4b"];

    /// <summary>
    /// A shape by its name; <c>0.6b</c> and <c>qwen3-0.6b</c> are the same. Numbers are those of the models'
    /// <c>config.json</c> on Hugging Face (Qwen/Qwen3-0.6B, 1.7B, 4B).
    /// </summary>
    /// <exception cref="ToolkitException">The name is unknown.</exception>
    public static Qwen3Config Find(string name) =>
        name.ToLowerInvariant() switch
        {
            "nano" => Shape(128, 7, 4, 2, 32, 384, 64, 1e4, 40960),
            "qwen3-0.6b" or "0.6b" => Shape(1024, 28, 16, 8, 128, 3072, 151936, 1e6, 40960),
            "qwen3-1.7b" or "1.7b" => Shape(2048, 28, 16, 8, 128, 6144, 151936, 1e6, 40960),
            "qwen3-4b" or "4b" => Shape(2560, 36, 32, 8, 128, 9728, 151936, 1e6, 40960),
            _ => throw new ToolkitException($"shape: expected one of {string.Join(", ", Names)}, got {name}"),
        };

    private static Qwen3Config Shape(
        int hidden,
        int layers,
        int heads,
        int keyValueHeads,
        int width,
        int inner,
        int vocabulary,
        double theta,
        int positions
    ) =>
        new()
        {
            HiddenSize = hidden,
            Layers = layers,
            Heads = heads,
            KeyValueHeads = keyValueHeads,
            HeadDimension = width,
            IntermediateSize = inner,
            VocabularySize = vocabulary,
            RmsNormEpsilon = 1e-6f,
            RopeTheta = theta,
            TieWordEmbeddings = true,
            MaxPositions = positions,
            EndTokens = [0],
        };
}
