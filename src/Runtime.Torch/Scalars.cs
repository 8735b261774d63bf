using System.Collections.Concurrent;
using TorchSharp;

namespace OptimalStopping.Runtime.Torch;

/// <summary>
/// Numbers as TorchSharp scalars that are never collected. An implicit conversion makes a temporary whose finaliser
/// can free the native value while the native call still reads it (seen as "Expected false to be true" about once in
/// ten thousand calls), so every number that meets a tensor comes from here.
/// </summary>
internal static class Scalars
{
    private static readonly ConcurrentDictionary<double, Scalar> Kept = new();

    public static Scalar Of(double value) => Kept.GetOrAdd(value, static v => v.ToScalar());
}
