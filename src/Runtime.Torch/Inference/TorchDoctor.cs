using System.Diagnostics;
using System.Globalization;
using OptimalStopping.Runtime.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch.Inference;

/// <summary>What one check found.</summary>
/// <param name="Passed">False: what the check is about does not work on this device.</param>
/// <param name="Detail">What was measured, or the fault, in one line.</param>
public sealed record DoctorCheck(string Name, bool Passed, string Detail);

/// <summary>
/// Runs each line of the Torch engine that behaves otherwise on CUDA than on the processor, on a device of the user's,
/// and compares it with the same on the processor. docs/qwen3.md lists the lines.
/// </summary>
public static class TorchDoctor
{
    private const int Seed = 11;

    /// <summary>The checks, one after the other; a check that fails does not keep the next from running.</summary>
    /// <param name="device"><c>cpu</c>, <c>cuda:0</c>, ...</param>
    public static IEnumerable<DoctorCheck> Run(string device)
    {
        bool there = false;
        yield return Check("the device is there", () =>
        {
            if (device != "cpu")
            {
                int count = cuda.is_available() ? cuda.device_count() : 0,
                    wanted = int.Parse(device[5..], CultureInfo.InvariantCulture);
                if (wanted >= count)
                    throw new ToolkitException($"expected one of this machine's {count} CUDA devices, got {device}");
            }
            there = true;
            return device == "cpu" ? "the processor" : $"one of {cuda.device_count()}";
        });
        if (!there)
            yield break;
        Device on = torch.device(device);
        yield return Check("free memory is known", () => device == "cpu" ? "asked of the runtime"
            : CudaMemory.FreeBytes(int.Parse(device[5..], CultureInfo.InvariantCulture)) is { } bytes ? $"{bytes >> 20} MiB"
            : throw new ToolkitException(
                "expected nvidia-smi to answer; without it a model that does not fit is not refused before loading"
            ));
        foreach (var (outputs, inputs) in ((int, int)[])[(64, 64), (4096, 4096), (151936, 1024), (33, 72), (19, 21)])
            yield return Check($"INT8 product, 32 rows, weights {outputs} x {inputs}", () => Product(on, outputs, inputs));
        yield return Check("attention with keys in bfloat16, grouped heads and a mask", () => Attention(on));
        yield return Check("a copy to the device and back keeps every bit", () => RoundTrip(on));
        yield return Check("the same bits alone, together and again after ten calls", () => SameBits(on));
        yield return Check("speed of the INT8 product", () => Speed(on));
    }

    private static DoctorCheck Check(string name, Func<string> check)
    {
        try
        {
            using var quiet = no_grad();
            using var scope = NewDisposeScope();
            return new DoctorCheck(name, true, check());
        }
        catch (Exception fault)
            when (fault
                    is ToolkitException
                        or System.Runtime.InteropServices.ExternalException
                        or InvalidOperationException
                        or ArgumentException
            )
        {
            return new DoctorCheck(
                name,
                false,
                fault.Message.ReplaceLineEndings(" ")[..Math.Min(300, fault.Message.ReplaceLineEndings(" ").Length)]
            );
        }
    }

    private static Int8Rows Weights(int outputs, int inputs)
    {
        var random = new Random(Seed);
        var floats = new float[outputs * inputs];
        for (int i = 0; i < floats.Length; i++)
            floats[i] = (float)(random.NextDouble() - 0.5);
        return Int8Rows.Round(floats, outputs, inputs);
    }

    private static Tensor Activations(int rows, int columns)
    {
        var random = new Random(Seed + 1);
        var floats = new float[rows * columns];
        for (int i = 0; i < floats.Length; i++)
            floats[i] = (float)(random.NextDouble() - 0.5);
        return from_array(floats).reshape(rows, columns).clone();
    }

    // The integer sums are exact, so both devices must agree but for the last bits of the scales.
    private static string Product(Device device, int outputs, int inputs)
    {
        Int8Rows rows = Weights(outputs, inputs);
        using Int8Weight here = Int8Weight.From(rows, CPU),
            there = Int8Weight.From(rows, device);
        Tensor x = Activations(LayerPlacement.Rows, inputs);
        double error = Difference(LayerScripts.Linear(x.to(device), there, 0).cpu(), LayerScripts.Linear(x, here, 0));
        return error < 1e-5
            ? $"relative error {error.ToString("E1", CultureInfo.InvariantCulture)}"
            : throw new ToolkitException(
                $"expected the processor's result within 1E-5, got a relative error of {error.ToString("E1", CultureInfo.InvariantCulture)}"
            );
    }

