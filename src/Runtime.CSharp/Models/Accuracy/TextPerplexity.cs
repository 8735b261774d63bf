using System.Numerics.Tensors;

namespace OptimalStopping.Runtime.Models.Accuracy;

/// <summary>How well a model foresees a text: exp of the mean negative log-probability of its tokens.</summary>
/// <param name="Perplexity">1 for a text that is known by heart, the vocabulary's size for one that is guessed at.</param>
/// <param name="StandardError">Of the perplexity, by the delta method, as if tokens were independent.</param>
/// <param name="Tokens">Tokens that were scored.</param>
/// <param name="Chunks">Pieces that the text was cut into.</param>
public sealed record TextPerplexity(double Perplexity, double StandardError, int Tokens, int Chunks)
{
    /// <summary>
    /// Without a stride: cuts the text into chunks of <paramref name="context"/> tokens, one behind the other, and scores the
    /// tokens of each chunk's second half, which have half a chunk before them at least; a last piece that is no whole chunk is
    /// left out. With a stride: each chunk begins that many tokens after the one before, has half a stride more than
    /// <paramref name="context"/>, and its last tokens are scored, a stride of them. Both as llama.cpp's <c>llama-perplexity</c>
    /// does (there <c>--ppl-stride</c>), but for its token of beginning, which Qwen3 has not.
    /// </summary>
    /// <param name="tokens">The text; at least one chunk, with a stride more than one.</param>
    /// <param name="context">8 or more tokens, within the model's positions.</param>
    /// <param name="chunks">The most chunks.</param>
    /// <param name="stride">0 for none, else at most <paramref name="context"/>.</param>
    /// <exception cref="ToolkitException">The text has too few tokens, or a chunk more than the model's positions.</exception>
    public static TextPerplexity Measure(
        ITokenModel model,
        ReadOnlySpan<int> tokens,
        int context,
        int chunks = int.MaxValue,
        int stride = 0
    )
    {
        int length = context + stride / 2,
            first = stride > 0 ? Math.Max(1, length - stride - 1) : context / 2; // the first token whose successor is scored
        if (length > model.MaxPositions)
            throw new ToolkitException($"context: expected at most {model.MaxPositions} tokens (the limit of {model.Name}), got {length}");
        int least = stride > 0 ? length + 1 : length,
            most = tokens.Length < least ? 0
            : stride > 0 ? (tokens.Length - length + stride - 1) / stride
            : tokens.Length / length,
            count = Math.Min(chunks, most);
        if (count == 0)
            throw new ToolkitException($"text: expected at least {least} tokens, got {tokens.Length}");
        int width = model.VocabularySize;
        const int Rows = 16; // whose logits are held at a time
        var logits = new float[Rows * width];
        double sum = 0,
            squares = 0;
        int scored = 0;
        using ITokenSequence sequence = model.NewSequence(length);
        for (int chunk = 0; chunk < count; chunk++)
        {
            ReadOnlySpan<int> text = tokens.Slice(chunk * (stride > 0 ? stride : length), length);
            sequence.Truncate(0);
            sequence.Forward(text[..first], logits.AsSpan(0, width));
            // The logits behind position i judge the token at i + 1; those of the first forward judge none that counts.
            for (int at = first; at < length - 1; at += Rows)
            {
                int rows = Math.Min(Rows, length - 1 - at);
                sequence.ForwardAll(text.Slice(at, rows), logits.AsSpan(0, rows * width));
                for (int i = 0; i < rows; i++)
                {
                    double loss = Loss(logits.AsSpan(i * width, width), text[at + i + 1]);
                    sum += loss;
                    squares += loss * loss;
                    scored++;
                }
            }
        }
        double mean = sum / scored,
            variance = Math.Max(0, squares / scored - mean * mean),
            perplexity = Math.Exp(mean);
        return new TextPerplexity(perplexity, perplexity * Math.Sqrt(variance / Math.Max(1, scored - 1)), scored, count);
    }

    private static double Loss(ReadOnlySpan<float> logits, int token)
    {
        float top = TensorPrimitives.Max(logits);
        double total = 0;
        foreach (float logit in logits)
            total += Math.Exp((double)logit - top);
        return Math.Log(total) + top - logits[token];
    }
}
