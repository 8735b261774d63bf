using System.Text.Json;
using Expecto;
using Expecto.CSharp;

namespace OptimalStopping.Theory.CSharp.Tests;

/// <summary>The library as a C# program would use it: each test is a page of documentation that compiles.</summary>
public static class CallerTests
{
    [Tests]
    public static Test Tests { get; } =
        Runner.TestList(
            "caller",
            [
                Runner.TestCase("plan a chain, read its thresholds, decide", PlanAChain),
                Runner.TestCase("plan jumps and recall", PlanJumps),
                Runner.TestCase("learn while serving: NEST", Learn),
                Runner.TestCase("every learner as a value that JSON keeps", Values),
                Runner.TestCase("how many queries, what regret", Guarantees),
                Runner.TestCase("calibrate, control risk, watch", Calibrate),
                Runner.TestCase("compare two methods", Compare),
                Runner.TestCase("bad input is one ArgumentException that names the place", BadInput),
            ]
        );

    private static readonly ChainModel Cascade = new(
        initial: [0.5, 0.5],
        kernels:
        [
            [
                [0.8, 0.2],
                [0.1, 0.9],
            ],
        ],
        means:
        [
            [0.3, 0.8],
            [0.6, 0.95],
        ],
        continueCosts: [0.2]
    );

    private static void PlanAChain()
    {
        ChainPlan plan = Chain.Plan(Cascade);
        // By hand: going on from bin 0 is worth .8 * .6 + .2 * .95 - .2 = .47 > .3, from bin 1 .06 + .855 - .2 = .715 < .8.
        Close(plan.Q[0][0], 0.47);
        Close(plan.Q[0][1], 0.715);
        Equal(1, plan.Thresholds[0]);
        Close(Chain.OptimalValue(Cascade), 0.635);
        ThresholdRule rule = ThresholdRule.FromPlan(
            plan,
            [
                [0.5],
                [0.5],
            ]
        );
        Equal(true, rule.Stops(0, 0.7));
        Equal(1, rule.StopStage([0.4, 0.1]));
    }

    private static void PlanJumps()
    {
        JumpModel cascade = Jump.FromChain(
            costs: [1, 3.5],
            means:
            [
                [0.3, 0.8],
                [0.6, 0.95],
            ],
            initial: [0.5, 0.5],
            steps:
            [
                [
                    [0.8, 0.2],
                    [0.1, 0.9],
                ],
            ]
        );
        JumpPlan jump = Jump.Plan(cascade, 0.1);
        RecallPlan recall = Recall.Plan(cascade, 0.1);
        Equal(0, jump.Entry);
        Equal(1, jump.Actions[0][0]);
        Equal(true, recall.Outcome.Value >= jump.Outcome.Value);
        int level = recall.Raise(-1, 0, 0);
        Equal(1, recall.Next(0, 0, level));
    }

    private static void Learn()
    {
        var settings = new NestSettings(
            policyClass: PolicyClass.Thresholds(stages: 2, bins: 2),
            feedback: Feedback.StagesRun,
            side: SideExpert.PosteriorSampling,
            horizon: 200,
            range: 1.2,
            continueCosts: [0.2],
            seed: 1,
            auditRate: 1
        );
        NestState state = Nest.Init(settings);
        var random = new SplitMix64(7);
        IEnvironment queries = new ChainMixture(Cascade);
        Outcome outcome = Outcome.Empty(2);
        for (int t = 0; t < 200; t++)
        {
            queries.Draw(random, outcome);
            NestChoice choice = Nest.Choose(state, random);
            state = Nest.Observe(state, outcome, Reactive.StopStage(choice.Stop, outcome.Bins));
        }
        Equal(200, state.Round);
        Equal(true, Nest.CertificateA(state, 0.05) > 0);
        NestState read = JsonSerializer.Deserialize<NestState>(JsonSerializer.Serialize(state))!;
        Equal(state, read);
    }

