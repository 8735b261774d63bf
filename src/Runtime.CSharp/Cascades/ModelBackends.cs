using System.Collections.Concurrent;
using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// What loads a stage's model, by the cascade file's <c>backend</c>. The managed engine is always there; a program that
/// links another engine registers it at its start.
/// </summary>
public static class ModelBackends
{
    private static readonly ConcurrentDictionary<string, Func<CascadeStage, ITokenModel>> Loaders = new()
    {
        ["cpu"] = stage => CpuModel.Load(stage.Path),
    };

    /// <summary>Adds an engine, or replaces one of the same name.</summary>
    public static void Register(string backend, Func<CascadeStage, ITokenModel> load) => Loaders[backend] = load;

    /// <summary>Loads a stage's model.</summary>
    /// <param name="file">The cascade file, to name it in faults.</param>
    /// <exception cref="ToolkitException">This program has no such engine, or the model is faulty.</exception>
    public static ITokenModel Load(string file, CascadeStage stage) =>
        Loaders.TryGetValue(stage.Backend, out var load)
            ? load(stage)
            : throw new ToolkitException(
                $"{file}: stage '{stage.Name}': backend '{stage.Backend}': expected a build with this engine, got one without; run with: dotnet run --project src/Cli -c Release -p:TorchBackend=cpu (or cuda) -- ..."
            );
}