    private static string Attention(Device device)
    {
        const int keys = 2,
            group = 4,
            width = 128,
            position = 100,
            count = 8;
        Tensor heads = Activations(LayerPlacement.Rows, (keys * group + 2 * keys) * width)
            .reshape(LayerPlacement.Rows, keys * group + 2 * keys, width);
        Tensor earlier = Activations(keys * 128, width).reshape(keys, 128, width);
        Tensor Attend(Device on, bool wide)
        {
            var allowed = new bool[LayerPlacement.Rows * 128];
            for (int row = 0; row < LayerPlacement.Rows; row++)
                allowed.AsSpan(row * 128, position + Math.Min(row, count - 1) + 1).Fill(true);
            Tensor keyCache = earlier.to(bfloat16).to(on, copy: true),
                valueCache = earlier.to(bfloat16).to(on, copy: true);
            return LayerScripts
                .Attend(
                    heads.to(on),
                    0,
                    count,
                    keyCache,
                    valueCache,
                    position,
                    tensor(allowed, device: on).view(LayerPlacement.Rows, 128),
                    wide
                )
                .cpu();
        }
        double error = Difference(Attend(device, wide: false), Attend(CPU, wide: true));
        return error < 0.02
            ? $"relative error {error.ToString("E1", CultureInfo.InvariantCulture)} to float32 on the processor"
            : throw new ToolkitException(
                $"expected the processor's result within 2E-2, got a relative error of {error.ToString("E1", CultureInfo.InvariantCulture)}"
            );
    }

    private static string RoundTrip(Device device)
    {
        Tensor x = Activations(64, 257);
        return x.to(device).cpu().ne(x).any().item<bool>()
            ? throw new ToolkitException("expected the same values, got others")
            : "16,448 values";
    }

    // What makes speculation lossless: a row's result may depend neither on its place nor on what the other rows hold.
    private static string SameBits(Device device)
    {
        const int inputs = 1024;
        using Int8Weight weight = Int8Weight.From(Weights(1024, inputs), device);
        Tensor x = Activations(LayerPlacement.Rows, inputs).to(device),
            row = x.narrow(0, 5, 1);
        Tensor alone = cat([row, zeros([LayerPlacement.Rows - 1, inputs], float32, device)], 0);
        Tensor first = LayerScripts.Linear(x, weight, 0).narrow(0, 5, 1);
        for (int call = 0; call < 10; call++)
        {
            if (
                LayerScripts.Linear(alone, weight, 0).narrow(0, 0, 1).ne(first).any().cpu().item<bool>()
                || LayerScripts.Linear(x, weight, 0).narrow(0, 5, 1).ne(first).any().cpu().item<bool>()
            )
                throw new ToolkitException(
                    $"expected the same bits in call {call + 1}, got others: speculative decoding would not be lossless here"
                );
        }
        return "20 products";
    }

    private static string Speed(Device device)
    {
        const int size = 4096,
            calls = 20;
        using Int8Weight weight = Int8Weight.From(Weights(size, size), device);
        Tensor x = Activations(LayerPlacement.Rows, size).to(device);
        LayerScripts.Linear(x, weight, 0).cpu();
        long start = Stopwatch.GetTimestamp();
        Tensor y = x;
        for (int call = 0; call < calls; call++)
            y = LayerScripts.Linear(x, weight, 0);
        y.cpu(); // waits for the device
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds / calls;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{1e6 * seconds:F0} microseconds for 32 rows x 4096 x 4096, {size * (double)size / seconds / 1e9:F1} GB/s of weights"
        );
    }

    private static double Difference(Tensor a, Tensor b)
    {
        float[] x = a.contiguous().data<float>().ToArray(),
            y = b.contiguous().data<float>().ToArray();
        double distance = 0,
            size = 0;
        for (int i = 0; i < y.Length; i++)
            (distance, size) = (distance + Math.Pow(x[i] - y[i], 2), size + Math.Pow(y[i], 2));
        return Math.Sqrt(distance / size);
    }
}
