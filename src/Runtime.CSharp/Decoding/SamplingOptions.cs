namespace OptimalStopping.Runtime.Decoding;

/// <summary>
/// How a token is drawn from a model's logits. The steps come in this order, each renormalises: temperature, top-k,
/// top-p (Holtzman et al. 2020), min-p (Nguyen et al. 2024).
/// </summary>
/// <param name="Temperature">Divides the logits; 0 is greedy decoding (the most probable token, the lowest id of equals).</param>
/// <param name="TopK">Only the k most probable tokens, and those as probable as the k-th; 0 for all.</param>
/// <param name="TopP">Only the most probable tokens that together reach this mass; 1 for all.</param>
/// <param name="MinP">Only tokens at least this share as probable as the most probable one; 0 for all.</param>
/// <param name="Seed">Of the request's one source of random numbers.</param>
public readonly record struct SamplingOptions(double Temperature = 0, int TopK = 0, double TopP = 1, double MinP = 0, ulong Seed = 1)
{
    /// <summary>Greedy decoding.</summary>
    public static SamplingOptions Greedy => new(0);

    /// <summary>Whether the most probable token is always taken.</summary>
    public bool IsGreedy => Temperature == 0;

    /// <summary>Throws on values outside their domains.</summary>
    /// <exception cref="ToolkitException">With the option, what was expected and what was got.</exception>
    public void Check()
    {
        if (this == default)
            return; // greedy, as `default` and an omitted argument mean it
        if (!(Temperature >= 0 && double.IsFinite(Temperature)))
            throw new ToolkitException($"temperature: expected a number of at least 0, got {Temperature}");
        if (TopK < 0)
            throw new ToolkitException($"top-k: expected at least 0, got {TopK}");
        if (!(TopP is > 0 and <= 1))
            throw new ToolkitException($"top-p: expected a number above 0 and at most 1, got {TopP}");
        if (!(MinP is >= 0 and <= 1))
            throw new ToolkitException($"min-p: expected a number from 0 to 1, got {MinP}");
    }
}
