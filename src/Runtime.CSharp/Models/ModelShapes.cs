namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Shapes of the published dense Qwen3 models and of the embedded cascade's largest: for measuring speed without their
/// weights, and for planning before anything is downloaded. Numbers are those of the models' <c>config.json</c>.
/// </summary>
public static class ModelShapes
{
    private static readonly IReadOnlyDictionary<string, Qwen3Config> Published = new Dictionary<string, Qwen3Config>
    {
        ["qwen3-0.6b"] = Qwen3(1024, 28, 16, 3072, tied: true),
        ["qwen3-1.7b"] = Qwen3(2048, 28, 16, 6144, tied: true),
        ["qwen3-4b"] = Qwen3(2560, 36, 32, 9728, tied: true),
        ["qwen3-8b"] = Qwen3(4096, 36, 32, 12288, tied: false),
        ["qwen3-14b"] = Qwen3(5120, 40, 40, 17408, tied: false),
        ["qwen3-32b"] = Qwen3(5120, 64, 64, 25600, tied: false),
    };

    /// <summary>The names that <see cref="Find"/> knows.</summary>
    public static IReadOnlyList<string> Names { get; } = ["miniature", .. Published.Keys];

    /// <summary>A shape by its name; <c>0.6b</c> and <c>qwen3-0.6b</c> are the same.</summary>
    /// <exception cref="ToolkitException">The name is unknown.</exception>
    public static Qwen3Config Find(string name) =>
        name.ToLowerInvariant() switch
        {
            "miniature" => Shape(256, 5, 4, 2, 64, 704, 2048, 1e4, tied: true),
            var lower => Published.GetValueOrDefault(lower)
                ?? Published.GetValueOrDefault("qwen3-" + lower)
                ?? throw new ToolkitException($"shape: expected one of {string.Join(", ", Names)}, got {name}"),
        };

    /// <summary>
    /// The shape of a repository of the hub, by its name: <c>Qwen/Qwen3-8B</c>, and its variants such as
    /// <c>Qwen3-4B-Instruct-2507</c> or <c>Qwen3-8B-GGUF</c>; null where the name tells none.
    /// </summary>
    public static Qwen3Config? OfRepository(string repository)
    {
        string name = repository[(repository.IndexOf('/') + 1)..].ToLowerInvariant();
        return Published
            .Where(shape => name == shape.Key || name.StartsWith(shape.Key + "-", StringComparison.Ordinal))
            .Select(shape => shape.Value)
            .FirstOrDefault();
    }

    /// <summary>
    /// Bytes of the weights as published in BF16: every matrix once, and the head of its own where there is one. The two
    /// smallest are published with their tied head written a second time.
    /// </summary>
    public static long PublishedBytes(Qwen3Config config)
    {
        long hidden = config.HiddenSize,
            queries = (long)config.Heads * config.HeadDimension,
            keys = (long)config.KeyValueHeads * config.HeadDimension,
            embedding = config.VocabularySize * hidden;
        long layer = 2 * hidden * (queries + keys) + 3 * hidden * config.IntermediateSize + 2 * hidden + 2 * config.HeadDimension;
        bool headIsWritten = !config.TieWordEmbeddings || config.HiddenSize <= 2048;
        return 2 * (config.Layers * layer + hidden + (headIsWritten ? 2 : 1) * embedding);
    }

    private static Qwen3Config Qwen3(int hidden, int layers, int heads, int inner, bool tied) =>
        Shape(hidden, layers, heads, 8, 128, inner, 151936, 1e6, tied);

    private static Qwen3Config Shape(
        int hidden,
        int layers,
        int heads,
        int keyValueHeads,
        int width,
        int inner,
        int vocabulary,
        double theta,
        bool tied
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
            TieWordEmbeddings = tied,
            MaxPositions = 40960,
            EndTokens = [0],
        };
}
