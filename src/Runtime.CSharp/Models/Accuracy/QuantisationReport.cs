using System.Numerics.Tensors;

namespace OptimalStopping.Runtime.Models.Accuracy;

/// <summary>What the engine's roundings cost one model, on texts that both engines are fed with.</summary>
/// <param name="Tokens">Tokens that were predicted.</param>
/// <param name="Perplexity">Of the engine: e to the mean negative log probability of the text's next token.</param>
/// <param name="FloatPerplexity">The same without rounding.</param>
/// <param name="SameChoice">Share of positions where both find the same token most probable.</param>
/// <param name="LayerErrors">Per layer: root mean square of what the layer gives differs by, relative to its size.</param>
/// <param name="LogitError">The same of the logits.</param>
public sealed record QuantisationReport(
    int Tokens,
    double Perplexity,
    double FloatPerplexity,
    double SameChoice,
    double[] LayerErrors,
    double LogitError
)
{
    /// <summary>Feeds both models each text; only tokens behind its prompt are predicted and counted.</summary>
    /// <param name="model">The engine.</param>
    /// <param name="reference">The same weights without rounding of anything else.</param>
    /// <param name="texts">Prompt and continuation, at least one token each.</param>
    public static QuantisationReport Measure(CpuModel model, FloatModel reference, IReadOnlyList<(int[] Prompt, int[] Continuation)> texts)
    {
        int layers = model.Config.Layers,
            vocabulary = model.VocabularySize,
            tokens = 0,
            same = 0;
        double loss = 0,
            floatLoss = 0,
            logitDifference = 0,
            logitSize = 0;
        double[] differences = new double[layers],
            sizes = new double[layers];
        float[] own = new float[vocabulary],
            other = new float[vocabulary];
        foreach ((int[] prompt, int[] continuation) in texts)
        {
            int[] all = [.. prompt, .. continuation];
            using ITokenSequence sequence = model.NewSequence(all.Length);
            using var exact = new FloatSequence(reference, all.Length);
            for (int i = 0; i + 1 < all.Length; i++)
            {
                model.Watch = (layer, hidden) => Compare(hidden, exact.Hidden[layer], ref differences[layer], ref sizes[layer]);
                exact.Forward(all.AsSpan(i, 1), other);
                sequence.Forward(all.AsSpan(i, 1), own);
                if (i + 1 < prompt.Length)
                    continue;
                tokens++;
                loss += Loss(own, all[i + 1]);
                floatLoss += Loss(other, all[i + 1]);
                if (Greedy.Choose(own) == Greedy.Choose(other))
                    same++;
                Compare(own, other, ref logitDifference, ref logitSize);
            }
        }
        model.Watch = null;
        return new QuantisationReport(
            tokens,
            Math.Exp(loss / tokens),
            Math.Exp(floatLoss / tokens),
            (double)same / tokens,
            [.. differences.Zip(sizes, (d, s) => Math.Sqrt(d / s))],
            Math.Sqrt(logitDifference / logitSize)
        );
    }

    private static void Compare(ReadOnlySpan<float> values, ReadOnlySpan<float> exact, ref double difference, ref double size)
    {
        float distance = TensorPrimitives.Distance(values, exact);
        difference += distance * distance;
        size += TensorPrimitives.SumOfSquares(exact);
    }

    private static double Loss(float[] logits, int token)
    {
        float most = TensorPrimitives.Max<float>(logits);
        return Math.Log(logits.Sum(v => Math.Exp(v - most))) - (logits[token] - most);
    }
}
