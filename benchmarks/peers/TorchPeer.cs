#if TORCH
using System.Diagnostics;
using MathNet.Numerics.Statistics;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Tokenization;
using OptimalStopping.Runtime.Torch.Inference;

namespace OptimalStopping.Peers;

/// <summary>
/// The same checkpoint through this engine and through <c>backend: torch</c> on the processor, in turn: greedy answers one by
/// one, and in batches of 32, which is how many rows every forward of the Torch backend computes in any case.
/// </summary>
internal static class TorchPeer
{
    public static void Run(string folder, int prompts, int rounds)
    {
        using CpuModel model = CpuModel.Load(folder);
        using TorchModel torch = TorchModel.Load(folder, ["cpu"]);
        CharacterTokenizer tokenizer = CharacterTokenizer.Load(Path.Combine(folder, "tokenizer.json"));
        int[][] queries = [.. new QueryGenerator(99, QuerySplit.Test).Distinct(prompts).Select(query => tokenizer.Encode(query.Prompt))];
        Console.WriteLine(
            $"{folder}: {prompts} prompts, {rounds} alternating rounds after one to warm up; tokens/s; ratio of medians, least and most of the rounds' ratios"
        );
        foreach (int batch in (int[])[1, 32])
        {
            var ours = new GreedyDecoder(model, tokenizer.EndOfText, 64);
            var theirs = new GreedyDecoder(torch, tokenizer.EndOfText, 64);
            double[] a = new double[rounds],
                b = new double[rounds];
            for (int round = -1; round < rounds; round++)
            {
                double first = TokensPerSecond(ours, queries, batch),
                    second = TokensPerSecond(theirs, queries, batch);
                if (round >= 0)
                    (a[round], b[round]) = (first, second);
            }
            double[] ratios = [.. a.Zip(b, (x, y) => x / y).Order()];
            Console.WriteLine(
                $"batch {batch, 2}: ours {a.Median():F0}, TorchSharp {b.Median():F0}, ratio {a.Median() / b.Median():F1} ({ratios[0]:F1} to {ratios[^1]:F1})"
            );
        }
    }

    private static double TokensPerSecond(GreedyDecoder decoder, int[][] prompts, int batch)
    {
        long start = Stopwatch.GetTimestamp();
        long tokens = decoder.DecodeAll(prompts, batch).Sum(answer => answer.Signals.Length);
        return tokens / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }
}
#endif