    private static void Values()
    {
        var outcome = new Outcome(bins: [0, 1], qualities: [0, 1], costs: [0, 0.2]);
        foreach (TabularRule rule in Enum.GetValues<TabularRule>())
        {
            TabularState learner = TabularLearner.Init(rule, Feedback.StagesRun, bins: 2, continueCosts: [0.2], horizon: 100);
            learner = TabularLearner.Observe(learner, outcome, stop: 1);
            TabularState read = JsonSerializer.Deserialize<TabularState>(JsonSerializer.Serialize(learner))!;
            Equal(learner, read);
            Equal(1, TabularLearner.Choose(read, new SplitMix64(1)).Length);
        }
        Ucb1State ucb = Ucb1.Observe(Ucb1.Init(stages: 2, range: 1.2), outcome, stop: 0);
        Equal(1, Ucb1.Choose(JsonSerializer.Deserialize<Ucb1State>(JsonSerializer.Serialize(ucb))!));
        NestState hedge = Hedge.Observe(Hedge.Init(PolicyClass.Thresholds(2, 2), horizon: 0, range: 1.2), outcome, stop: 1);
        Equal(1, hedge.Round);
        GuardState guard = Guard.Init(TabularLearner.Init(TabularRule.Greedy, Feedback.StagesRun, 2, [0.2], 0), 1.2, 0.05);
        guard = Guard.Observe(guard, outcome, 1, allowance: t => 10 + Math.Sqrt(t));
        Equal(false, guard.Tripped);
    }

    private static void Guarantees()
    {
        RegretBound bound = Regret.Nest(
            Feedback.StagesRun,
            stages: 4,
            logComparators: SampleComplexity.LogThresholdPolicies(4, 10),
            horizon: 100_000,
            range: 1.3
        );
        Equal(false, bound.Vacuous);
        Equal(true, Math.Abs(SampleComplexity.SamplesFor(1.3, SampleComplexity.LogThresholdPolicies(4, 10), 0.05, 0.05) - 13_800) < 50);
        foreach (RegretGuarantee row in CascadeGuarantees.Regret(4, 10, 100_000, 1.3, 0.05))
            Equal(true, row.Value > 0 && row.Theorem.Length > 0);
        foreach (ReferenceThresholds thresholds in ReferenceThresholds.All([1, 2, 4.5, 10], 0.02))
            Equal(3, thresholds.Recall.Length);
    }

    private static void Calibrate()
    {
        double[] raw = [0.2, 0.4, 0.6, 0.9],
            right = [0, 0, 1, 1];
        ICalibrator isotonic = Isotonic.Fit(raw, right);
        Close(isotonic.Apply(0.9), 1);
        Close(CalibrationMetrics.Auroc(raw, right), 1);
        Equal(
            0,
            RiskControl.Choose(
                [
                    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                ],
                alpha: 0.5,
                delta: 0.05
            )
        );
        ConfidenceSequence watch = ConfidenceSequences.Start(0.05);
        for (int i = 0; i < 100; i++)
            watch = ConfidenceSequences.Observe(watch, 0.5);
        Equal(true, watch.Low < 0.5 && 0.5 < watch.High);
    }

    private static void Compare()
    {
        double[] differences = [0.1, 0.2, 0, 0.3, 0.1, 0, 0.2, 0.1];
        TestResult test = PairedTests.SignFlip(differences, resamples: 1000, seed: 1);
        Close(test.PValue, 2.0 / 64); // two of the 2^6 flips of the six that are not 0
        double[] holm = MultipleTesting.Holm([0.01, 0.04, 0.03]);
        Close(holm[0], 0.03);
        Interval interval = Bootstrap.BcaMean(differences, 1000, 0.95, 1);
        Equal(true, interval.Low <= interval.Estimate && interval.Estimate <= interval.High);
    }

    private static void BadInput()
    {
        try
        {
            Chain.Validate(
                new ChainModel(
                    [0.5, 0.6],
                    [
                        [
                            [1, 0],
                            [0, 1],
                        ],
                    ],
                    [
                        [0, 1],
                        [0, 1],
                    ],
                    [0.1]
                )
            );
        }
        catch (ArgumentException e) when (e.Message.Contains("Initial"))
        {
            return;
        }
        throw new InvalidOperationException("expected an ArgumentException that names Initial");
    }

    private static void Equal<T>(T expected, T actual)
    {
        if (!EqualityComparer<T>.Default.Equals(expected, actual))
            throw new InvalidOperationException($"expected {expected}, got {actual}");
    }

    private static void Close(double actual, double expected)
    {
        if (!(Math.Abs(actual - expected) <= 1e-9))
            throw new InvalidOperationException($"expected {expected}, got {actual}");
    }
}
