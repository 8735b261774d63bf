using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Traces;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>What `toolkit calibrate` is asked for.</summary>
/// <param name="MaxLoss">Most expected quality that may be lost against the best model alone, in (0, 1).</param>
/// <param name="Delta">Most probability of losing more, in (0, 1).</param>
public sealed record CalibrationOptions(double MaxLoss, double Delta)
{
    /// <summary>Share of the queries to fit on; the guarantee is tested on the others.</summary>
    public double FitFraction { get; init; } = 0.5;

    /// <summary>Budget of a query, in the traces' units of cost; NaN for none.</summary>
    public double MaxCost { get; init; } = double.NaN;

    /// <summary>Most probability that a query costs more than the budget, in (0, 1).</summary>
    public double CostRisk { get; init; } = 0.05;

    /// <summary>Most quality that the answers given may lack in expectation, in (0, 1): where the policy is less sure, it abstains; NaN to answer always.</summary>
    public double MaxRisk { get; init; } = double.NaN;

    /// <summary>The field of the trace lines by which queries fall into groups, in each of which the guarantee is to hold; null for none.</summary>
    public string? Groups { get; init; }

    /// <summary>Seed of the split.</summary>
    public int Seed { get; init; } = 1;

    /// <summary>The family to fit, by its name in the registry: one that a live cascade can run.</summary>
    public string Family { get; init; } = PolicyRegistry.Default;
}

/// <summary>
/// `toolkit calibrate`: fits a policy family (the default, as `evaluate` chooses it, if no other is named) for a whole range of
/// prices on one part of the traces, then tests on the other part, in a fixed order from the most careful price to the cheapest, which operating points keep the guarantee
/// (Learn then Test, with betting p-values of the difference in quality to the reference model on the same queries).
/// The cheapest point that passes is the policy; when none passes it is the reference model itself, which keeps any
/// guarantee.
/// </summary>
public static class PolicyCalibration
{
    /// <summary>Calibrates on a trace file. Where it holds models' features (`toolkit collect`), they make the confidences.</summary>
    /// <exception cref="ToolkitException">A fault in the file or the options.</exception>
    public static PolicyFile Run(
        string traces,
        CalibrationOptions options,
        IProgress<string>? progress = null,
        IProgress<string>? notes = null
    )
    {
        Check(options);
        progress?.Report($"reading {traces}");
        bool signalled = CascadeRecords.AreIn(traces);
        string hash = FileDigest.Sha256(traces);
        if (!signalled)
        {
            TraceTable table = ReadTable(traces, options);
            CheckIndependent(traces, table.RepeatedIds);
            return Run(table, null, Path.GetFileName(traces), hash, options, progress, notes);
        }
        CascadeRecords records = CascadeRecords.Load(traces);
        CheckIndependent(traces, records.RepeatedIds);
        EvaluationSplit split = EvaluationSplit.Make(records.Records.Count, options.FitFraction, options.Seed, traces);
        ConfidenceCalibration signals = ConfidenceCalibration.Fit(
            records with
            {
                Records = [.. split.Train.Select(q => records.Records[q])],
            }
        );
        return Run(
            new TraceTable(records.Models, records.ToRecordedCascade(signals.Confidence))
            {
                Features = CascadeRecords.FeaturesOf(traces, records.Models),
                Groups = GroupsOf(traces, options),
            },
            signals,
            Path.GetFileName(traces),
            hash,
            options,
            progress,
            notes
        ) with
        {
            Familiarity = records.FitFamiliarity(),
        };
    }

    /// <summary>Reads a trace file with the groups that the options name.</summary>
    /// <exception cref="ToolkitException">A fault in the file.</exception>
    public static TraceTable ReadTable(string traces, CalibrationOptions options) =>
        TraceReader.ReadTable(traces) with
        {
            Groups = GroupsOf(traces, options),
        };

    private static TraceGroups? GroupsOf(string traces, CalibrationOptions options) =>
        options.Groups is null ? null : TraceReader.ReadGroups(traces, options.Groups);

