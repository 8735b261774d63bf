using BenchmarkDotNet.Attributes;

namespace OptimalStopping.Theory.Benchmarks;

/// <summary>
/// What stopping costs per query: one operation walks the stages of one query to the stage that answers. The confidences
/// of 1,024 queries are drawn beforehand, so that branches are as unpredictable as in use.
/// </summary>
[MemoryDiagnoser]
public class Decisions
{
    private const int Queries = 1024,
        Stages = 4,
        Bins = 64;
    private static readonly double[] Costs = [1, 2, 4.5, 10];

    private double[] _confidences = [];
    private double[] _edges = [];
    private ThresholdRule _rule = null!;
    private JumpPlan _jump = null!;
    private RecallPlan _recall = null!;

    /// <summary>Plans on the structured instance of four stages and 64 bins.</summary>
    [GlobalSetup]
    public void Plan()
    {
        ChainModel chain = Instances.Structured(Stages, Bins, 1);
        _edges = [.. Enumerable.Range(1, Bins - 1).Select(i => i / (double)Bins)];
        _rule = ThresholdRule.FromPlan(Theory.Chain.Plan(chain), [.. Enumerable.Repeat(_edges, Stages)]);
        JumpModel cascade = Theory.Jump.FromChain(Costs, chain.Means, chain.Initial, chain.Kernels);
        double lambda = 0.3 / Costs.Sum();
        _jump = Theory.Jump.Plan(cascade, lambda);
        _recall = Recall.Plan(cascade, lambda);
        var random = new SplitMix64(7);
        _confidences = [.. Enumerable.Range(0, Queries * Stages).Select(_ => random.NextDouble())];
    }

    // The position of a confidence among equal-width bins; equal-mass bins take a binary search instead (see RecallSearched).
    private static int Bin(double confidence) => Math.Min(Bins - 1, (int)(confidence * Bins));

    /// <summary>Chain: at most three comparisons.</summary>
    [Benchmark(OperationsPerInvoke = Queries)]
    public int Chain()
    {
        int sum = 0;
        for (int q = 0; q < Queries; q++)
            sum += _rule.StopStage(_confidences.AsSpan(q * Stages, Stages));
        return sum;
    }

    /// <summary>Jump: a table look-up per stage run.</summary>
    [Benchmark(OperationsPerInvoke = Queries)]
    public int Jump()
    {
        int sum = 0;
        for (int q = 0; q < Queries; q++)
        {
            int stage = _jump.Entry;
            while (true)
            {
                int next = _jump.Actions[stage][Bin(_confidences[q * Stages + stage])];
                if (next == stage)
                    break;
                stage = next;
            }
            sum += stage;
        }
        return sum;
    }

    /// <summary>Jump with recall: the best level so far is carried along.</summary>
    [Benchmark(OperationsPerInvoke = Queries)]
    public int JumpWithRecall() => WithRecall(false);

    /// <summary>The same where bins have unequal widths and are found by binary search.</summary>
    [Benchmark(OperationsPerInvoke = Queries)]
    public int JumpWithRecallSearched() => WithRecall(true);

    private int WithRecall(bool search)
    {
        int sum = 0;
        for (int q = 0; q < Queries; q++)
        {
            int stage = _recall.Entry,
                best = -1;
            while (true)
            {
                double confidence = _confidences[q * Stages + stage];
                int bin;
                if (search)
                {
                    int at = Array.BinarySearch(_edges, confidence);
                    bin = at >= 0 ? at + 1 : ~at;
                }
                else
                    bin = Bin(confidence);
                best = _recall.Raise(best, stage, bin);
                int next = _recall.Next(stage, bin, best);
                if (next == stage)
                    break;
                stage = next;
            }
            sum += best;
        }
        return sum;
    }
}
