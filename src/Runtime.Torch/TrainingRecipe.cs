namespace OptimalStopping.Runtime.Torch;

/// <summary>
/// Everything that decides a trained model: its shape, its data and its schedule. Two runs of the same recipe on the
/// same machine give the same weights.
/// </summary>
/// <param name="Name">Folder name of the model, e.g. <c>nano-1</c>.</param>
/// <param name="Hidden">Width of the residual stream.</param>
/// <param name="Layers">Number of transformer blocks.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyValueHeads">Key and value heads; divides <paramref name="Heads"/>.</param>
/// <param name="HeadDimension">Width of one head; even.</param>
/// <param name="Intermediate">Width of the SwiGLU layer.</param>
/// <param name="Steps">Optimiser steps; each sees <paramref name="Rows"/> x <paramref name="RowLength"/> tokens.</param>
/// <param name="LearningRate">Muon's rate; Adam's is 0.7 of it.</param>
/// <param name="Seed">Of the initial weights and of the queries.</param>
public sealed record TrainingRecipe(
    string Name,
    int Hidden,
    int Layers,
    int Heads,
    int KeyValueHeads,
    int HeadDimension,
    int Intermediate,
    int Steps,
    double LearningRate,
    int Seed,
    int Rows = 21,
    int RowLength = 96,
    int WarmUpSteps = 80,
    double DecayShare = 0.4,
    IReadOnlyList<string>? Families = null
)
{
    public const double RopeTheta = 10_000;
    public const double NormEpsilon = 1e-6;

    /// <summary>Linear warm-up, flat, then linear to 1 % over the last <see cref="DecayShare"/> of the steps.</summary>
    public double RateAt(int step)
    {
        double decayStart = Steps * (1 - DecayShare);
        double factor =
            step < WarmUpSteps ? (step + 1.0) / WarmUpSteps
            : step < decayStart ? 1
            : 1 - 0.99 * (step - decayStart) / (Steps - decayStart);
        return LearningRate * factor;
    }
}
