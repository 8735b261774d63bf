using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>What a policy guarantees, and what the guarantee rests on.</summary>
/// <param name="MaxLoss">Most expected quality that the policy may lose against always asking the reference model.</param>
/// <param name="Delta">Most probability, over the draw of the queries below, that it loses more.</param>
/// <param name="Reference">The model that the policy is measured against.</param>
/// <param name="Queries">Queries that the guarantee was tested on; the policy was not fitted on them.</param>
/// <param name="Candidates">Operating points that were to be tested, in a fixed order.</param>
/// <param name="Passed">How many passed; 0 when the policy is the reference model itself.</param>
public sealed record PolicyGuarantee(double MaxLoss, double Delta, string Reference, int Queries, int Candidates, int Passed)
{
    /// <summary>The guarantee in one sentence.</summary>
    public string Statement =>
        FormattableString.Invariant(
            $"With probability at least {1 - Delta:0.####} over the draw of the {Queries} queries it was tested on, the expected quality of this policy is at most {MaxLoss:0.####} below that of always asking {Reference}, on queries drawn from where those were."
        );
}

/// <summary>Means over the queries that the guarantee was tested on, with and without the policy.</summary>
public sealed record PolicyMeasurement(double Quality, double Cost, double ReferenceQuality, double ReferenceCost)
{
    /// <summary>Share of the reference model's cost that the policy saves.</summary>
    public double Saved => ReferenceCost > 0 ? 1 - Cost / ReferenceCost : 0;
}

/// <summary>Where a policy comes from.</summary>
/// <param name="Toolkit">Version that wrote it.</param>
/// <param name="Traces">Name of the trace file.</param>
/// <param name="Sha256">Hash of the trace file.</param>
/// <param name="Seed">Seed of the split.</param>
/// <param name="FitQueries">Queries that the policy was fitted on.</param>
public sealed record PolicyOrigin(string Toolkit, string Traces, string Sha256, int Seed, int FitQueries);

/// <summary>
/// A stopping policy with its guarantee, as `toolkit calibrate` writes it to policy.json and `decode`, `run` and `serve`
/// read it. Everything is in the one file: the trace that it was fitted on is not needed again. Reading back gives the
/// same numbers bit for bit.
/// </summary>
/// <param name="Models">Names of the cascade's models, from the first stage to the last.</param>
/// <param name="Lambda">Price of cost that the policy was planned for; NaN for a policy without one.</param>
/// <param name="Policy">The policy itself; safe to share between threads.</param>
/// <param name="Calibration">
/// How a live model's features become the confidence that the policy expects; null when it expects the confidence that
/// the traces record.
/// </param>
public sealed record PolicyFile(
    IReadOnlyList<string> Models,
    double Lambda,
    IStoppingPolicy Policy,
    ConfidenceCalibration? Calibration,
    PolicyGuarantee Guarantee,
    PolicyMeasurement Measured,
    PolicyOrigin Origin
)
{
    /// <summary>Reads a policy file.</summary>
    /// <exception cref="ToolkitException">With file, key, what was expected and what was got.</exception>
    public static PolicyFile Load(string path) => PolicyFileReader.Read(path);

    /// <summary>Writes the file beside its place first, then moves it there.</summary>
    /// <exception cref="ToolkitException">The place cannot be written to.</exception>
    public void Save(string path) => PolicyFileWriter.Write(this, path);

    /// <summary>Numbers known before any model runs that the policy wants with each query; 0 for none.</summary>
    public int QueryFeatures => Policy is PlannedPolicy planned ? planned.Inputs.ContextWidth : 0;

    /// <summary>The confidence in [0,1] that the policy expects after a stage wrote an answer with these features.</summary>
    public double Confidence(int stage, ConfidenceFeatures features) =>
        Calibration?.Confidence(stage, features) ?? Math.Clamp(features.RawConfidence, 0, 1);

    /// <summary>Checks that a cascade has the models that the policy was made for, in the same order.</summary>
    /// <param name="place">File that names the cascade's models, for the message.</param>
    /// <exception cref="ToolkitException">It has others.</exception>
    public void RequireModels(IReadOnlyList<string> models, string place)
    {
        if (!models.SequenceEqual(Models))
            throw new ToolkitException(
                $"{place}: expected the models of the policy ({string.Join(", ", Models)}), got {string.Join(", ", models)}"
            );
    }

    /// <summary>Checks that the policy needs nothing but what models say.</summary>
    /// <exception cref="ToolkitException">It was fitted on traces with features of the queries.</exception>
    public void RequireNoFeatures()
    {
        if (QueryFeatures > 0)
            throw new ToolkitException(
                $"policy: expected one without query features, got one that wants {QueryFeatures} numbers with each query; calibrate on traces without 'features'"
            );
    }
}
