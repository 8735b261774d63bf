using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Server;

/// <summary>
/// NEST over threshold policies of the chain, fed with the grades that come back. It starts from the calibration queries
/// as if they had been its first queries with every stage graded. May be used from several threads at once.
/// </summary>
/// <remarks>
/// Grades arrive late and in any order. A loss is weighted with the probability that the answer's policy had when it was
/// drawn, not with today's: each answer remembers the number of the learner's state that drew it, and the last
/// <see cref="Remembered"/> states are kept. So a late grade is estimated as a prompt one would have been. Theorem 4 bounds the
/// regret of prompt grades of all answers. Two things are not covered: under delay the learner acts on fewer grades than the
/// theorem counts, and where grades are missing for reasons of their own (only bad answers are complained about) no bound holds.
/// Grades that are missing by a coin of known probability are Theorem 15's: with an audit rate below 1 only the answers that
/// <see cref="Audit"/> draws are learnt from, each weighted for that probability.
/// </remarks>
internal sealed class OnlineLearner
{
    /// <summary>States kept for grades that arrive late.</summary>
    public const int Remembered = 2048;

    // Calibrated confidences crowd near 1, so the bins are narrow there.
    private static readonly double[] Edges = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995];

    private readonly Lock _lock = new();
    private readonly double[] _pathCost; // lambda (C_k - C_0), C_k the cost of the stages up to k
    private readonly Queue<(int Version, NestState State)> _recent = new();
    private readonly SplitMix64 _random;

    // The coins look at nothing: neither at the query nor at the learner's own draws.
    private readonly SplitMix64 _coins = new((ulong)Random.Shared.NextInt64());
    private readonly int _calibrated;
    private NestState _state;
    private int _grades;
    private int _version;

    /// <param name="auditRate">The probability, in (0,1], with which an answer is to be graded; 1: all are.</param>
    public OnlineLearner(IReadOnlyList<double> costs, double lambda, RecordedCascade calibration, ulong seed, double auditRate = 1)
    {
        int n = costs.Count;
        _pathCost = new double[n];
        for (int k = 1; k < n; k++)
            _pathCost[k] = _pathCost[k - 1] + lambda * costs[k];
        var settings = new NestSettings(
            PolicyClass.Thresholds(n, Edges.Length + 1),
            Feedback.Returned,
            SideExpert.None,
            0,
            1 + _pathCost[^1],
            [.. costs.Skip(1).Select(cost => lambda * cost)],
            seed,
            auditRate
        );
        _state = Warm(settings, calibration);
        _calibrated = _state.Round;
        _random = new SplitMix64(seed);
        Remember();
    }

    /// <summary>The probability with which an answer is to be graded.</summary>
    public double AuditRate => _state.Settings.AuditRate;

    /// <summary>Whether an answer is to be graded: a coin of the audit rate.</summary>
    public bool Audit()
    {
        lock (_lock)
            return AuditRate == 1 || _coins.NextDouble() < AuditRate;
    }

    /// <summary>Queries learnt from, those of the calibration included; a grade stands for 1 / audit rate queries.</summary>
    public int Rounds
    {
        get
        {
            lock (_lock)
                return _state.Round;
        }
    }

    /// <summary>The bin of a confidence, from 0.</summary>
    public static int Bin(double confidence)
    {
        int bin = 0;
        while (bin < Edges.Length && confidence >= Edges[bin])
            bin++;
        return bin;
    }

    /// <summary>Draws the policy for a query, with the number of the state that drew it.</summary>
    public (IStoppingPolicy Policy, int Version) Choose()
    {
        lock (_lock)
            return (new TablePolicy(Nest.Choose(_state, _random).Stop), _version);
    }

    /// <summary>
    /// The probability with which a state draws a policy that does what was done; null when the state is too old to be remembered.
    /// </summary>
    /// <param name="bins">Bins of the stages that ran, which are the stages up to the one that answered.</param>
    public double? Propensity(int version, int[] bins)
    {
        lock (_lock)
            return _recent.FirstOrDefault(kept => kept.Version == version).State is { } drawn ? Nest.StopProbability(drawn, bins) : null;
    }

    /// <summary>Takes the grade of a returned answer.</summary>
    /// <param name="version">The state that drew the policy.</param>
    /// <param name="bins">Bins of the stages that ran, which are the stages up to the one that answered.</param>
    /// <returns>False when the state is too old to be remembered; nothing is learnt then.</returns>
    public bool Observe(int version, IReadOnlyList<int> bins, double quality)
    {
        lock (_lock)
        {
            if (_recent.FirstOrDefault(kept => kept.Version == version).State is not { } drawn)
                return false;
            int n = _pathCost.Length,
                stop = bins.Count - 1;
            var path = new int[n];
            for (int k = 0; k < bins.Count; k++)
                path[k] = bins[k];
            var qualities = new double[n];
            qualities[stop] = quality;
            NestState after = Nest.ObserveGraded(drawn, new Outcome(path, qualities, _pathCost), stop, AuditRate);
            _grades++;
            _state = new NestState(
                _state.Settings,
                _calibrated + (int)Math.Min(_grades / AuditRate, int.MaxValue / 2),
                Grown(_state.Losses, after.Losses, drawn.Losses),
                0,
                [.. _state.BetLosses.Select((losses, j) => Grown(losses, after.BetLosses[j], drawn.BetLosses[j]))],
                _state.BetSideLosses,
                _state.Incurred + (after.Incurred - drawn.Incurred),
                Grown(_state.BetIncurred, after.BetIncurred, drawn.BetIncurred),
                _state.Variation + (after.Variation - drawn.Variation),
                _state.Counts
            );
            _version++;
            Remember();
            return true;
        }
    }

    // What an answer added to the losses of the state that drew its policy, added to those of the present one.
    private static double[] Grown(double[] present, double[] after, double[] drawn) =>
        [.. present.Select((loss, i) => loss + (after[i] - drawn[i]))];

    /// <summary>A digest of what was learnt, for tests: the estimated loss of each policy.</summary>
    internal double[] Losses
    {
        get
        {
            lock (_lock)
                return [.. _state.Losses];
        }
    }

    private void Remember()
    {
        _recent.Enqueue((_version, _state));
        if (_recent.Count > Remembered)
            _recent.Dequeue();
    }

    // The exact loss of every policy on every calibration query: what the estimates would be if every stage were graded.
    private NestState Warm(NestSettings settings, RecordedCascade data)
    {
        int n = _pathCost.Length,
            rounds = 0;
        var losses = new double[PolicyClass.Size(settings.PolicyClass)];
        var index = new PolicyIndex(settings.PolicyClass);
        var path = new int[n];
        var loss = new double[n];
        for (int q = 0; q < data.Queries; q++)
        {
            if (Enumerable.Range(0, n).Any(k => !data.IsRecorded(q, k)))
                continue;
            for (int k = 0; k < n; k++)
            {
                path[k] = Bin(data.Confidence[q * n + k]);
                loss[k] = (1 - (data.Quality[q * n + k] - _pathCost[k])) / settings.Range;
            }
            index.Add(losses, path, loss);
            rounds++;
        }
        NestState cold = Nest.Init(settings);
        return new NestState(
            settings,
            rounds,
            losses,
            0,
            [.. cold.BetLosses.Select(_ => losses.ToArray())],
            cold.BetSideLosses,
            0,
            cold.BetIncurred,
            0,
            TabularCounts.Create(n, settings.PolicyClass.Bins)
        );
    }

    // Stops where the table of the stage says so for the confidence's bin.
    private sealed class TablePolicy(bool[][] stop) : IStoppingPolicy
    {
        public int Stages => stop.Length + 1;

        public Decision Decide(Observation observation)
        {
            int last = observation.Last;
            if (last < 0)
                return Decision.GoTo(0);
            return last == stop.Length || stop[last][Bin(observation.Confidence[last])] ? Decision.StopWith(last) : Decision.GoTo(last + 1);
        }
    }
}
