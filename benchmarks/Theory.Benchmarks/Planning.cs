using BenchmarkDotNet.Attributes;

namespace OptimalStopping.Theory.Benchmarks;

/// <summary>Backward induction for four stages, which happens once per price of cost, off the path of queries.</summary>
[MemoryDiagnoser]
public class Planning
{
    private ChainModel _chain = null!;
    private JumpModel _cascade = null!;

    /// <summary>Bins of a confidence.</summary>
    [Params(10, 64)]
    public int Bins { get; set; }

    /// <summary>The structured instance.</summary>
    [GlobalSetup]
    public void Make()
    {
        _chain = Instances.Structured(4, Bins, 1);
        _cascade = Theory.Jump.FromChain([1, 2, 4.5, 10], _chain.Means, _chain.Initial, _chain.Kernels);
    }

    /// <summary>Chain, validation of the model included.</summary>
    [Benchmark(Baseline = true)]
    public ChainPlan Chain() => Theory.Chain.Plan(_chain);

    /// <summary>Jump, validation included.</summary>
    [Benchmark]
    public JumpPlan Jump() => Theory.Jump.Plan(_cascade, 0.3 / 17.5);
}

/// <summary>One query of learning with NEST: four stages, ten bins, 1,331 policies, posterior sampling beside them.</summary>
[MemoryDiagnoser]
public class Learning
{
    private NestRun _nest = null!;
    private IEnvironment _environment = null!;
    private readonly Outcome _outcome = Outcome.Empty(4);
    private readonly SplitMix64 _random = new(3);

    /// <summary>With or without the side expert.</summary>
    [Params(SideExpert.None, SideExpert.PosteriorSampling)]
    public SideExpert Side { get; set; }

    /// <summary>A fresh learner.</summary>
    [GlobalSetup]
    public void Start()
    {
        ChainModel chain = Instances.Structured(4, 10, 1);
        _environment = new ChainMixture(chain);
        _nest = Nest.Run(
            Nest.Init(
                new NestSettings(
                    PolicyClass.Thresholds(4, 10),
                    Feedback.StagesRun,
                    Side,
                    100_000,
                    Chain.Range(chain),
                    chain.ContinueCosts,
                    1,
                    1
                )
            )
        );
    }

    /// <summary>Draw a query, decide, learn.</summary>
    [Benchmark]
    public int Query()
    {
        _nest.Begin(_random);
        _environment.Draw(_random, _outcome);
        int stop = 0;
        while (stop < 3 && !_nest.Stops(stop, _outcome.Bins[stop], _random))
            stop++;
        _nest.Observe(_outcome, stop);
        return stop;
    }
}
