using System.Diagnostics;
using System.Globalization;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Runtime.Models.Gguf;

namespace OptimalStopping.Peers;

/// <summary>Decoding and prefill in both engines, in turn, with random weights of one shape.</summary>
internal static class Speed
{
    public static void Run(string shape, int rounds, int threads, int[] prefills, int[] contexts)
    {
        Qwen3Config config = ModelShapes.Find(shape);
        int capacity = Math.Max(prefills.Max(), contexts.Max() + 64);
        string file = Path.Combine(Path.GetTempPath(), $"peers-{shape}-q8_0.gguf");
        if (!File.Exists(file)) GgufExport.WriteRandom(config, file);
        var theirs = new LlamaModel(file, config.VocabularySize, capacity, threads);
        using CpuModel model = CpuModel.Random(shape, config);
        using ITokenSequence ours = model.NewSequence(capacity);
        var logits = new float[config.VocabularySize];
        double bandwidth = MemoryBandwidth.Measure();
        Console.WriteLine($"{shape}, {threads} threads, kernels {model.Kernels.Name}, memory {Text(bandwidth / 1e9)} GB/s, medians of {rounds} alternating rounds");
        Console.WriteLine($"{"",-16} {"ours",10} {"llama.cpp",10} {"ratio",7} {"least",7} {"most",7}   tokens/s; ratio of medians, least and most of the rounds' ratios");

        foreach (int context in contexts)
        {
            int[] prompt = Prompt(context, config), one = [1];
            int tokens = Math.Clamp((int)(8e9 / model.BytesPerToken), 8, 64);
            ours.Truncate(0);
            theirs.Truncate(0);
            if (context > 0)
            {
                ours.Forward(prompt, logits);
                theirs.Forward(prompt);
            }
            double ourRate = Compare($"decode at {context}", tokens, rounds,
                () =>
                {
                    ours.Truncate(context);
                    for (int i = 0; i < tokens; i++)
                    {
                        ours.Forward(one, logits);
                        one[0] = Greedy.Choose(logits);
                    }
                },
                () =>
                {
                    theirs.Truncate(context);
                    for (int i = 0; i < tokens; i++) one[0] = Greedy.Choose(theirs.Forward(one));
                });
            double bytes = model.BytesPerToken + (context + tokens / 2.0) * model.CacheBytesPerToken;
            Console.WriteLine($"{"",-16} ours reads {Text(ourRate * bytes / 1e9)} GB/s, {Text(100 * ourRate * bytes / bandwidth)} % of the memory's");
        }
        foreach (int count in prefills)
        {
            int[] prompt = Prompt(count, config);
            Compare($"prefill {count}", count, rounds,
                () =>
                {
                    ours.Truncate(0);
                    ours.Forward(prompt, logits);
                },
                () =>
                {
                    theirs.Truncate(0);
                    theirs.Forward(prompt);
                });
        }
    }

    private static double Compare(string name, int tokens, int rounds, Action ours, Action theirs)
    {
        long warm = Stopwatch.GetTimestamp(); // until the compiler has replaced its first, quick code
        do ours(); while (Stopwatch.GetElapsedTime(warm).TotalSeconds < 0.7);
        theirs();
        var a = new double[rounds];
        var b = new double[rounds];
        for (int round = 0; round < rounds; round++)
        {
            a[round] = tokens / Seconds(ours);
            b[round] = tokens / Seconds(theirs);
        }
        double[] ratios = [.. a.Zip(b, (x, y) => x / y)];
        Console.WriteLine($"{name,-16} {Text(Median(a)),10} {Text(Median(b)),10} {Text(Median(a) / Median(b), 2),7} {Text(ratios.Min(), 2),7} {Text(ratios.Max(), 2),7}");
        return Median(a);
    }

    private static double Seconds(Action run)
    {
        Thread.Sleep(5); // the other engine's threads go to sleep
        long start = Stopwatch.GetTimestamp();
        run();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static double Median(double[] values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private static int[] Prompt(int count, Qwen3Config config) => [.. Enumerable.Range(0, count).Select(i => (7 * i + 1) % config.VocabularySize)];

    private static string Text(double value, int digits = 1) => value.ToString("F" + digits, CultureInfo.InvariantCulture);
}
