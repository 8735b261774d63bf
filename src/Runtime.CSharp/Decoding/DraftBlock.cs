namespace OptimalStopping.Runtime.Decoding;

/// <summary>
/// The draft of one verification while it grows. Its rule decides after each token whether to keep it and whether to go
/// on, from the probability that everything drafted so far will be accepted.
/// </summary>
public sealed class DraftBlock
{
    /// <summary>Classes of confidence that a drafter tells apart.</summary>
    public const int Bins = 12;

    private readonly int[] _tokens,
        _bins;
    private readonly double[] _distributions;
    private readonly int _vocabulary;
    private DraftRule _rule = DraftRule.None;
    private int _limit;

    internal DraftBlock(int capacity, int vocabulary, bool withDistributions)
    {
        (_tokens, _bins, _vocabulary) = (new int[capacity], new int[capacity], vocabulary);
        _distributions = withDistributions ? new double[capacity * vocabulary] : [];
    }

    /// <summary>Tokens kept so far.</summary>
    public int Count { get; private set; }

    /// <summary>The most tokens that are still wanted.</summary>
    public int Room => _limit - Count;

    /// <summary>Whether another token is worth drafting.</summary>
    public bool GoesOn => Count < _limit && Survival > _rule.Continue[Count];

    /// <summary>Estimated probability that all tokens so far are accepted.</summary>
    public double Survival { get; private set; }

    /// <summary>Whether the draft's length depends on the drafter's confidence.</summary>
    public bool WantsConfidence => !_rule.IsFixed;

    /// <summary>Whether the consumer samples, so that each token's distribution must come with it.</summary>
    public bool WantsDistributions => _distributions.Length > 0;

    internal ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, Count);
    internal bool Certain { get; private set; }

    internal int Bin(int position) => _bins[position];

    /// <summary>The distribution that a token was drawn from; empty for a source that does not draw.</summary>
    internal ReadOnlySpan<double> Distribution(int position) => Certain ? [] : _distributions.AsSpan(position * _vocabulary, _vocabulary);

    internal void Begin(DraftRule rule, int limit)
    {
        (_rule, _limit, Count, Survival, Certain) = (rule, Math.Min(limit, rule.MaxLength), 0, 1, true);
    }

    /// <summary>
    /// Offers the next token. For exact sampling the bin may depend on the tokens before and on the distribution, never on the
    /// token drawn: whether a draw is verified must not depend on what was drawn.
    /// </summary>
    /// <param name="bin">The drafter's confidence, 0 to <see cref="Bins"/> - 1.</param>
    /// <param name="distribution">The distribution that it was drawn from; empty where the source always proposes this token.</param>
    /// <returns>Whether it was kept; if not, the draft ends before it.</returns>
    public bool Offer(int token, int bin, ReadOnlySpan<double> distribution = default)
    {
        double survival = Survival * _rule.Acceptance[bin];
        if (Count >= _limit || !(survival > _rule.Keep[Count]))
            return false;
        if (!distribution.IsEmpty)
        {
            Certain = false;
            distribution.CopyTo(_distributions.AsSpan(Count * _vocabulary));
        }
        (_tokens[Count], _bins[Count]) = (token, bin);
        (Count, Survival) = (Count + 1, survival);
        return true;
    }
}

/// <summary>The bins of confidence of a model: halvings of the probability of all tokens but the most probable.</summary>
internal static class ConfidenceBins
{
    /// <summary>Bin k holds 2^-(k+1) &lt; rest &lt;= 2^-k; the last bin everything below.</summary>
    public static int From(double rest) => rest <= 0 ? DraftBlock.Bins - 1 : Math.Clamp(-Math.ILogB(rest) - 1, 0, DraftBlock.Bins - 1);

    /// <summary>Acceptance expected before any was seen.</summary>
    public static double Prior(int bin) => 1 - 0.75 * Math.Pow(2, -bin);
}