    private static void CheckIndependent(string traces, int repeated)
    {
        if (repeated > 0)
            throw new ToolkitException(
                $"{traces}: expected each id once, since a guarantee rests on independent queries, got {repeated} lines with the id of an earlier line"
            );
    }

    /// <summary>Calibrates on traces in memory, with the confidences that they record; in groups where the table has them.</summary>
    public static PolicyFile Run(TraceTable table, CalibrationOptions options)
    {
        Check(options);
        return Run(table, null, "", "", options, null, null);
    }

    /// <summary>The same; null where nothing can be shown to keep what is asked.</summary>
    internal static PolicyFile? TryRun(TraceTable table, CalibrationOptions options)
    {
        Check(options);
        return TryRun(table, null, "", "", options, null, null, out _);
    }

    private static void Check(CalibrationOptions options)
    {
        if (!(options.MaxLoss > 0 && options.MaxLoss < 1))
            throw new ToolkitException($"max loss: expected a number strictly between 0 and 1, got {options.MaxLoss}");
        if (!(options.Delta > 0 && options.Delta < 1))
            throw new ToolkitException($"delta: expected a number strictly between 0 and 1, got {options.Delta}");
        if (!double.IsNaN(options.MaxCost) && !(options.MaxCost > 0 && double.IsFinite(options.MaxCost)))
            throw new ToolkitException($"max cost: expected a number above 0, got {options.MaxCost}");
        if (!(options.CostRisk > 0 && options.CostRisk < 1))
            throw new ToolkitException($"cost risk: expected a number strictly between 0 and 1, got {options.CostRisk}");
        if (!double.IsNaN(options.MaxRisk) && !(options.MaxRisk > 0 && options.MaxRisk < 1))
            throw new ToolkitException($"max risk: expected a number strictly between 0 and 1, got {options.MaxRisk}");
        if (!PolicyRegistry.Served.Contains(options.Family))
            throw new ToolkitException($"policy: expected {string.Join(", ", PolicyRegistry.Served)}, got '{options.Family}'");
    }

    private static PolicyFile Run(
        TraceTable table,
        ConfidenceCalibration? signals,
        string name,
        string hash,
        CalibrationOptions options,
        IProgress<string>? progress,
        IProgress<string>? notes
    ) => TryRun(table, signals, name, hash, options, progress, notes, out string why) ?? throw new ToolkitException(why);

