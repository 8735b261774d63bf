using OptimalStopping.Runtime.Cascades;
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

    /// <summary>Seed of the split.</summary>
    public int Seed { get; init; } = 1;
}

/// <summary>
/// `toolkit calibrate`: fits the default policy for a whole range of prices on one part of the traces, then tests on the
/// other part, in a fixed order from the most careful price to the cheapest, which operating points keep the guarantee
/// (Learn then Test, with betting p-values of the difference in quality to the reference model on the same queries).
/// The cheapest point that passes is the policy; when none passes it is the reference model itself, which keeps any
/// guarantee.
/// </summary>
public static class PolicyCalibration
{
    /// <summary>Calibrates on a trace file. Where it holds models' features (`toolkit collect`), they make the confidences.</summary>
    /// <exception cref="ToolkitException">A fault in the file or the options.</exception>
    public static PolicyFile Run(string traces, CalibrationOptions options, IProgress<string>? progress = null)
    {
        Check(options);
        progress?.Report($"reading {traces}");
        bool signalled = CascadeRecords.AreIn(traces);
        string hash = RunManifest.Digest(traces);
        if (!signalled)
        {
            TraceTable table = TraceReader.ReadTable(traces);
            CheckIndependent(traces, table.RepeatedIds);
            return Run(table, null, Path.GetFileName(traces), hash, options, progress);
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
            new TraceTable(records.Models, records.ToRecordedCascade(signals.Confidence)),
            signals,
            Path.GetFileName(traces),
            hash,
            options,
            progress
        );
    }

    private static void CheckIndependent(string traces, int repeated)
    {
        if (repeated > 0)
            throw new ToolkitException(
                $"{traces}: expected each id once, since a guarantee rests on independent queries, got {repeated} lines with the id of an earlier line"
            );
    }

    /// <summary>Calibrates on traces in memory, with the confidences that they record.</summary>
    public static PolicyFile Run(TraceTable table, CalibrationOptions options)
    {
        Check(options);
        return Run(table, null, "", "", options, null);
    }

    private static void Check(CalibrationOptions options)
    {
        if (!(options.MaxLoss > 0 && options.MaxLoss < 1))
            throw new ToolkitException($"max loss: expected a number strictly between 0 and 1, got {options.MaxLoss}");
        if (!(options.Delta > 0 && options.Delta < 1))
            throw new ToolkitException($"delta: expected a number strictly between 0 and 1, got {options.Delta}");
    }

    private static PolicyFile Run(
        TraceTable table,
        ConfidenceCalibration? signals,
        string name,
        string hash,
        CalibrationOptions options,
        IProgress<string>? progress
    )
    {
        RecordedCascade data = table.Cascade;
        EvaluationSplit split = EvaluationSplit.Make(data.Queries, options.FitFraction, options.Seed, name == "" ? "traces" : name);
        progress?.Report($"fitting on {split.Train.Length} queries");
        FittedPlan plan = PlannedFamily.Fit(data, split.Train, ActionSet.Recall);
        int reference = Reference(data, split.Train);
        // The guarantee is about queries on which the reference model can be asked.
        int[] rows = [.. split.Test.Where(q => data.IsRecorded(q, reference))];
        if (rows.Length == 0)
            throw new ToolkitException(
                $"{name}: expected queries with a record of {table.Models[reference]} to test the guarantee on, got none"
            );

        progress?.Report($"testing the guarantee on {rows.Length} queries");
        ReplayOutcome always = Replay.Run(ThresholdCascade.Fixed(data.Stages, reference), data, rows);
        int[] order =
        [
            .. Enumerable
                .Range(0, plan.Family.Policies.Length)
                .OrderByDescending(i => plan.HeldOutQuality[i])
                .ThenBy(i => plan.HeldOutCost[i]),
        ];
        var outcomes = new ReplayOutcome[order.Length];
        Parallel.For(0, order.Length, i => outcomes[i] = Replay.Run(plan.Family.Policies[order[i]], data, rows));
        double[][] losses = [.. outcomes.Select(o => always.Quality.Zip(o.Quality, (best, own) => best - own).ToArray())];
        int passed = RiskControl.PassedNet(losses, options.MaxLoss, options.Delta);
        // All that passed keep the guarantee together, so the cheapest may be taken; cheap is judged on the fitted part.
        int chosen = Enumerable.Range(0, passed).OrderBy(i => plan.HeldOutCost[order[i]]).FirstOrDefault(-1);
        ReplayOutcome own = chosen < 0 ? always : outcomes[chosen];
        return new PolicyFile(
            table.Models,
            chosen < 0 ? double.NaN : plan.Family.Parameter[order[chosen]],
            chosen < 0 ? ThresholdCascade.Fixed(data.Stages, reference) : plan.Family.Policies[order[chosen]],
            signals,
            new PolicyGuarantee(options.MaxLoss, options.Delta, table.Models[reference], rows.Length, order.Length, passed),
            new PolicyMeasurement(own.Quality.Average(), own.Cost.Average(), always.Quality.Average(), always.Cost.Average()),
            new PolicyOrigin(RunManifest.Version, name, hash, options.Seed, split.Train.Length)
        );
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
