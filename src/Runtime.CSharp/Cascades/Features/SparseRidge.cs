using System.Numerics.Tensors;

namespace OptimalStopping.Runtime.Cascades.Features;

/// <summary>A sparse row: places, increasing, and the numbers there.</summary>
internal readonly record struct SparseRow(int[] Index, float[] Value);

/// <summary>
/// Least squares with a quadratic penalty on sparse rows, for many targets at once, by conjugate gradients. A target may be
/// missing (NaN) on some rows. The constant is not penalised. Deterministic.
/// </summary>
/// <param name="Width">Columns.</param>
/// <param name="Targets">Targets.</param>
/// <param name="Mean">Mean of each target: the prediction for an empty row.</param>
/// <param name="Weights">Entry j * Targets + t: weight of column j for target t.</param>
internal sealed record SparseRidge(int Width, int Targets, float[] Mean, float[] Weights)
{
    /// <summary>Fits the weights.</summary>
    /// <param name="rows">The rows.</param>
    /// <param name="target">Entry i * targets + t: target t of row i; NaN for missing.</param>
    /// <param name="penalty">In units of rows; above 0.</param>
    /// <param name="steps">Steps of conjugate gradients; few of them regularise too.</param>
    public static SparseRidge Fit(IReadOnlyList<SparseRow> rows, double[] target, int targets, int width, double penalty, int steps)
    {
        var mean = new float[targets];
        for (int t = 0; t < targets; t++)
        {
            double sum = 0;
            int count = 0;
            for (int i = 0; i < rows.Count; i++)
                if (!double.IsNaN(target[i * targets + t]))
                {
                    sum += target[i * targets + t];
                    count++;
                }
            mean[t] = count == 0 ? 0 : (float)(sum / count);
        }
        var known = new float[rows.Count * targets];
        var centred = new float[rows.Count * targets];
        for (int i = 0; i < known.Length; i++)
            if (!double.IsNaN(target[i]))
            {
                known[i] = 1;
                centred[i] = (float)target[i] - mean[i % targets];
            }

        var weights = new float[width * targets];
        float[] residual = Transposed(rows, centred, targets, width);
        float[] direction = [.. residual];
        var image = new float[rows.Count * targets];
        double[] norm = Squares(residual, targets);
        double[] first = [.. norm];
        for (int step = 0; step < steps; step++)
        {
            Array.Clear(image);
            for (int i = 0; i < rows.Count; i++)
                Add(rows[i], direction, image.AsSpan(i * targets, targets));
            TensorPrimitives.Multiply(image, known, image);
            float[] applied = Transposed(rows, image, targets, width);
            TensorPrimitives.MultiplyAdd(direction, (float)penalty, applied, applied);
            double[] curvature = Products(direction, applied, targets);
            var size = new float[targets];
            for (int t = 0; t < targets; t++)
                size[t] = norm[t] > 1e-7 * first[t] && curvature[t] > 0 ? (float)(norm[t] / curvature[t]) : 0;
            if (Array.TrueForAll(size, s => s == 0))
                break;
            for (int at = 0; at < weights.Length; at += targets)
            for (int t = 0; t < targets; t++)
            {
                weights[at + t] += size[t] * direction[at + t];
                residual[at + t] -= size[t] * applied[at + t];
            }
            double[] next = Squares(residual, targets);
            var turn = new float[targets];
            for (int t = 0; t < targets; t++)
                turn[t] = norm[t] > 0 ? (float)(next[t] / norm[t]) : 0;
            for (int at = 0; at < weights.Length; at += targets)
            for (int t = 0; t < targets; t++)
                direction[at + t] = residual[at + t] + turn[t] * direction[at + t];
            norm = next;
        }
        return new SparseRidge(width, targets, mean, weights);
    }

    /// <summary>Predictions for one row.</summary>
    /// <param name="into">One place for each target.</param>
    public void Predict(SparseRow row, Span<float> into)
    {
        Mean.CopyTo(into);
        Add(row, Weights, into);
    }

    private static void Add(SparseRow row, float[] weights, Span<float> into)
    {
        for (int e = 0; e < row.Index.Length; e++)
            TensorPrimitives.MultiplyAdd(weights.AsSpan(row.Index[e] * into.Length, into.Length), row.Value[e], into, into);
    }

    private static float[] Transposed(IReadOnlyList<SparseRow> rows, float[] values, int targets, int width)
    {
        var result = new float[width * targets];
        for (int i = 0; i < rows.Count; i++)
        {
            ReadOnlySpan<float> own = values.AsSpan(i * targets, targets);
            SparseRow row = rows[i];
            for (int e = 0; e < row.Index.Length; e++)
            {
                Span<float> into = result.AsSpan(row.Index[e] * targets, targets);
                TensorPrimitives.MultiplyAdd(own, row.Value[e], into, into);
            }
        }
        return result;
    }

    private static double[] Squares(float[] x, int targets) => Products(x, x, targets);

    private static double[] Products(float[] x, float[] y, int targets)
    {
        var sums = new double[targets];
        for (int at = 0; at < x.Length; at += targets)
        for (int t = 0; t < targets; t++)
            sums[t] += (double)x[at + t] * y[at + t];
        return sums;
    }
}
