using System.Diagnostics;
using System.Globalization;

namespace OptimalStopping.Runtime.Models;

/// <summary>Free memory of NVIDIA GPUs, as the driver's own <c>nvidia-smi</c> reports it.</summary>
public static class CudaMemory
{
    /// <summary>Bytes free on a device; null where there is no <c>nvidia-smi</c>, or it does not answer within 10 seconds.</summary>
    /// <remarks>
    /// nvidia-smi counts in the order of the bus; CUDA does so with <c>CUDA_DEVICE_ORDER=PCI_BUS_ID</c>, and
    /// <c>CUDA_VISIBLE_DEVICES</c> renumbers: where that is set with plain numbers it is followed.
    /// </remarks>
    public static long? FreeBytes(int device)
    {
        if (Environment.GetEnvironmentVariable("CUDA_VISIBLE_DEVICES") is { Length: > 0 } visible)
        {
            string[] numbers = visible.Split(',');
            if (device >= numbers.Length || !int.TryParse(numbers[device], NumberStyles.None, CultureInfo.InvariantCulture, out device))
                return null;
        }
        try
        {
            var start = new ProcessStartInfo(
                "nvidia-smi",
                ["--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", device.ToString(CultureInfo.InvariantCulture)]
            )
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            };
            using Process? process = Process.Start(start);
            if (process is null || !process.WaitForExit(10_000) || process.ExitCode != 0)
                return null;
            return Parse(process.StandardOutput.ReadToEnd());
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null; // no such program
        }
    }

    internal static long? Parse(string output) =>
        long.TryParse(output.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long mebibytes) ? mebibytes << 20 : null;
}