    private static PolicyFile? TryRun(
        TraceTable table,
        ConfidenceCalibration? signals,
        string name,
        string hash,
        CalibrationOptions options,
        IProgress<string>? progress,
        IProgress<string>? notes,
        out string why
    )
    {
        why = "";
        RecordedCascade data = table.Cascade;
        EvaluationSplit split = EvaluationSplit.Make(data.Queries, options.FitFraction, options.Seed, name == "" ? "traces" : name);
        progress?.Report($"fitting on {split.Train.Length} queries");
        var (fitted, expected) = Fit(options.Family, new PolicyTraining(data, split.Train, table.Features), name);
        IStoppingPolicy[] policies = fitted.Policies;
        RecordedCascade view = fitted.Featured?.Described ?? data;
        int reference = Reference(data, split.Train);
        // The guarantee is about queries on which the reference model can be asked.
        int[] rows = [.. split.Test.Where(q => data.IsRecorded(q, reference))];
        if (rows.Length == 0)
            throw new ToolkitException(
                $"{name}: expected queries with a record of {table.Models[reference]} to test the guarantee on, got none"
            );

        progress?.Report($"testing the guarantee on {rows.Length} queries");
        // A policy that abstains has two guarantees, of its loss and of its answers, which share delta.
        bool abstains = !double.IsNaN(options.MaxRisk);
        double delta = abstains ? options.Delta / 2 : options.Delta;
        GuaranteeGroups groups = GuaranteeGroups.From(table.Groups, rows, options.MaxLoss, delta, name);
        if (groups.Note is { } left)
            notes?.Report(left);
        ReplayOutcome always = Replay.Run(ThresholdCascade.Fixed(data.Stages, reference), data, rows);
        bool bounded = !double.IsNaN(options.MaxCost);
        int Exceeding(ReplayOutcome outcome) => outcome.Cost.Count(cost => cost > options.MaxCost);
        // With a budget, the first of the order would be the dearest, and fail: only points that keep the budget clearly on
        // the fitted part are tested.
        bool Keeps(int i) =>
            RiskControl.Binomial(Exceeding(Replay.Run(policies[i], view, split.Train)), split.Train.Length, options.CostRisk) <= delta / 10;
        int[] order =
        [
            .. Enumerable
                .Range(0, policies.Length)
                .Where(i => !bounded || Keeps(i))
                .OrderByDescending(i => expected[i].Quality)
                .ThenBy(i => expected[i].Cost),
        ];
        double referenceCost = data.MeanCost(split.Train, reference);
        if (Feasibility(data, view, split.Train, rows.Length, reference, table.Models[reference], policies, expected, options) is { } note)
            notes?.Report(note);
        var outcomes = new ReplayOutcome[order.Length];
        Parallel.For(0, order.Length, i => outcomes[i] = Replay.Run(policies[order[i]], view, rows));
        double[][] losses = [.. outcomes.Select(o => always.Quality.Zip(o.Quality, (best, own) => best - own).ToArray())];
        int passed = RiskControl.PassedNetWithin(
            losses,
            groups.Tested,
            bounded ? [.. outcomes.Select(Exceeding)] : [],
            options.MaxLoss,
            options.CostRisk,
            delta
        );
        // All that passed keep the guarantee together, so the cheapest may be taken; cheap is judged on the fitted part.
        int chosen = Enumerable.Range(0, passed).OrderBy(i => expected[order[i]].Cost).FirstOrDefault(-1);
        // The reference model alone competes too: it loses nothing, and a dearer policy is no gain.
        if (!bounded && chosen >= 0 && expected[order[chosen]].Cost >= referenceCost)
            chosen = -1;
        if (bounded && chosen < 0 && RiskControl.Binomial(Exceeding(always), rows.Length, options.CostRisk) > delta)
        {
            why = FormattableString.Invariant(
                $"{name}: expected a policy that keeps max loss {options.MaxLoss} and max cost {options.MaxCost} together, got none that could be shown to on {rows.Length} queries; a larger --max-cost, --cost-risk or --max-loss, or more queries, would help"
            );
            return null;
        }
        ReplayOutcome own = chosen < 0 ? always : outcomes[chosen];
        IStoppingPolicy policy = chosen < 0 ? ThresholdCascade.Fixed(data.Stages, reference) : policies[order[chosen]];
        Abstention? abstention = null;
        if (abstains)
        {
            progress?.Report("testing when to abstain");
            // The policy was chosen by the same queries: all that might have been, the reference among them, share the other half of delta.
            double share = delta / (order.Length + 1);
            abstention = AbstentionCalibration.Calibrate(policy, chosen < 0 ? data : view, split.Train, rows, options.MaxRisk, share);
            if (abstention is null)
            {
                why = FormattableString.Invariant(
                    $"{name}: expected answers that could be shown to lack at most {options.MaxRisk} in quality, got none on {rows.Length} queries; a larger --abstain, or more queries, would help"
                );
                return null;
            }
        }
        return new PolicyFile(
            table.Models,
            chosen < 0 ? double.NaN : fitted.Family.Parameter[order[chosen]],
            policy,
            signals,
            new PolicyGuarantee(options.MaxLoss, options.Delta, table.Models[reference], rows.Length, order.Length, passed)
            {
                MaxCost = options.MaxCost,
                CostRisk = bounded ? options.CostRisk : double.NaN,
                MaxRisk = options.MaxRisk,
                GroupColumn = table.Groups?.Column,
                Groups = groups.Covered,
            },
            new PolicyMeasurement(own.Quality.Average(), own.Cost.Average(), always.Quality.Average(), always.Cost.Average()),
            new PolicyOrigin(RunManifest.Version, name, hash, options.Seed, split.Train.Length)
        )
        {
            Features = chosen < 0 ? null : fitted.Featured?.Pipeline,
            Abstention = abstention,
            Groups = groups.Rows(always, own, delta / (order.Length + 1)),
        };
    }

