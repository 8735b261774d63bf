using System.Numerics.Tensors;
using System.Runtime.InteropServices;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// A weight matrix [rows, columns] in INT8 with one scale per row (output channel): the weight is
/// <c>value * scale[row]</c>. Stored in the blocks that <see cref="KernelSet"/> describes; missing rows and columns of
/// the last block are zero.
/// </summary>
internal sealed unsafe class Int8Matrix : IBlocks, IDisposable
{
    private readonly KernelSet _kernels;
    private readonly AlignedBuffer<byte> _values;
    private readonly AlignedBuffer<float> _scales;
    private readonly int _groups;

    /// <param name="rows">Outputs.</param>
    /// <param name="columns">Inputs.</param>
    /// <param name="kernels">Who multiplies; the bytes are stored as it wants them.</param>
    public Int8Matrix(int rows, int columns, KernelSet kernels)
    {
        (Rows, Columns, _kernels) = (rows, columns, kernels);
        _groups = Padding.ToLanes(columns) / KernelSet.GroupInputs;
        int padded = Padding.ToBlock(rows);
        _values = new AlignedBuffer<byte>((long)padded * _groups * KernelSet.GroupInputs);
        _scales = new AlignedBuffer<float>(padded);
    }

    public int Rows { get; }
    public int Columns { get; }

    /// <summary>Bytes that one product reads: weights and scales.</summary>
    public long Bytes => _values.Length + _scales.Length * sizeof(float);

    /// <summary>Stores a row of finite floats, rounded.</summary>
    public void SetRow(int row, ReadOnlySpan<float> weights)
    {
        Span<sbyte> values = weights.Length <= 8192 ? stackalloc sbyte[weights.Length] : new sbyte[weights.Length];
        float scale = Round(weights, values);
        SetRow(row, values, scale);
    }

    /// <summary>Rounds finite floats: value = w / scale to the nearest (ties to even). Returns the scale, which is max|w| / 127.</summary>
    public static float Round(ReadOnlySpan<float> weights, Span<sbyte> values)
    {
        float scale = MathF.Abs(TensorPrimitives.MaxMagnitude(weights)) / 127;
        VectorMath.RoundTo127(weights, scale, values);
        return scale;
    }

    /// <summary>Stores a row that is already in INT8.</summary>
    public void SetRow(int row, ReadOnlySpan<sbyte> values, float scale)
    {
        if (values.Length != Columns || (uint)row >= (uint)Rows)
            throw new ArgumentException("row does not fit the matrix");
        byte* target = Start(row / KernelSet.BlockRows) + row % KernelSet.BlockRows * KernelSet.GroupInputs;
        uint offset = Offset;
        ReadOnlySpan<uint> groups = MemoryMarshal.Cast<sbyte, uint>(values);
        for (int g = 0; g < groups.Length; g++)
            ((uint*)(target + (long)g * KernelSet.GroupBytes))[0] = groups[g] ^ offset;
        for (int i = groups.Length * KernelSet.GroupInputs; i < values.Length; i++)
            target[(long)groups.Length * KernelSet.GroupBytes + i % KernelSet.GroupInputs] = (byte)((byte)values[i] ^ (byte)offset);
        _scales.Pointer[row] = scale;
    }

    /// <summary>A row as it was stored, with the zeros that pad it to whole vectors.</summary>
    public void CopyRow(int row, Span<sbyte> values)
    {
        byte* source = Start(row / KernelSet.BlockRows) + row % KernelSet.BlockRows * KernelSet.GroupInputs;
        uint offset = Offset;
        Span<uint> groups = MemoryMarshal.Cast<sbyte, uint>(values);
        for (int g = 0; g < _groups; g++)
            groups[g] = *(uint*)(source + (long)g * KernelSet.GroupBytes) ^ offset;
    }

    /// <summary>What turns four weights into the bytes that are stored, and back: w + 128 and w ^ 0x80 are the same byte.</summary>
    private uint Offset => _kernels.OffsetWeights ? 0x80808080u : 0;

    /// <summary>The rows' scales.</summary>
    public float* Scales => _scales.Pointer;

    public int Blocks => Padding.ToBlock(Rows) / KernelSet.BlockRows;

    /// <summary>
    /// For rows r of the blocks from <paramref name="first"/> up to <paramref name="end"/>: <c>output[t * stride + r]</c> =
    /// the product of row r and token t, as <see cref="KernelSet.MultiplyBlock"/> defines it. Whole blocks are written
    /// where <paramref name="stride"/> has room for them.
    /// </summary>
    public void Multiply(int first, int end, in ActivationRows inputs, int tokens, float* output, int stride)
    {
        int whole = Math.Min(end, stride / KernelSet.BlockRows);
        for (int block = first; block < whole; block++)
            _kernels.MultiplyBlock(
                Start(block),
                _groups,
                inputs,
                0,
                tokens,
                Scales + block * KernelSet.BlockRows,
                output + block * KernelSet.BlockRows,
                stride
            );
        if (end > whole)
            MultiplyPartly(whole, inputs, tokens, output + whole * KernelSet.BlockRows, stride);
    }

    /// <summary>The last block where the output has no room for all of its rows.</summary>
    private void MultiplyPartly(int block, in ActivationRows inputs, int tokens, float* output, int stride)
    {
        int rows = Rows - block * KernelSet.BlockRows;
        float* all = stackalloc float[KernelSet.BlockRows];
        for (int t = 0; t < tokens; t++)
        {
            _kernels.MultiplyBlock(Start(block), _groups, inputs, t, 1, Scales + block * KernelSet.BlockRows, all, KernelSet.BlockRows);
            new ReadOnlySpan<float>(all, rows).CopyTo(new Span<float>(output + (long)t * stride, rows));
        }
    }

    /// <summary>Random bytes and one scale, with products about as large as their inputs: for measuring speed.</summary>
    public void Randomise(Random random)
    {
        for (long start = 0; start < _values.Length; start += 1 << 20)
            random.NextBytes(new Span<byte>(_values.Pointer + start, (int)Math.Min(1 << 20, _values.Length - start)));
        new Span<float>(_scales.Pointer, Rows).Fill(1 / (74 * MathF.Sqrt(Columns))); // 74: their standard deviation
    }

    public byte* Start(int block) => _values.Pointer + (long)block * _groups * KernelSet.GroupBytes;

    public void Dispose()
    {
        _values.Dispose();
        _scales.Dispose();
    }
}
