using System.Numerics.Tensors;
using OptimalStopping.Theory;

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

/// <summary>
/// Next-token distributions in double precision: from logits, draws, and the accept-or-replace step of speculative
/// sampling (Leviathan et al. 2023; Chen et al. 2023), whose output distribution is the target's whatever the draft's distribution is.
/// </summary>
internal static class TokenDistribution
{
    /// <summary>Fills <paramref name="distribution"/> with the distribution that the options make of the logits.</summary>
    /// <param name="scratch">As long as the distribution; overwritten where top-k or top-p are in use.</param>
    public static void Fill(ReadOnlySpan<float> logits, in SamplingOptions options, Span<double> distribution, Span<double> scratch)
    {
        double top = TensorPrimitives.Max(logits),
            total = 0;
        for (int i = 0; i < distribution.Length; i++)
            total += distribution[i] = Math.Exp((logits[i] - top) / options.Temperature);
        Scale(distribution, total);
        if (options.TopK > 0 && options.TopK < distribution.Length)
        {
            distribution.CopyTo(scratch);
            scratch.Sort();
            KeepFrom(distribution, scratch[^options.TopK]);
        }
        if (options.TopP < 1)
        {
            distribution.CopyTo(scratch);
            scratch.Sort();
            int least = scratch.Length;
            for (double mass = 0; mass < options.TopP && least > 0; )
                mass += scratch[--least];
            KeepFrom(distribution, scratch[least]);
        }
        if (options.MinP > 0)
            KeepFrom(distribution, options.MinP * TensorPrimitives.Max<double>(distribution));
    }

    /// <summary>A token drawn from a distribution.</summary>
    public static int Draw(ReadOnlySpan<double> distribution, SplitMix64 random) => Draw(distribution, 1, random);

    /// <summary>
    /// Decides on a drafted token: keeps it with probability min(1, p/q), otherwise draws from the residual (p - q)^+.
    /// </summary>
    /// <param name="p">The target's distribution.</param>
    /// <param name="q">The distribution that the token was drawn from; empty where the draft is certain of it.</param>
    /// <param name="scratch">As long as p; overwritten.</param>
    /// <returns>The token that stands, and whether it is the drafted one by acceptance.</returns>
    public static (int Token, bool Accepted) AcceptOrReplace(
        ReadOnlySpan<double> p,
        ReadOnlySpan<double> q,
        int drafted,
        Span<double> scratch,
        SplitMix64 random
    )
    {
        double chance = q.IsEmpty ? 1 : q[drafted];
        if (random.NextDouble() * chance < p[drafted])
            return (drafted, true);
        double mass = 0;
        for (int i = 0; i < p.Length; i++)
        {
            double without = q.IsEmpty ? (i == drafted ? 0 : p[i]) : Math.Max(0, p[i] - q[i]);
            mass += scratch[i] = without;
        }
        // Without mass p equals q but for rounding: a rejection had probability 0, and p is the limit of the residual.
        return (mass > 0 ? Draw(scratch, mass, random) : Draw(p, random), false);
    }

    private static int Draw(ReadOnlySpan<double> weights, double total, SplitMix64 random)
    {
        double point = random.NextDouble() * total;
        int last = 0;
        for (int i = 0; i < weights.Length; i++)
        {
            if (weights[i] <= 0)
                continue;
            last = i; // rounding may leave a crumb behind the last token that is possible
            if ((point -= weights[i]) < 0)
                return i;
        }
        return last;
    }

    private static void KeepFrom(Span<double> distribution, double least)
    {
        double total = 0;
        foreach (ref double x in distribution)
            if (x < least)
                x = 0;
            else
                total += x;
        Scale(distribution, total);
    }

    private static void Scale(Span<double> distribution, double total) => TensorPrimitives.Divide(distribution, total, distribution);
}
