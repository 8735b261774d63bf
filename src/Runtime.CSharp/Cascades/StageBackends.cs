using System.Collections.Concurrent;
using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// The backends that cascade files can name. A program that links another engine, or brings a backend of its own,
/// registers it at its start.
/// </summary>
public static class StageBackends
{
    private static readonly ConcurrentDictionary<string, StageBackend> Known = new(
        new StageBackend[]
        {
            new LocalBackend("cpu", stage => CpuModel.Load(stage.Path)),
            // Its keys are read everywhere; the program that links libtorch registers the engine.
            new LocalBackend("torch", load: null, anyDevice: true),
            new OpenAiBackend(),
        }.ToDictionary(backend => backend.Name)
    );

    /// <summary>Names of all backends, in alphabetical order.</summary>
    public static IReadOnlyList<string> Names => [.. Known.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Adds a backend, or replaces the one of the same name.</summary>
    public static void Register(StageBackend backend) => Known[backend.Name] = backend;

    /// <summary>The backend of a name; null for none.</summary>
    public static StageBackend? Find(string name) => Known.GetValueOrDefault(name);
}
