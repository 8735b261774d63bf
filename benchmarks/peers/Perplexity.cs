using System.Text.Json;

namespace OptimalStopping.Peers;

/// <summary>
/// The perplexity of a text in llama.cpp, token by token through its C interface: what a <c>.gguf</c> file of ours means to
/// it, and what <c>toolkit perplexity</c> should find.
/// </summary>
internal static class Perplexity
{
    /// <summary>Prints an object: the text's tokens, how many of them were scored, and the perplexity.</summary>
    /// <param name="context">Tokens of a chunk.</param>
    /// <param name="stride">0: the second halves of chunks one behind the other; else as <c>llama-perplexity --ppl-stride</c>.</param>
    public static void Run(string file, string text, int context, int stride, int threads)
    {
        int length = context + stride / 2,
            step = stride > 0 ? stride : length,
            first = stride > 0 ? length - stride - 1 : context / 2;
        var model = new LlamaModel(file, 0, length, threads);
        int[] tokens = model.Tokenize(text);
        double sum = 0;
        int scored = 0;
        for (int start = 0; stride > 0 ? start + length < tokens.Length : start + length <= tokens.Length; start += step)
        {
            model.Truncate(0);
            for (int at = 0; at < length - 1; at++)
            {
                ReadOnlySpan<float> logits = model.Forward([tokens[start + at]]);
                if (at < first)
                    continue;
                double top = double.NegativeInfinity,
                    total = 0;
                foreach (float logit in logits)
                    top = Math.Max(top, logit);
                foreach (float logit in logits)
                    total += Math.Exp(logit - top);
                sum += top + Math.Log(total) - logits[tokens[start + at + 1]];
                scored++;
            }
        }
        Console.WriteLine(
            JsonSerializer.Serialize(
                new
                {
                    tokens,
                    scored,
                    perplexity = Math.Exp(sum / scored),
                }
            )
        );
    }
}
