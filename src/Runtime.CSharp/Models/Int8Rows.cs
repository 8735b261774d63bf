namespace OptimalStopping.Runtime.Models;

/// <summary>A matrix [rows, columns] in INT8, row by row, with one scale per row: a weight is <c>value * scale[row]</c>.</summary>
public readonly record struct Int8Rows(int Rows, int Columns, sbyte[] Values, float[] Scales)
{
    /// <summary>
    /// Reads a projection: INT8 with one scale per row as it is, everything else as floats that are rounded per row with the scale
    /// max|w| / 127 to the nearest (ties to even). Rows are rounded on all cores.
    /// </summary>
    /// <param name="name">The projection, without <c>.weight</c>.</param>
    /// <exception cref="ToolkitException">A tensor is missing, has another shape or type, or holds a value that is not finite.</exception>
    public static Int8Rows Read(Checkpoint source, string name, int rows, int columns)
    {
        if (source.IsInt8(name))
            return new Int8Rows(
                rows,
                columns,
                source.Bytes(name + ".weight", rows, columns),
                source.Floats(name + ".weight_scale", rows, 1)
            );
        IMatrixRows matrix = PackedMatrices.Open(source, name, rows, columns);
        var floats = new float[(long)rows * columns];
        for (int row = 0; row < rows; row++)
            matrix.Floats(row, floats.AsSpan(row * columns, columns));
        return Round(floats, rows, columns);
    }

    /// <summary>Rounds a matrix of finite floats.</summary>
    public static Int8Rows Round(float[] floats, int rows, int columns)
    {
        var values = new sbyte[floats.Length];
        var scales = new float[rows];
        Parallel.For(0, rows, row =>
        {
            ReadOnlySpan<float> from = floats.AsSpan(row * columns, columns);
            Span<sbyte> to = values.AsSpan(row * columns, columns);
            float max = 0;
            foreach (float w in from)
                max = MathF.Max(max, MathF.Abs(w));
            float scale = scales[row] = max / 127;
            if (scale == 0)
                return;
            for (int i = 0; i < from.Length; i++)
                to[i] = (sbyte)Math.Clamp(MathF.Round(from[i] / scale), -127, 127);
        });
        return new Int8Rows(rows, columns, values, scales);
    }
}
