using System.Globalization;
using OptimalStopping.Runtime.Models;
using TorchSharp;

namespace OptimalStopping.Runtime.Torch.Inference;

/// <summary>What this machine has, against what a model needs; asked before anything is loaded.</summary>
internal static class TorchDevices
{
    /// <summary>Refuses devices that are not there and, where the free memory is known, models that do not fit.</summary>
    /// <exception cref="ToolkitException">One line that says what is needed and what is there.</exception>
    public static void Check(string model, IReadOnlyList<DeviceShare> shares) => Check(model, shares, DeviceCount(), FreeBytes);

    internal static void Check(string model, IReadOnlyList<DeviceShare> shares, int cudaDevices, Func<string, long?> freeBytes)
    {
        foreach (DeviceShare share in shares)
        {
            if (share.Device != "cpu" && int.Parse(share.Device[5..], CultureInfo.InvariantCulture) >= cudaDevices)
                throw new ToolkitException(
                    $"{model}: device {share.Device}: expected one of this machine's {cudaDevices} CUDA devices{(cudaDevices == 0 ? " (none: is this a build with -p:TorchBackend=cuda, and does nvidia-smi list a GPU?)" : "")}"
                );
        }
        foreach (var group in shares.GroupBy(share => share.Device))
        {
            long needed = group.Sum(share => share.TotalBytes);
            if (freeBytes(group.Key) is { } free && needed > free)
                throw new ToolkitException(
                    $"{model}: device {group.Key}: expected {Gibibytes(needed)} of free memory (weights {Gibibytes(group.Sum(s => s.WeightBytes))}, a sequence's cache {Gibibytes(group.Sum(s => s.CacheBytes))}, work {Gibibytes(group.Sum(s => s.WorkBytes))}), got {Gibibytes(free)}; give the stage more devices"
                );
        }
    }

    private static int DeviceCount() => torch.cuda.is_available() ? torch.cuda.device_count() : 0;

    // TorchSharp does not tell a GPU's free memory; nvidia-smi does (see CudaMemory).
    private static long? FreeBytes(string device) =>
        device == "cpu"
            ? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes
            : CudaMemory.FreeBytes(int.Parse(device[5..], CultureInfo.InvariantCulture));

    private static string Gibibytes(long bytes) => string.Create(CultureInfo.InvariantCulture, $"{bytes / (double)(1L << 30):F2} GiB");
}
