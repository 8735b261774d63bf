using System.Diagnostics;
using System.Globalization;
using MathNet.Numerics.Statistics;
using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Peers;

/// <summary>Decoding and prefill in both engines, in turn, with random weights of one shape.</summary>
internal static class Speed
{
    public static void Run(string shape, int rounds, int threads, int[] prefills, int[] contexts)
    {
        Qwen3Config config = ModelShapes.Find(shape);
        int capacity = Math.Max(prefills.Max(), contexts.Max() + 64);
        string file = Path.Combine(Path.GetTempPath(), $"peers-{shape}-q8_0.gguf");
        if (!File.Exists(file))
            GgufExport.WriteRandom(config, file);
        var theirs = new LlamaModel(file, config.VocabularySize, capacity, threads);
        using CpuModel model = CpuModel.Random(shape, config);
        using ITokenSequence ours = model.NewSequence(capacity);
        var logits = new float[config.VocabularySize];
        Console.WriteLine($"{shape}, {threads} threads, kernels {model.Kernels.Name}, medians of {rounds} alternating rounds");
        Console.WriteLine(
            $"{"", -16} {"ours", 10} {"llama.cpp", 10} {"ratio", 7} {"least", 7} {"most", 7}   tokens/s; ratio of medians, least and most of the rounds' ratios"
        );

        foreach (int context in contexts)
        {
            int[] prompt = Prompt(context, config),
                one = [1];
            int tokens = Math.Clamp((int)(8e9 / model.BytesPerToken), 8, 64);
            ours.Truncate(0);
            theirs.Truncate(0);
            if (context > 0)
            {
                ours.Forward(prompt, logits);
                theirs.Forward(prompt);
            }
            double bytes = model.BytesPerGreedyToken + (context + tokens / 2.0) * model.CacheBytesPerToken;
            Compare(
                $"decode at {context}",
                tokens,
                bytes,
                rounds,
                () =>
                {
                    ours.Truncate(context);
                    for (int i = 0; i < tokens; i++)
                        one[0] = ours.ForwardGreedily(one, logits);
                },
                () =>
                {
                    theirs.Truncate(context);
                    for (int i = 0; i < tokens; i++)
                        one[0] = Greedy.Choose(theirs.Forward(one));
                }
            );
        }
        foreach (int count in prefills)
        {
            int[] prompt = Prompt(count, config);
            Compare(
                $"prefill {count}",
                count,
                0,
                rounds,
                () =>
                {
                    ours.Truncate(0);
                    ours.Forward(prompt, logits);
                },
                () =>
                {
                    theirs.Truncate(0);
                    theirs.Forward(prompt);
                }
            );
        }
    }

    /// <param name="bytesPerToken">What one of our tokens reads from memory; 0 where that is not the limit.</param>
    private static void Compare(string name, int tokens, double bytesPerToken, int rounds, Action ours, Action theirs)
    {
        long warm = Stopwatch.GetTimestamp(); // until the compiler has replaced its first, quick code
        do ours();
        while (Stopwatch.GetElapsedTime(warm).TotalSeconds < 0.7);
        theirs();
        double[] a = new double[rounds],
            b = new double[rounds],
            memory = new double[rounds];
        for (int round = 0; round < rounds; round++)
        {
            a[round] = tokens / Seconds(ours);
            b[round] = tokens / Seconds(theirs);
            if (bytesPerToken > 0)
                memory[round] = MemoryBandwidth.Measure(1L << 28, 3); // a virtual machine's varies within minutes
        }
        double[] ratios = [.. a.Zip(b, (x, y) => x / y)];
        Console.WriteLine(
            $"{name, -16} {Text(a.Median()), 10} {Text(b.Median()), 10} {Text(a.Median() / b.Median(), 2), 7} {Text(ratios.Min(), 2), 7} {Text(ratios.Max(), 2), 7}"
        );
        if (bytesPerToken == 0)
            return;
        double[] shares = [.. a.Zip(memory, (x, y) => 100 * x * bytesPerToken / y)];
        Console.WriteLine(
            $"{"", -16} ours reads {Text(a.Median() * bytesPerToken / 1e9)} GB/s of {Text(memory.Median() / 1e9)} that the memory gives, {Text(shares.Median())} % ({Text(shares.Min())} to {Text(shares.Max())})"
        );
    }

    private static double Seconds(Action run)
    {
        Thread.Sleep(5); // the other engine's threads go to sleep
        long start = Stopwatch.GetTimestamp();
        run();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static int[] Prompt(int count, Qwen3Config config) =>
        [.. Enumerable.Range(0, count).Select(i => (7 * i + 1) % config.VocabularySize)];

    private static string Text(double value, int digits = 1) => value.ToString("F" + digits, CultureInfo.InvariantCulture);
}
