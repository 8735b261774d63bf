using OptimalStopping.Theory;

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

/// <summary>The thresholds that one request drafts by; never changed once made.</summary>
/// <param name="Acceptance">Probability that a token of each confidence bin is accepted, if all before it are.</param>
/// <param name="Continue">Entry j: with j tokens drafted, draft another iff their survival is above this.</param>
/// <param name="Keep">Entry j: keep token j+1 iff the survival with it is above this.</param>
public sealed record DraftRule(double[] Acceptance, double[] Continue, double[] Keep)
{
    /// <summary>Drafts nothing.</summary>
    internal static DraftRule None { get; } = new(new double[DraftBlock.Bins], [], []);

    /// <summary>The longest draft.</summary>
    public int MaxLength => Continue.Length;

    /// <summary>Whether every draft has the greatest length, whatever the drafter's confidence.</summary>
    public bool IsFixed { get; } = Array.TrueForAll(Continue, least => least < 0) && Array.TrueForAll(Keep, least => least < 0);

    /// <summary>Always this many tokens.</summary>
    public static DraftRule Fixed(int length)
    {
        var always = new double[length];
        Array.Fill(always, -1);
        return new DraftRule(Prior(), always, always);
    }

    /// <summary>No token, of drafts that might have this many.</summary>
    internal static DraftRule Never(double[] acceptance, int length)
    {
        var never = new double[length];
        Array.Fill(never, double.PositiveInfinity);
        return new DraftRule(acceptance, never, never);
    }

    internal static double[] Prior() => [.. Enumerable.Range(0, DraftBlock.Bins).Select(ConfidenceBins.Prior)];
}

/// <summary>
/// How long drafts are between one source and the model that verifies it: a fixed length, or as long as the chance that
/// all of it is accepted is worth another token (<see cref="DraftPlanning"/>). What becomes of drafted tokens is counted
/// by the drafter's confidence across requests, and the thresholds are planned anew as the counts grow; within a
/// request they do not change. Costs are given, or measured first and then taken from the requests themselves, where a
/// drafter also reads the prompt and finds its weights gone from the caches. May be shared by concurrent requests.
/// </summary>
public sealed class DraftController
{
    private const double PriorStrength = 2;

    /// <summary>Standard errors that are added to the share accepted. A class of confidence that its first few tokens put
    /// below the threshold would otherwise never be drafted again, and so never be found to be better.</summary>
    private const double Optimism = 1;

    /// <summary>Draft length until the first plan: a prior that drafts nothing would never find out that it is wrong.</summary>
    private const int FirstLength = 4;

    /// <summary>Of the requests that the plan would leave without drafts, one in so many drafts: costs and prompts change.</summary>
    private const int LookAgain = 48;

    /// <summary>Requests after which the thresholds are planned anew in any case.</summary>
    private const int PlanAgain = 1024;

    /// <summary>Requests whose times are remembered; the first half is waited for, in which the runtime still compiles.</summary>
    private const int Remembered = 32;

    private readonly Lock _lock = new();
    private readonly double[] _verifyCosts;
    private readonly DraftRule _first;
    private readonly long[] _offered = new long[DraftBlock.Bins],
        _tested = new long[DraftBlock.Bins],
        _accepted = new long[DraftBlock.Bins];
    private readonly bool _adaptive,
        _timed;
    private readonly double _begin,
        _draftCost,
        _alone;
    private readonly Queue<double> _ratios = new(Remembered);
    private long _seen,
        _planned,
        _requests,
        _unplanned;
    private volatile DraftRule _rule;
    private volatile bool _frozen;

    private DraftController(DraftRule rule, ForwardCosts costs, bool adaptive, bool timed) =>
        (_rule, _first, _begin, _draftCost, _verifyCosts, _alone, _adaptive, _timed) = (
            rule,
            rule,
            costs.Begin,
            costs.Draft,
            costs.Verify,
            costs.Alone,
            adaptive,
            timed
        );

    /// <summary>The rule that is planned at present.</summary>
    public DraftRule Rule => _rule;

    /// <summary>Tokens per unit of cost that the plan expects; NaN for a fixed length and before the first plan.</summary>
    public double Rate { get; private set; } = double.NaN;

    /// <summary>Whether the present rule drafts at all.</summary>
    public bool Drafts => _rule is { Continue: [< 1, ..] };

    /// <summary>The longest draft that any rule of this controller makes.</summary>
    public int MaxLength => _rule.MaxLength;

    /// <summary>Every draft has this length, unless the answer ends before (at least 1).</summary>
    public static DraftController Fixed(int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        return new DraftController(DraftRule.Fixed(length), new ForwardCosts(0, 0, [], 0), adaptive: false, timed: false);
    }

    /// <summary>Draft length by optimal stopping, with costs that are measured beforehand and corrected by the requests' own times.</summary>
    public static DraftController Adaptive(ForwardCosts costs) => Adaptive(costs, timed: true);