    /// <summary>
    /// Whether so many labels can be expected to show that a policy cheaper than the reference keeps the guarantee, in one
    /// line; null where they can. Judged on the fitted part, by the cheaper policy that loses least there.
    /// </summary>
    private static string? Feasibility(
        RecordedCascade data,
        RecordedCascade view,
        int[] train,
        int labels,
        int reference,
        string model,
        IStoppingPolicy[] policies,
        (double Quality, double Cost)[] expected,
        CalibrationOptions options
    )
    {
        const int most = 100_000;
        int[] comparable = [.. train.Where(q => data.IsRecorded(q, reference))];
        int[] cheaper = [.. Enumerable.Range(0, policies.Length).Where(i => expected[i].Cost < 0.95 * data.MeanCost(train, reference))];
        if (comparable.Length == 0 || cheaper.Length == 0)
            return null;
        int careful = cheaper.MaxBy(i => expected[i].Quality);
        ReplayOutcome outcome = Replay.Run(policies[careful], view, comparable);
        double[] losses = [.. comparable.Select((q, i) => data.Quality[q * data.Stages + reference] - outcome.Quality[i])];
        int needed = RiskControl.LabelsNeeded(losses, options.MaxLoss, options.Delta, most);
        return needed <= labels
            ? null
            : FormattableString.Invariant(
                $"with {labels} labels to test on and these confidences, hardly a policy cheaper than {model} can be shown to lose at most {options.MaxLoss:0.####}: "
            ) + (needed > most ? $"{most} would not be enough" : $"about {needed} would be");
    }

    // Quality and cost of each operating point as the fitted part tells: cross-fitted where the family has a plan. The order
    // of the tests may rest on anything but the queries that they are made on.
    private static (FittedPolicies Fitted, (double Quality, double Cost)[] Expected) Fit(
        string name,
        PolicyTraining training,
        string traces
    )
    {
        PolicyFamily family = PolicyRegistry.Find(name)!;
        FittedPolicies fitted = family.Fit!(training)
            ?? throw new ToolkitException(
                $"{traces}: expected texts, datasets or numbers with the answers for the policy '{name}', got none (or one model is both the cheapest and the best)"
            );
        if (fitted.Plan is { } plan)
            return (fitted, [.. plan.HeldOutQuality.Zip(plan.HeldOutCost)]);
        var expected = new (double, double)[fitted.Policies.Length];
        Parallel.For(0, expected.Length, i =>
        {
            ReplayOutcome outcome = fitted.Replay(i, training.Data, training.Rows);
            expected[i] = (outcome.Quality.Average(), outcome.Cost.Average());
        });
        return (fitted, expected);
    }

    /// <summary>The model with the best mean quality on the fitted part; the cheaper one on ties.</summary>
    private static int Reference(RecordedCascade data, int[] rows) =>
        Enumerable
            .Range(0, data.Stages)
            .Where(k => !double.IsNaN(data.MeanQuality(rows, k)))
            .OrderByDescending(k => data.MeanQuality(rows, k))
            .ThenBy(k => data.MeanCost(rows, k))
            .First();
}

/// <summary>
/// How often a calibrated policy keeps its guarantee. The queries of a trace file are taken for the whole world: samples are
/// drawn from it with replacement, a policy is calibrated on each, and what the policy really loses is its mean loss over
/// the whole file, which is then known exactly. (A test on a held-out part would add that part's own noise.)
/// </summary>
/// <param name="Resamples">Samples drawn.</param>
/// <param name="Sample">Queries in each; half to fit on, half to test on, as the options say.</param>
/// <param name="Broken">Policies that break their guarantee: that lose more, on all queries or in a group that it covers, or whose answers lack more.</param>
/// <param name="WithoutPolicy">Samples in which nothing cheaper than the reference model, or no answer that may be given, could be shown to keep the guarantee.</param>
/// <param name="MeanSaved">Mean share of the reference model's cost saved, over all samples.</param>
/// <param name="MeanLoss">Mean quality lost.</param>
public sealed record GuaranteeCheck(int Resamples, int Sample, int Broken, int WithoutPolicy, double MeanSaved, double MeanLoss)
{
    /// <summary>Share of the policies that broke their guarantee.</summary>
    public double BrokenShare => Broken / (double)Resamples;

