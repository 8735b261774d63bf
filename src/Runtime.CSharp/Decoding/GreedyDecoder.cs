using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Runtime.Decoding;

/// <summary>An answer as a model wrote it.</summary>
/// <param name="Tokens">The tokens written, without the end token.</param>
/// <param name="Features">What the model's probabilities say of them.</param>
/// <param name="Ended">False where the limit of tokens came before the end token.</param>
public sealed record Generation(int[] Tokens, ConfidenceFeatures Features, bool Ended);

/// <summary>Sees a token as it is chosen, with its log-probability and the logits that it was chosen from.</summary>
/// <returns>Whether to go on; an answer that is stopped so has not ended.</returns>
public delegate bool TokenObserver(int token, double logProbability, ReadOnlySpan<float> logits);

/// <summary>Greedy decoding of one prompt, or of many in a batch that is refilled as answers end.</summary>
/// <param name="endTokens">Each of them ends an answer.</param>
public sealed class GreedyDecoder(ITokenModel model, IReadOnlyList<int> endTokens, int maxTokens)
{
    /// <summary>A decoder whose answers end with one token.</summary>
    public GreedyDecoder(ITokenModel model, int endOfText, int maxTokens)
        : this(model, [endOfText], maxTokens) { }

    /// <summary>Decodes one prompt; <paramref name="onToken"/> sees every token but the end as it is chosen.</summary>
    /// <exception cref="ToolkitException">The prompt is empty or leaves no room for an answer.</exception>
    public Generation Decode(ReadOnlySpan<int> prompt, Action<int>? onToken = null, CancellationToken cancel = default) =>
        Decode(
            prompt,
            (token, _, _) =>
            {
                onToken?.Invoke(token);
                return true;
            },
            cancel
        );

    /// <summary>As above; <paramref name="observer"/> sees what each token was chosen from, and may stop the answer.</summary>
    public Generation Decode(ReadOnlySpan<int> prompt, TokenObserver observer, CancellationToken cancel = default)
    {
        CheckPrompt(prompt.Length);
        using ITokenSequence sequence = model.NewSequence(Math.Min(model.MaxPositions, prompt.Length + maxTokens));
        var logits = new float[model.VocabularySize];
        var tokens = new List<int>(maxTokens);
        var signals = new FeatureAccumulator();
        Span<int> next = stackalloc int[1];
        sequence.Forward(prompt, logits);
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            int token = signals.Observe(logits);
            if (endTokens.Contains(token))
                return new Generation([.. tokens], signals.ToFeatures(), true);
            tokens.Add(token);
            if (!observer(token, signals.LastLogProbability, logits) || tokens.Count == maxTokens || sequence.Length == sequence.Capacity)
                return new Generation([.. tokens], signals.ToFeatures(), false);
            next[0] = token;
            sequence.Forward(next, logits);
        }
    }

    /// <summary>
    /// Decodes every prompt, at most <paramref name="batch"/> at a time. Because a token's logits do not depend on what
    /// else is in the batch, the answers are those of decoding each alone, in the order of the prompts.
    /// </summary>
    public Generation[] DecodeAll(IReadOnlyList<int[]> prompts, int batch = 64, CancellationToken cancel = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        var results = new Generation[prompts.Count];
        var slots = new List<Slot>(batch);
        var steps = new SequenceStep[batch];
        var logits = new float[batch * model.VocabularySize];
        int started = 0;
        try
        {
            while (true)
            {
                cancel.ThrowIfCancellationRequested();
                while (slots.Count < batch && started < prompts.Count)
                {
                    int[] prompt = prompts[started];
                    CheckPrompt(prompt.Length);
                    slots.Add(new Slot(started++, prompt, model.NewSequence(Math.Min(model.MaxPositions, prompt.Length + maxTokens))));
                }
                if (slots.Count == 0)
                    return results;
                for (int i = 0; i < slots.Count; i++)
                    steps[i] = new SequenceStep(slots[i].Sequence, slots[i].Feed);
                model.ForwardBatch(steps.AsSpan(0, slots.Count), logits.AsSpan(0, slots.Count * model.VocabularySize));
                for (int i = 0; i < slots.Count; i++)
                    slots[i].Take(logits.AsSpan(i * model.VocabularySize, model.VocabularySize), endTokens, maxTokens);
                for (int i = slots.Count - 1; i >= 0; i--)
                {
                    if (slots[i].Result is not { } result)
                        continue;
                    results[slots[i].Prompt] = result;
                    slots[i].Sequence.Dispose();
                    slots.RemoveAt(i);
                }
            }
        }
        finally
        {
            foreach (Slot slot in slots)
                slot.Sequence.Dispose();
        }
    }

    private void CheckPrompt(int length)
    {
        if (length == 0)
            throw new ToolkitException("prompt: expected at least one character, got none");
        if (length >= model.MaxPositions)
            throw new ToolkitException(
                $"prompt: expected fewer than {model.MaxPositions} tokens (the limit of {model.Name}), got {length}"
            );
    }

    // One prompt in the batch: what to feed next and what has been written.
    private sealed class Slot(int prompt, int[] feed, ITokenSequence sequence)
    {
        private readonly List<int> _tokens = [];
        private readonly int[] _next = new int[1];
        private FeatureAccumulator _features;

        public int Prompt => prompt;
        public ITokenSequence Sequence => sequence;
        public ReadOnlyMemory<int> Feed { get; private set; } = feed;
        public Generation? Result { get; private set; }

        public void Take(Span<float> logits, IReadOnlyList<int> endTokens, int maxTokens)
        {
            int token = _features.Observe(logits);
            bool ended = endTokens.Contains(token);
            if (!ended)
                _tokens.Add(token);
            if (ended || _tokens.Count == maxTokens || sequence.Length == sequence.Capacity)
                Result = new Generation([.. _tokens], _features.ToFeatures(), ended);
            _next[0] = token;
            Feed = _next;
        }
    }
}
