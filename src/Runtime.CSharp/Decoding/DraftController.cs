using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Decoding;

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

    /// <summary>Always this many tokens.</summary>
    public static DraftRule Fixed(int length)
    {
        var always = new double[length];
        Array.Fill(always, -1);
        return new DraftRule(Prior(), always, always);
    }

    internal static double[] Prior() => [.. Enumerable.Range(0, DraftBlock.Bins).Select(ConfidenceBins.Prior)];
}

/// <summary>
/// How long drafts are between one source and the model that verifies it: a fixed length, or as long as the chance that
/// all of it is accepted is worth another token (<see cref="DraftPlanning"/>). What becomes of drafted tokens is counted
/// by the drafter's confidence across requests, and the thresholds are planned anew as the counts grow; within a
/// request they do not change. May be shared by concurrent requests.
/// </summary>
public sealed class DraftController
{
    private const double PriorStrength = 2;

    /// <summary>Draft length until the first plan: a prior that drafts nothing would never find out that it is wrong.</summary>
    private const int FirstLength = 4;

    private readonly Lock _lock = new();
    private readonly double _draftCost;
    private readonly double[] _verifyCosts;
    private readonly long[] _offered = new long[DraftBlock.Bins], _tested = new long[DraftBlock.Bins], _accepted = new long[DraftBlock.Bins];
    private readonly bool _adaptive;
    private long _seen, _planned;
    private volatile DraftRule _rule;
    private volatile bool _frozen;

    private DraftController(DraftRule rule, double draftCost, double[] verifyCosts, bool adaptive) =>
        (_rule, _draftCost, _verifyCosts, _adaptive) = (rule, draftCost, verifyCosts, adaptive);

    /// <summary>The rule for the next request.</summary>
    public DraftRule Rule => _rule;

    /// <summary>Tokens per unit of cost that the plan expects; NaN for a fixed length and before the first plan.</summary>
    public double Rate { get; private set; } = double.NaN;

    /// <summary>The longest draft that any rule of this controller makes.</summary>
    public int MaxLength => _rule.MaxLength;

    /// <summary>Every draft has this length, unless the answer ends before (at least 1).</summary>
    public static DraftController Fixed(int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        return new DraftController(DraftRule.Fixed(length), 0, [], adaptive: false);
    }

    /// <summary>Draft length by optimal stopping.</summary>
    /// <param name="draftCost">Cost of drafting one token; at least 0.</param>
    /// <param name="verifyCosts">Entry g: cost of the forward that verifies g drafted tokens, in the same unit; positive,
    /// at least two entries, the last one being the longest draft allowed.</param>
    public static DraftController Adaptive(double draftCost, double[] verifyCosts)
    {
        DraftPlanning.optimal(new DiscreteLaw([0.5], [1]), draftCost, verifyCosts); // checks the costs
        int longest = verifyCosts.Length - 1, first = Math.Min(FirstLength, longest);
        double[] begin = [.. Enumerable.Range(0, longest).Select(j => j < first ? -1 : double.PositiveInfinity)];
        return new DraftController(new DraftRule(DraftRule.Prior(), begin, begin), draftCost, [.. verifyCosts], adaptive: true);
    }

    /// <summary>Keeps the present thresholds from now on: equal seeds then give equal samples, whatever came before.</summary>
    public void Freeze() => _frozen = true;

    /// <summary>Takes in what a request saw: tokens offered, tested (up to the first rejection) and accepted, by bin.</summary>
    internal void Learn(ReadOnlySpan<int> offered, ReadOnlySpan<int> tested, ReadOnlySpan<int> accepted)
    {
        if (!_adaptive || _frozen) return;
        lock (_lock)
        {
            for (int b = 0; b < DraftBlock.Bins; b++)
            {
                _offered[b] += offered[b];
                _tested[b] += tested[b];
                _accepted[b] += accepted[b];
                _seen += tested[b];
            }
            // Planning takes about a millisecond; at every growth by half it stays negligible.
            if (_seen >= 32 && _seen * 2 >= _planned * 3) Plan();
        }
    }

    private void Plan()
    {
        _planned = _seen;
        double[] acceptance = DraftRule.Prior(), share = new double[DraftBlock.Bins];
        double total = 0;
        for (int b = 0; b < DraftBlock.Bins; b++)
        {
            acceptance[b] = (_accepted[b] + PriorStrength * acceptance[b]) / (_tested[b] + PriorStrength);
            total += share[b] = _offered[b] + 0.5;
        }
        for (int b = 0; b < DraftBlock.Bins; b++) share[b] /= total;
        DraftPlan plan = DraftPlanning.optimal(new DiscreteLaw(acceptance, share), _draftCost, _verifyCosts);
        Rate = plan.Rate;
        _rule = new DraftRule(acceptance, plan.Continue, plan.Keep);
    }
}
