using OptimalStopping.Runtime.Tasks;

namespace OptimalStopping.Runtime.Torch;

/// <summary>
/// Questions with their solutions, packed end to end into rows of equal length. Each text sees only itself (the mask
/// is block-diagonal and causal); the solution and the token that ends it are learned, the question only as far as
/// asked for.
/// </summary>
public sealed class PackedBatch
{
    public required long[] Tokens { get; init; } // rows x length
    public required float[] Mask { get; init; } // rows x length x length: 0 where attended, -1e9 elsewhere
    public required long[] Positions { get; init; } // flat indices of the positions that predict a token
    public required long[] Targets { get; init; } // the token each of them should predict
    public required float[] Weights { get; init; } // of each prediction in the loss; they sum to 1
    public required (Query Query, int First, int Count)[] Spans { get; init; } // each solution's range in Positions

    /// <summary>
    /// Fills rows with texts until the next does not fit; that one begins the next row. Texts longer than a row are left
    /// out. A long solution weighs as the root of its length.
    /// </summary>
    /// <param name="padding">The token that fills the rows up.</param>
    /// <param name="promptWeight">Weight of a question beside its solution; 0 learns solutions only.</param>
    public static PackedBatch Pack(Func<TrainingText> next, int padding, int rows, int length, double promptWeight = 0)
    {
        var tokens = new long[rows * length];
        var mask = new float[rows * length * length];
        Array.Fill(mask, -1e9f);
        List<long> positions = [],
            targets = [];
        List<float> weights = [];
        List<(Query, int, int)> spans = [];
        Array.Fill(tokens, padding);
        TrainingText text = Fitting();
        for (int row = 0; row < rows; row++)
        {
            int used = 0;
            for (; used + text.Tokens.Length <= length; text = Fitting())
            {
                int start = row * length + used,
                    needed = text.Tokens.Length,
                    solution = needed - text.PromptLength;
                for (int i = 0; i < needed; i++)
                    tokens[start + i] = text.Tokens[i];
                spans.Add((text.Query, positions.Count, solution));
                Learn(start, text, text.PromptLength, needed, 1 / MathF.Sqrt(solution));
                if (promptWeight > 0)
                    Learn(start, text, 1, text.PromptLength, (float)promptWeight / MathF.Sqrt(text.PromptLength));
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

        TrainingText Fitting()
        {
            TrainingText text = next();
            while (text.Tokens.Length > length)
                text = next();
            return text;
        }

        void Learn(int start, TrainingText text, int from, int to, float weight)
        {
            for (int i = from; i < to; i++)
            {
                positions.Add(start + i - 1);
                targets.Add(text.Tokens[i]);
                weights.Add(weight);
            }
        }
    }
}
