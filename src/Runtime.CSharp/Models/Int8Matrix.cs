using System.Runtime.Intrinsics;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// A weight matrix [rows, columns] in INT8 with one scale per row (output channel): the weight is
/// <c>value * scale[row]</c>. Stored in the blocks that <see cref="KernelSet"/> describes; missing rows and columns of
/// the last block are zero.
/// </summary>
internal sealed unsafe class Int8Matrix : IDisposable
{
    private readonly AlignedBuffer<sbyte> _values;
    private readonly AlignedBuffer<float> _scales;
    private readonly int _groups;

    public Int8Matrix(int rows, int columns)
    {
        if (columns > KernelSet.MaxInputs) throw new ArgumentOutOfRangeException(nameof(columns));
        (Rows, Columns) = (rows, columns);
        _groups = (columns + KernelSet.GroupInputs - 1) / KernelSet.GroupInputs;
        int padded = Padding.ToLanes(rows);
        _values = new AlignedBuffer<sbyte>((long)padded * _groups * KernelSet.GroupInputs);
        _scales = new AlignedBuffer<float>(padded);
    }

    public int Rows { get; }
    public int Columns { get; }

    /// <summary>Rounds a row of finite floats: scale = max|w| / 127, value = w / scale to the nearest (ties to even).</summary>
    public void SetRow(int row, ReadOnlySpan<float> weights)
    {
        float max = 0;
        foreach (float w in weights) max = MathF.Max(max, MathF.Abs(w));
        float scale = max / 127;
        Span<sbyte> values = weights.Length <= 4096 ? stackalloc sbyte[weights.Length] : new sbyte[weights.Length];
        for (int i = 0; i < weights.Length; i++)
            values[i] = scale == 0 ? (sbyte)0 : (sbyte)Math.Clamp(MathF.Round(weights[i] / scale), -127, 127);
        SetRow(row, values, scale);
    }

    /// <summary>Stores a row that is already in INT8.</summary>
    public void SetRow(int row, ReadOnlySpan<sbyte> values, float scale)
    {
        if (values.Length != Columns || (uint)row >= (uint)Rows) throw new ArgumentException("row does not fit the matrix");
        sbyte* block = Block(row / KernelSet.BlockRows) + row % KernelSet.BlockRows * KernelSet.GroupInputs;
        for (int i = 0; i < values.Length; i++)
            block[i / KernelSet.GroupInputs * KernelSet.GroupBytes + i % KernelSet.GroupInputs] = values[i];
        _scales.Pointer[row] = scale;
    }

    /// <summary>
    /// <c>output[t * stride + r]</c> = (exact integer product, rounded once to float) * (weight scale * activation scale)
    /// for each token and row. <paramref name="sums"/> has room for 16 integers per token.
    /// </summary>
    public void Multiply(KernelSet kernels, in QuantisedRows inputs, int tokens, int* sums, float* output, int stride)
    {
        for (int first = 0; first < Rows; first += KernelSet.BlockRows)
        {
            kernels.MultiplyBlock(Block(first / KernelSet.BlockRows), _groups, inputs, tokens, sums);
            Vector512<float> scales = Vector512.Load(_scales.Pointer + first);
            int rows = Math.Min(KernelSet.BlockRows, Rows - first);
            for (int t = 0; t < tokens; t++)
            {
                Vector512<float> values = Vector512.ConvertToSingle(Vector512.Load(sums + t * KernelSet.BlockRows))
                    * (scales * Vector512.Create(inputs.Scales[t]));
                float* target = output + (long)t * stride + first;
                if (rows == KernelSet.BlockRows) values.Store(target);
                else
                    for (int r = 0; r < rows; r++) target[r] = values[r];
            }
        }
    }

    public void Dispose()
    {
        _values.Dispose();
        _scales.Dispose();
    }

    private sbyte* Block(int block) => _values.Pointer + (long)block * _groups * KernelSet.GroupBytes;
}
