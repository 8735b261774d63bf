using System.Diagnostics;
using MathNet.Numerics.Statistics;

namespace OptimalStopping.Runtime.Models;

/// <summary>Seconds per generated token of one model: one sequence at a time, and many sequences in one batch.</summary>
public readonly record struct ModelTiming(string Name, double SecondsPerToken, double BatchedSecondsPerToken);

/// <summary>
/// Measures what models cost on this machine. The models take turns within each round, so that a passing load on the
/// machine strikes all of them alike, and the median over rounds drops the rounds that it struck.
/// </summary>
public static class ModelBenchmark
{
    /// <summary>
    /// Decodes one token at a time, greedily, with <paramref name="context"/> tokens before the first, on the calling
    /// thread. Reports the median over rounds of the seconds per token, alone and in a batch of
    /// <paramref name="batch"/> sequences (there: seconds of the batch divided by its tokens).
    /// </summary>
    /// <param name="models">At least one; each must hold <paramref name="context"/> + <paramref name="tokens"/> positions.</param>
    /// <param name="context">Tokens held when the clock starts.</param>
    /// <param name="tokens">Tokens decoded per sequence and round.</param>
    /// <param name="batch">Sequences in a batch.</param>
    /// <param name="rounds">Rounds counted; one more comes first, uncounted, to warm up.</param>
    public static ModelTiming[] Measure(
        IReadOnlyList<ITokenModel> models,
        int context = 60,
        int tokens = 40,
        int batch = 64,
        int rounds = 9
    )
    {
        foreach (int argument in new[] { models.Count, context, tokens, batch, rounds })
            ArgumentOutOfRangeException.ThrowIfLessThan(argument, 1);
        var alone = new double[models.Count][];
        var batched = new double[models.Count][];
        for (int m = 0; m < models.Count; m++)
            (alone[m], batched[m]) = (new double[rounds], new double[rounds]);
        for (int round = -1; round < rounds; round++)
        for (int m = 0; m < models.Count; m++)
        {
            // Short runs are repeated, or the clock's grain and the first cold touches would be what is measured.
            double single = Enumerable.Range(0, 4).Average(_ => Decode(models[m], 1, context, tokens));
            double many = Decode(models[m], batch, context, tokens);
            if (round >= 0)
                (alone[m][round], batched[m][round]) = (single, many);
        }
        return [.. models.Select((model, m) => new ModelTiming(model.Name, alone[m].Median(), batched[m].Median()))];
    }

    /// <summary>Costs relative to the first model, by the seconds per token of one sequence.</summary>
    public static double[] RelativeCosts(IReadOnlyList<ModelTiming> timings) =>
        [.. timings.Select(t => t.SecondsPerToken / timings[0].SecondsPerToken)];

    private static double Decode(ITokenModel model, int batch, int context, int tokens)
    {
        int vocabulary = model.VocabularySize;
        var prompt = new int[context];
        var next = new int[batch][];
        var steps = new SequenceStep[batch];
        var logits = new float[batch * vocabulary];
        try
        {
            for (int b = 0; b < batch; b++)
            {
                for (int i = 0; i < context; i++)
                    prompt[i] = (7 * i + 3 * b + 1) % vocabulary;
                ITokenSequence sequence = model.NewSequence(context + tokens);
                next[b] = new int[1];
                steps[b] = new SequenceStep(sequence, next[b]);
                sequence.Forward(prompt, logits.AsSpan(b * vocabulary, vocabulary));
            }
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < tokens; i++)
            {
                for (int b = 0; b < batch; b++)
                    next[b][0] = Greatest(logits.AsSpan(b * vocabulary, vocabulary));
                model.ForwardBatch(steps, logits);
            }
            return Stopwatch.GetElapsedTime(start).TotalSeconds / ((double)tokens * batch);
        }
        finally
        {
            foreach (SequenceStep step in steps)
                step.Sequence?.Dispose();
        }
    }

    private static int Greatest(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
            if (values[i] > values[best])
                best = i;
        return best;
    }
}