    /// <summary>Draft length by optimal stopping, with costs that stay as they are given.</summary>
    /// <param name="draftCost">Cost of drafting one token; at least 0.</param>
    /// <param name="verifyCosts">Entry g: cost of the forward that verifies g drafted tokens, in the same unit; positive,
    /// at least two entries, the last one being the longest draft allowed.</param>
    public static DraftController Adaptive(double draftCost, double[] verifyCosts) =>
        Adaptive(new ForwardCosts(0, draftCost, [.. verifyCosts], verifyCosts.FirstOrDefault()), timed: false);

    private static DraftController Adaptive(ForwardCosts costs, bool timed)
    {
        DraftPlanning.Optimal(new DiscreteDistribution([0.5], [1]), costs.Draft, costs.Verify); // checks the costs
        int longest = costs.Verify.Length - 1,
            first = Math.Min(FirstLength, longest);
        double[] begin = [.. Enumerable.Range(0, longest).Select(j => j < first ? -1 : double.PositiveInfinity)];
        return new DraftController(new DraftRule(DraftRule.Prior(), begin, begin), costs, adaptive: true, timed);
    }

    /// <summary>Keeps the present thresholds from now on: equal seeds then give equal samples, whatever came before.</summary>
    public void Freeze() => _frozen = true;

    /// <summary>The rule for the next request.</summary>
    internal DraftRule NextRule()
    {
        DraftRule rule = _rule;
        return rule is { Continue: [< 1, ..] } || !_adaptive || _frozen || Interlocked.Increment(ref _requests) % LookAgain != 0
            ? rule
            : _first;
    }

    /// <summary>Takes in what a request saw: tokens offered, tested (up to the first rejection) and accepted, by bin.</summary>
    internal void Learn(ReadOnlySpan<int> offered, ReadOnlySpan<int> tested, ReadOnlySpan<int> accepted)
    {
        if (!_adaptive || _frozen)
            return;
        lock (_lock)
        {
            for (int b = 0; b < DraftBlock.Bins; b++)
            {
                _offered[b] += offered[b];
                _tested[b] += tested[b];
                _accepted[b] += accepted[b];
                _seen += tested[b];
            }
            // Planning takes a fraction of a millisecond; at every doubling it stays negligible.
            if (_seen >= 32 && (_seen >= 2 * _planned || ++_unplanned >= PlanAgain))
                Plan();
        }
    }

    /// <summary>Takes in a request's times: of its drafts, and of its verifications by their number of drafted tokens.</summary>
    internal void LearnCosts(double draftSeconds, int drafts, long drafted, double verifySeconds, ReadOnlySpan<int> verifications)
    {
        if (!_timed || _frozen || drafted == 0)
            return;
        double planned = 0,
            draftPlanned = drafts * _begin + drafted * _draftCost;
        for (int g = 0; g < verifications.Length; g++)
            planned += verifications[g] * _verifyCosts[Math.Min(g, _verifyCosts.Length - 1)];
        if (planned == 0 || draftPlanned == 0)
            return;
        lock (_lock)
        {
            if (_ratios.Count == Remembered)
                _ratios.Dequeue();
            _ratios.Enqueue(draftSeconds / draftPlanned / (verifySeconds / planned));
        }
    }

    private void Plan()
    {
        (_planned, _unplanned) = (_seen, 0);
        double[] acceptance = DraftRule.Prior(),
            share = new double[DraftBlock.Bins];
        double total = 0;
        for (int b = 0; b < DraftBlock.Bins; b++)
        {
            double tested = _tested[b] + PriorStrength,
                mean = (_accepted[b] + PriorStrength * acceptance[b]) / tested;
            acceptance[b] = Math.Min(1, mean + Optimism * Math.Sqrt(mean * (1 - mean) / tested));
            total += share[b] = _offered[b] + 0.5;
        }
        for (int b = 0; b < DraftBlock.Bins; b++)
            share[b] /= total;
        // Costs in units of the table of verifications: only their ratio decides.
        double scale = _ratios.Count < Remembered / 2 ? 1 : _ratios.Order().ElementAt(_ratios.Count / 2);
        double[] costs = [.. _verifyCosts.Select((cost, g) => g == 0 ? cost : cost + scale * _begin)];
        DraftPlan plan = DraftPlanning.Optimal(new DiscreteDistribution(acceptance, share), scale * _draftCost, costs);
        // Where nothing is drafted the verifier runs alone, faster than between the drafter's forwards.
        bool drafts = plan.Rate * _alone > 1;
        Rate = drafts ? plan.Rate : 1 / _alone;
        _rule = drafts ? new DraftRule(acceptance, plan.Continue, plan.Keep) : DraftRule.Never(acceptance, _verifyCosts.Length - 1);
    }
}
