using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Runtime.Torch;

/// <summary>
/// Questions with their solutions, packed end to end into rows of equal length. Each text sees only itself (the mask
/// is block-diagonal and causal) and only the solution and the token that ends it are learned.
/// </summary>
public sealed class PackedBatch
{
    public required long[] Tokens { get; init; } // rows x length
    public required float[] Mask { get; init; } // rows x length x length: 0 where attended, -1e9 elsewhere
    public required long[] Positions { get; init; } // flat indices of the positions that predict a solution token
    public required long[] Targets { get; init; } // the token each of them should predict
    public required float[] Weights { get; init; } // of each prediction in the loss; they sum to 1
    public required (Query Query, int First, int Count)[] Spans { get; init; } // each text's range in Positions

    /// <summary>Fills rows with queries until the next does not fit. A long solution weighs as the root of its length.</summary>
    public static PackedBatch Pack(Func<Query> next, ITokenizer tokenizer, int rows, int length)
    {
        var tokens = new long[rows * length];
        var mask = new float[rows * length * length];
        Array.Fill(mask, -1e9f);
        List<long> positions = [],
            targets = [];
        List<float> weights = [];
        List<(Query, int, int)> spans = [];
        Array.Fill(tokens, tokenizer.EndOfText);
        for (int row = 0; row < rows; row++)
        {
            int used = 0;
            while (true)
            {
                Query query = next();
                int[] text = tokenizer.Encode(query.Prompt + query.Solution);
                int prompt = query.Prompt.Length,
                    needed = text.Length + 1;
                if (used + needed > length)
                    break;
                int start = row * length + used;
                for (int i = 0; i < text.Length; i++)
                    tokens[start + i] = text[i];
                int first = positions.Count,
                    count = needed - prompt;
                for (int i = prompt - 1; i < text.Length; i++)
                {
                    positions.Add(start + i);
                    targets.Add(i + 1 < text.Length ? text[i + 1] : tokenizer.EndOfText);
                    weights.Add(1 / MathF.Sqrt(count));
                }
                spans.Add((query, first, count));
                for (int i = 0; i < needed; i++)
                    Array.Fill(mask, 0f, (start + i) * length + used, i + 1);
                used += needed;
            }
            // Padding attends to itself alone, so that no softmax row is empty.
            for (int i = used; i < length; i++)
                mask[(row * length + i) * length + i] = 0f;
        }
        float total = weights.Sum();
        return new PackedBatch
        {
            Tokens = tokens,
            Mask = mask,
            Positions = [.. positions],
            Targets = [.. targets],
            Weights = [.. weights.Select(weight => weight / total)],
            Spans = [.. spans],
        };
    }
}
