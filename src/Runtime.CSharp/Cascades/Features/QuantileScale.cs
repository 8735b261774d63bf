namespace OptimalStopping.Runtime.Cascades.Features;

/// <summary>
/// A recorded number on a common axis: the share of training values below it, ties counted half, piecewise linear between
/// at most 65 quantiles. Numbers of any unit become comparable, and none is so far out that it decides alone.
/// </summary>
/// <param name="Knots">Values, strictly increasing; empty when training saw none.</param>
/// <param name="Ranks">Their ranks in [0,1].</param>
internal sealed record QuantileScale(double[] Knots, double[] Ranks)
{
    private const int Steps = 64;

    /// <summary>Fits the scale; NaN values are passed over.</summary>
    public static QuantileScale Fit(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Where(v => !double.IsNaN(v)).Order()];
        var knots = new List<double>();
        var ranks = new List<double>();
        int steps = Math.Min(sorted.Length, Steps);
        for (int s = 0; s <= steps && sorted.Length > 0; s++)
        {
            double value = sorted[Math.Min(sorted.Length - 1, (int)((long)s * sorted.Length / steps))];
            if (knots.Count > 0 && value <= knots[^1])
                continue;
            int below = First(sorted, value, inclusive: true),
                upTo = First(sorted, value, inclusive: false);
            knots.Add(value);
            ranks.Add((below + upTo) / (2.0 * sorted.Length));
        }
        return new QuantileScale([.. knots], [.. ranks]);
    }

    /// <summary>The rank in [0,1]; 0.5 for NaN and where training saw nothing.</summary>
    public double Rank(double value)
    {
        if (Knots.Length == 0 || double.IsNaN(value))
            return 0.5;
        if (value <= Knots[0])
            return Ranks[0];
        if (value >= Knots[^1])
            return Ranks[^1];
        int at = Array.BinarySearch(Knots, value);
        if (at >= 0)
            return Ranks[at];
        int next = ~at;
        return Ranks[next - 1] + (Ranks[next] - Ranks[next - 1]) * (value - Knots[next - 1]) / (Knots[next] - Knots[next - 1]);
    }

    private static int First(double[] sorted, double value, bool inclusive)
    {
        int low = 0,
            high = sorted.Length;
        while (low < high)
        {
            int middle = (low + high) >> 1;
            if (inclusive ? sorted[middle] < value : sorted[middle] <= value)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
}