    /// <summary>What the share may be: delta, and three standard errors of it over so many samples.</summary>
    public double Limit(double delta) => delta + 3 * Math.Sqrt(delta * (1 - delta) / Resamples);

    /// <summary>Runs the check. Deterministic in the options' seed; the confidences are those that the traces record.</summary>
    /// <exception cref="ToolkitException">A number out of range.</exception>
    public static GuaranteeCheck Run(
        TraceTable table,
        CalibrationOptions options,
        int resamples,
        int sample,
        Action<double>? progress = null,
        CancellationToken cancel = default
    )
    {
        if (resamples < 1)
            throw new ToolkitException($"resamples: expected at least 1, got {resamples}");
        if (sample < 4)
            throw new ToolkitException($"sample: expected at least 4 queries, got {sample}");
        RecordedCascade world = table.Cascade;
        int[] all = RecordedOutcomes.AllRows(world);
        var results = new (double Loss, double Saved, bool None, bool Broken)[resamples];
        int done = 0;
        Parallel.For(
            0,
            resamples,
            new ParallelOptions { CancellationToken = cancel, MaxDegreeOfParallelism = Environment.ProcessorCount },
            i =>
            {
                int seed = unchecked(options.Seed * 1_000_003 + i);
                var random = new Random(seed);
                int[] rows = [.. Enumerable.Range(0, sample).Select(_ => random.Next(world.Queries))];
                TraceTable drawn = table with
                {
                    Cascade = RecordedOutcomes.Select(world, rows),
                    Features = table.Features?.Select(rows),
                    Groups = table.Groups?.Select(rows),
                };
                results[i] = PolicyCalibration.TryRun(drawn, options with { Seed = seed }) is { } policy
                    ? Judge(policy)
                    : (0, 0, true, false);
                progress?.Invoke(Interlocked.Increment(ref done) / (double)resamples);
            }
        );
        return new GuaranteeCheck(
            resamples,
            sample,
            results.Count(r => r.Broken),
            results.Count(r => r.None),
            results.Average(r => r.Saved),
            results.Average(r => r.Loss)
        );

        // What a policy does to the whole world.
        (double Loss, double Saved, bool None, bool Broken) Judge(PolicyFile policy)
        {
            const double rounding = 1e-12;
            int reference = policy.Models.ToList().IndexOf(policy.Guarantee.Reference);
            int[] comparable = [.. all.Where(q => world.IsRecorded(q, reference))];
            RecordedCascade view = policy.View(world, table.Features, "traces");
            ReplayOutcome own = Replay.Run(policy.Policy, view, comparable);
            ReplayOutcome always = Replay.Run(ThresholdCascade.Fixed(world.Stages, reference), world, comparable);
            double[] losses = [.. always.Quality.Zip(own.Quality, (best, mine) => best - mine)];
            bool broken = losses.Average() > options.MaxLoss + rounding;
            if (table.Groups is { } groups)
                broken = policy.Groups.Any(group =>
                    group.Covered
                    && comparable
                        .Select((q, at) => (Name: groups.Names[groups.Of[q]], Loss: losses[at]))
                        .Where(query => query.Name == group.Name)
                        .Average(query => query.Loss)
                        > options.MaxLoss + rounding
                );
            if (policy.Abstention is { } abstention)
            {
                double[] given =
                [
                    .. own
                        .Quality.Where(
                            (_, at) => abstention.Gives(own.Stage[at], view.Confidence[comparable[at] * view.Stages + own.Stage[at]])
                        )
                        .Select(quality => 1 - quality),
                ];
                broken |= given.Length > 0 && given.Average() > options.MaxRisk + rounding;
            }
            double fullCost = always.Cost.Average();
            return (losses.Average(), fullCost > 0 ? 1 - own.Cost.Average() / fullCost : 0, policy.Guarantee.Passed == 0, broken);
        }
    }
}
