using System.Collections.Concurrent;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Decoding;

/// <summary>
/// Speculative decoding by a chain of models (Leviathan, Kalman and Matias 2023; Chen et al. 2023): each drafts for the
/// next, and the last one's answer comes out. Greedy answers are token for token those of <see cref="GreedyDecoder"/> on
/// the last model; sampled answers have its distribution exactly. Draft lengths decide the time it takes and nothing else. May be
/// used by several threads at once.
/// </summary>
public sealed class SpeculativeDecoder : IDisposable
{
    private readonly IReadOnlyList<ITokenModel> _chain;
    private readonly IReadOnlyList<DraftController> _controllers;
    private readonly Func<IDraftSource>? _lowest;
    private readonly int[] _stops;
    private readonly int _maxTokens;
    private readonly ConcurrentBag<SpeculativeLevel> _idle = [];

    /// <summary>A decoder; the models stay the caller's.</summary>
    /// <param name="chain">Models that share one vocabulary, from the first drafter to the target; one or more.</param>
    /// <param name="stopTokens">The tokens that end an answer.</param>
    /// <param name="maxTokens">The most tokens of an answer; at least 1.</param>
    /// <param name="controllers">The draft length of each step of the chain: first that of <paramref name="lowest"/>, if
    /// there is one, then one for each model but the last.</param>
    /// <param name="lowest">Makes the source that drafts for the first model; null where that decodes plainly.</param>
    public SpeculativeDecoder(
        IReadOnlyList<ITokenModel> chain,
        IReadOnlyList<int> stopTokens,
        int maxTokens,
        IReadOnlyList<DraftController> controllers,
        Func<IDraftSource>? lowest = null
    )
    {
        if (chain.Count == 0)
            throw new ArgumentException("expected at least one model", nameof(chain));
        foreach (ITokenModel model in chain)
            if (model.VocabularySize != chain[0].VocabularySize)
                throw new ArgumentException(
                    $"expected {chain[0].VocabularySize} tokens as in {chain[0].Name}, got {model.VocabularySize} in {model.Name}",
                    nameof(chain)
                );
        int steps = chain.Count - (lowest is null ? 1 : 0);
        if (controllers.Count != steps)
            throw new ArgumentException($"expected {steps} draft lengths, got {controllers.Count}", nameof(controllers));
        ArgumentOutOfRangeException.ThrowIfLessThan(maxTokens, 1);
        (_chain, _stops, _maxTokens, _controllers, _lowest) = (chain, [.. stopTokens], maxTokens, controllers, lowest);
    }

    /// <summary>The model whose answers come out.</summary>
    public ITokenModel Target => _chain[^1];

    /// <summary>Decodes one prompt.</summary>
    /// <param name="sampling">Greedy, or how tokens are drawn.</param>
    /// <param name="answer">What an earlier stage answered, for an <see cref="AnswerDraft"/>; may be empty.</param>
    /// <param name="onToken">Sees every token but the end, with its log-probability, as soon as it is settled.</param>
    /// <param name="maxTokens">A lower limit of tokens for this answer (at least 1); null for the decoder's own.</param>
    /// <exception cref="ToolkitException">The prompt is empty or leaves no room for an answer, or an option is out of its domain.</exception>
    public SpeculativeGeneration Decode(
        ReadOnlySpan<int> prompt,
        SamplingOptions sampling = default,
        ReadOnlyMemory<int> answer = default,
        Action<int, double>? onToken = null,
        int? maxTokens = null,
        CancellationToken cancel = default
    )
    {
        sampling.Check();
        if (prompt.Length == 0)
            throw new ToolkitException("prompt: expected at least one character, got none");
        if (prompt.Length >= Target.MaxPositions)
            throw new ToolkitException(
                $"prompt: expected fewer than {Target.MaxPositions} tokens (the limit of {Target.Name}), got {prompt.Length}"
            );
        // The last token of an answer is never fed, so that one more than the positions left can be written.
        int most = Math.Min(Math.Min(maxTokens ?? _maxTokens, _maxTokens), Target.MaxPositions - prompt.Length + 1);
        SpeculativeLevel level = _idle.TryTake(out SpeculativeLevel? idle) ? idle : Build();
        bool whole = false;
        try
        {
            level.Start(new DraftRequest(prompt.Length, prompt.Length + most - 1, answer, sampling, new SplitMix64(sampling.Seed)));
            level.SyncPrefix(prompt);
            int written = 0;
            bool ended = false;
            while (written < most && !ended)
            {
                cancel.ThrowIfCancellationRequested();
                int emitted = level.Advance(most - written);
                ended = _stops.Contains(level.Tokens[^1]);
                if (onToken is not null)
                    for (int i = 0; i < emitted - (ended ? 1 : 0); i++)
                        onToken(level.Tokens[^(emitted - i)], level.LogProbabilities[i]);
                written += emitted;
            }
            level.Finish();
            whole = true;
            int[] tokens = level.Tokens[prompt.Length..^(ended ? 1 : 0)].ToArray();
            return new SpeculativeGeneration(
                new Generation(tokens, level.Features, ended),
                new SpeculationMetrics(Stages(level)),
                level.FirstDraft
            );
        }
        finally
        {
            if (whole)
                _idle.Add(level);
            else
                level.Dispose();
        }
    }

    /// <summary>Frees the sequences held for later requests.</summary>
    public void Dispose()
    {
        while (_idle.TryTake(out SpeculativeLevel? level))
            level.Dispose();
    }

    private SpeculativeLevel Build()
    {
        IDraftSource? source = _lowest?.Invoke();
        SpeculativeLevel? level = null;
        for (int k = 0; k < _chain.Count; k++)
        {
            int step = k - (_lowest is null ? 1 : 0);
            DraftController? controller = step < 0 ? null : _controllers[step];
            // A drafter puts out at most as many tokens at once as the level above may want.
            int draft = controller?.MaxLength ?? 0,
                wanted = step + 1 < _controllers.Count ? _controllers[step + 1].MaxLength : 0;
            level = new SpeculativeLevel(_chain[k], source, controller, Math.Max(draft, wanted), _stops)
            {
                GathersFeatures = k == _chain.Count - 1,
            };
            source = level;
        }
        return level!;
    }

    private static StageSpeculation[] Stages(SpeculativeLevel level)
    {
        var stages = new List<StageSpeculation>();
        for (SpeculativeLevel? at = level; at is not null; at = at.Source as SpeculativeLevel)
            stages.Insert(0, at.Metrics);
        return [.. stages];
    }
}
