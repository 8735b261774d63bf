namespace OptimalStopping.Runtime.Models;

/// <summary>A matrix [rows, columns] in INT8, row by row, with one scale per row: a weight is <c>value * scale[row]</c>.</summary>
public readonly record struct Int8Rows(int Rows, int Columns, sbyte[] Values, float[] Scales)
{
    /// <summary>
    /// Reads a projection: INT8 as compressed-tensors stores W8A8 as it is, floats rounded per row with the scale
    /// max|w| / 127 to the nearest (ties to even). Rows are rounded on all cores.
    /// </summary>
    /// <param name="name">The projection, without <c>.weight</c>.</param>
    /// <exception cref="ToolkitException">A tensor is missing, has another shape or type, or holds a value that is not finite.</exception>
    public static Int8Rows Read(Checkpoint source, string name, int rows, int columns)
    {
        string weight = name + ".weight";
        if (source.TypeOf(weight) == TensorType.I8)
            return Checked(source, name, rows, columns);
        float[] floats = source.Floats(weight, rows, columns);
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

    private static Int8Rows Checked(Checkpoint source, string name, int rows, int columns)
    {
        if (source.Has(name + ".weight_zero_point"))
            throw new ToolkitException($"{name}.weight_zero_point: expected symmetric INT8 without a zero point, got one");
        return new Int8Rows(rows, columns, source.Bytes(name + ".weight", rows, columns), source.Floats(name + ".weight_scale", rows, 1));
    }
}
