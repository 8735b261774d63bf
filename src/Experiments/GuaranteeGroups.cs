using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>
/// The groups of the queries that a guarantee is tested on. A policy passes when it passes in every group that has enough
/// queries to show anything at all; smaller ones are left out of the guarantee, and named.
/// </summary>
internal sealed class GuaranteeGroups
{
    private readonly TraceGroups? _groups;
    private readonly int[] _rows; // the group of each query tested on
    private readonly bool[] _covered;

    private GuaranteeGroups(TraceGroups? groups, int[] rows, bool[] covered) => (_groups, _rows, _covered) = (groups, rows, covered);

    /// <summary>The group of each query tested on, negative where the guarantee does not cover it; all of one group without groups.</summary>
    public int[] Tested => _groups is null ? new int[_rows.Length] : Array.ConvertAll(_rows, group => _covered[group] ? group : -1);

    /// <summary>Number of groups that the guarantee covers; 0 without groups.</summary>
    public int Covered => _covered.Count(covered => covered);

    /// <summary>What is left out, in one line; null for nothing.</summary>
    public string? Note { get; private init; }

    /// <summary>Which groups can be covered: by their numbers of queries alone, so that losses have no say in it.</summary>
    /// <param name="groups">Of all queries; null for no groups.</param>
    /// <param name="tested">The queries that the guarantee is tested on.</param>
    /// <exception cref="ToolkitException">No group has enough.</exception>
    public static GuaranteeGroups From(TraceGroups? groups, int[] tested, double maxLoss, double delta, string name)
    {
        if (groups is null)
            return new GuaranteeGroups(null, tested, []);
        int[] rows = Array.ConvertAll(tested, q => groups.Of[q]);
        int least = LeastQueries(maxLoss, delta);
        bool[] covered = [.. groups.Names.Select((_, g) => rows.Count(own => own == g) >= least)];
        string[] left = [.. groups.Names.Where((_, g) => !covered[g])];
        if (left.Length == groups.Names.Count)
            throw new ToolkitException(
                FormattableString.Invariant(
                    $"{name}: expected a group by '{groups.Column}' with at least {least} queries to test on, without which not even a policy that loses nothing can be shown to lose at most {maxLoss}, got none"
                )
            );
        return new GuaranteeGroups(groups, rows, covered)
        {
            Note =
                left.Length == 0
                    ? null
                    : FormattableString.Invariant(
                        $"the guarantee does not cover {string.Join(", ", left)}: fewer than {least} queries to test on there, which cannot show a loss of at most {maxLoss:0.####}"
                    ),
        };
    }

    /// <summary>The rows of the output, in the order of the groups; none without groups.</summary>
    /// <param name="always">What the reference model does on the queries tested on.</param>
    /// <param name="own">What the policy does.</param>
    /// <param name="delta">Most probability that the bound of some group fails.</param>
    public IReadOnlyList<PolicyGroup> Rows(ReplayOutcome always, ReplayOutcome own, double delta)
    {
        if (_groups is null)
            return [];
        var rows = new List<PolicyGroup>();
        for (int g = 0; g < _covered.Length; g++)
        {
            int[] at = [.. Enumerable.Range(0, _rows.Length).Where(i => _rows[i] == g)];
            if (at.Length == 0)
                continue;
            double[] losses = Array.ConvertAll(at, i => always.Quality[i] - own.Quality[i]);
            double cost = at.Sum(i => always.Cost[i]);
            rows.Add(
                new PolicyGroup(
                    _groups.Names[g],
                    at.Length,
                    _covered[g],
                    losses.Average(),
                    HighLoss(losses, delta / _covered.Length),
                    cost > 0 ? 1 - at.Sum(i => own.Cost[i]) / cost : 0
                )
            );
        }
        return rows;
    }

    /// <summary>Upper end of the confidence sequence of a mean loss in [-1, 1]; it fails with probability at most delta.</summary>
    private static double HighLoss(double[] losses, double delta)
    {
        ConfidenceSequence sequence = ConfidenceSequences.Start(delta);
        foreach (double loss in losses)
            sequence = ConfidenceSequences.Observe(sequence, (1 + loss) / 2);
        return Math.Clamp(2 * sequence.High - 1, -1, 1);
    }

    /// <summary>The fewest queries on which a policy that loses nothing passes.</summary>
    private static int LeastQueries(double maxLoss, double delta)
    {
        bool Passes(int count) => RiskControl.BettingNet(new double[count], maxLoss, delta) <= delta;
        int high = 1;
        while (!Passes(high))
            high *= 2;
        int low = high / 2; // fails, or 0
        while (high - low > 1)
            if (Passes((low + high) / 2))
                high = (low + high) / 2;
            else
                low = (low + high) / 2;
        return high;
    }
}
