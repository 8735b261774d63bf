using System.Text.Json;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// How rotary positions are stretched beyond those of training. Linear: every frequency is divided by the factor (Chen et
/// al. 2023). YaRN (Peng et al. 2023): frequencies that turn less than <paramref name="BetaSlow"/> times over the original
/// positions are divided, those that turn more than <paramref name="BetaFast"/> times stay, with a ramp between, and cosines
/// and sines are multiplied by <paramref name="Attention"/>. As in transformers' <c>_compute_yarn_parameters</c>.
/// </summary>
/// <param name="IsYarn">YaRN, or linear.</param>
/// <param name="Factor">How many times as many positions; at least 1.</param>
/// <param name="OriginalPositions">Positions of training.</param>
/// <param name="Attention">Multiplies cosines and sines; 1 in linear scaling.</param>
/// <param name="BetaFast">Turns from which on a frequency stays.</param>
/// <param name="BetaSlow">Turns up to which a frequency is divided.</param>
/// <param name="Truncate">Whether the ends of the ramp are rounded to whole frequencies.</param>
public sealed record PositionScaling(
    bool IsYarn,
    double Factor,
    int OriginalPositions,
    double Attention,
    double BetaFast = 32,
    double BetaSlow = 1,
    bool Truncate = true
)
{
    private const double MostFactor = 1024;

    /// <summary>The factor of attention that YaRN's authors found: 0.1 ln(factor) + 1.</summary>
    public static double UsualAttention(double factor, double scale = 1) => factor <= 1 ? 1 : 0.1 * scale * Math.Log(factor) + 1;

    /// <summary>Positions that the stretched model takes.</summary>
    /// <param name="stated">What the configuration states, which is often that of the model as trained.</param>
    public int Positions(int stated) => (int)Math.Min(1 << 22, Math.Max(stated, Factor * OriginalPositions));

    /// <summary>The angle that one position turns each pair of a head by, half a head of them.</summary>
    /// <param name="width">Width of a head.</param>
    /// <param name="theta">Base of the frequencies.</param>
    /// <param name="scaling">Null for plain positions.</param>
    public static double[] Frequencies(int width, double theta, PositionScaling? scaling)
    {
        double[] frequencies = [.. Enumerable.Range(0, width / 2).Select(i => Math.Pow(theta, -2.0 * i / width))];
        if (scaling is null)
            return frequencies;
        (double low, double high) = scaling.IsYarn ? scaling.Ramp(width, theta) : (-1, 0);
        for (int i = 0; i < frequencies.Length; i++)
        {
            double divided = Math.Clamp((i - low) / (high - low), 0, 1);
            frequencies[i] = frequencies[i] / scaling.Factor * divided + frequencies[i] * (1 - divided);
        }
        return frequencies;
    }

    /// <summary>
    /// Reads <c>rope_theta</c> and the scaling from a <c>config.json</c>, where they stand: at the top, in
    /// <c>rope_scaling</c> (with <c>rope_type</c> or the older <c>type</c>) or in <c>rope_parameters</c>.
    /// </summary>
    /// <exception cref="ToolkitException">A value is out of range, the two places contradict each other, or the kind is another.</exception>
    internal static (double Theta, PositionScaling? Scaling) Read(JsonMap root, int positions)
    {
        double theta = root.NumberOr("rope_theta", 1, 1e12, double.NaN);
        PositionScaling? scaling = null;
        foreach (string key in (string[])["rope_scaling", "rope_parameters"])
        {
            if (!root.Has(key))
                continue;
            JsonMap map = root.Map(key);
            double inner = map.NumberOr("rope_theta", 1, 1e12, double.NaN);
            if (!double.IsNaN(inner) && !double.IsNaN(theta) && inner != theta)
                throw map.Error(
                    "rope_theta",
                    FormattableString.Invariant($"{theta} as elsewhere in the file"),
                    FormattableString.Invariant($"{inner}")
                );
            theta = double.IsNaN(inner) ? theta : inner;
            PositionScaling? found = ReadScaling(map, positions);
            if (found is not null && scaling is not null && found != scaling)
                throw map.Error("rope_type", "the same scaling as in rope_scaling", "another");
            scaling ??= found;
        }
        if (root.NumberOr("partial_rotary_factor", 0, 1, 1) != 1)
            throw root.Error("partial_rotary_factor", "1", Json.Show(root.Get("partial_rotary_factor", "1")));
        return (double.IsNaN(theta) ? 10_000 : theta, scaling);
    }

    /// <summary>Writes <c>rope_scaling</c>.</summary>
    internal void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject("rope_scaling");
        json.WriteString("rope_type", IsYarn ? "yarn" : "linear");
        json.WriteNumber("factor", Factor);
        if (IsYarn)
        {
            json.WriteNumber("original_max_position_embeddings", OriginalPositions);
            json.WriteNumber("attention_factor", Attention);
            json.WriteNumber("beta_fast", BetaFast);
            json.WriteNumber("beta_slow", BetaSlow);
            json.WriteBoolean("truncate", Truncate);
        }
        json.WriteEndObject();
    }

    private static PositionScaling? ReadScaling(JsonMap map, int positions)
    {
        string type = map.TextOr("rope_type", null) ?? map.TextOr("type", null) ?? "default";
        if (map.TextOr("type", type) != type)
            throw map.Error("type", $"'{type}' as in rope_type", $"'{map.TextOr("type", type)}'");
        if (map.NumberOr("partial_rotary_factor", 0, 1, 1) != 1)
            throw map.Error("partial_rotary_factor", "1", "less");
        PositionScaling? scaling = null;
        switch (type)
        {
            case "default":
                break;
            case "linear":
                double times = map.Number("factor", 1, MostFactor);
                scaling = times == 1 ? null : new PositionScaling(false, times, positions, 1);
                break;
            case "yarn":
                double factor = map.Number("factor", 1, MostFactor);
                double scale = map.NumberOr("mscale", 0, 100, 0),
                    all = map.NumberOr("mscale_all_dim", 0, 100, 0);
                scaling = new PositionScaling(
                    true,
                    factor,
                    map.IntegerOrNull("original_max_position_embeddings", 1, 1 << 22) ?? positions,
                    map.NumberOr(
                        "attention_factor",
                        0,
                        100,
                        scale > 0 && all > 0 ? UsualAttention(factor, scale) / UsualAttention(factor, all) : UsualAttention(factor)
                    ),
                    map.NumberOr("beta_fast", 1e-6, 1e6, 32),
                    map.NumberOr("beta_slow", 1e-6, 1e6, 1),
                    map.FlagOr("truncate", true)
                );
                break;
            default:
                throw map.Error("rope_type", "'default', 'linear' or 'yarn'", $"'{Json.Short(type)}'");
        }
        // Some files say that a default takes a factor; then it is no default.
        if (scaling is null && type == "default" && map.NumberOr("factor", 0, double.MaxValue, 1) != 1)
            throw map.Error("rope_type", "'linear' or 'yarn' beside a factor", "'default'");
        return scaling;
    }

    // The frequencies between which the ramp lies, as numbers that need not be whole.
    private (double Low, double High) Ramp(int width, double theta)
    {
        double At(double turns) => width * Math.Log(OriginalPositions / (turns * 2 * Math.PI)) / (2 * Math.Log(theta));
        double low = At(BetaFast),
            high = At(BetaSlow);
        if (Truncate)
            (low, high) = (Math.Floor(low), Math.Ceiling(high));
        (low, high) = (Math.Max(low, 0), Math.Min(high, width - 1));
        return low == high ? (low, high + 0.001) : (low, high);
    }
}
