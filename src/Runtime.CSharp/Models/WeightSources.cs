using System.Runtime.ExceptionServices;

namespace OptimalStopping.Runtime.Models;

/// <summary>Where <see cref="CpuWeights"/> come from; names are those of Hugging Face without <c>.weight</c>.</summary>
internal interface IWeightSource
{
    /// <summary>Checks that a matrix has exactly this shape, before memory is taken for it.</summary>
    /// <exception cref="ToolkitException">It is missing or has another shape.</exception>
    void Require(string name, int rows, int columns) { }

    /// <summary>Rows of a matrix, from <paramref name="first"/> on.</summary>
    void Fill(Int8Matrix matrix, int first, string name, int rows);

    /// <summary>The embedding; when it is also the output head, <paramref name="head"/> receives its rows.</summary>
    EmbeddingTable Embedding(string name, int tokens, int columns, Int8Matrix? head);

    void Norm(string name, AlignedBuffer<float> target, int length);
}

/// <summary>
/// The tensors of a checkpoint, packed from the mapped file by all cores: each row is read once and written once, so
/// that loading takes little longer than copying the file in memory.
/// </summary>
internal sealed class CheckpointWeights(Checkpoint source) : IWeightSource
{
    public void Require(string name, int rows, int columns)
    {
        if (!source.Has(name + ".qweight"))
            source.Require(name + ".weight", rows, columns);
    }

    /// <summary>INT8 with one scale per row as it is, everything else as floats that are rounded here.</summary>
    public void Fill(Int8Matrix matrix, int first, string name, int rows)
    {
        int columns = matrix.Columns;
        if (!source.IsInt8(name))
        {
            IMatrixRows floats = PackedMatrices.Open(source, name, rows, columns);
            ForRows(rows, columns, (row, buffer) =>
            {
                floats.Floats(row, buffer);
                matrix.SetRow(first + row, buffer);
            });
            return;
        }
        MappedTensor bytes = source.Mapped(name + ".weight", rows, columns);
        float[] scales = source.Floats(name + ".weight_scale", rows, 1);
        ForRows(rows, 0, (row, _) => matrix.SetRow(first + row, bytes.Bytes(row), scales[row]));
    }

    public EmbeddingTable Embedding(string name, int tokens, int columns, Int8Matrix? head)
    {
        MappedTensor rows = source.Mapped(name + ".weight", tokens, columns);
        if (rows.Type is TensorType.I8 or TensorType.I32)
            throw new ToolkitException($"{name}.weight: expected F32, F16 or BF16, got {rows.Type}");
        var table = new EmbeddingTable(rows.Type, tokens, columns);
        try
        {
            ForRows(tokens, columns, (row, buffer) =>
            {
                rows.Floats(row, buffer);
                rows.Raw(row).CopyTo(table.Raw(row));
                head?.SetRow(row, buffer);
            });
            return table;
        }
        catch
        {
            table.Dispose();
            throw;
        }
    }

    public unsafe void Norm(string name, AlignedBuffer<float> target, int length) =>
        source.Floats(name + ".weight", length).CopyTo(new Span<float>(target.Pointer, length));

    private delegate void RowAction(int row, Span<float> buffer);

    /// <summary>Every row, a block of them at a time per core, with a buffer for one row.</summary>
    private static void ForRows(int rows, int columns, RowAction action)
    {
        const int Block = 256;
        try
        {
            Parallel.For(
                0,
                (rows + Block - 1) / Block,
                () => new float[columns],
                (block, _, buffer) =>
                {
                    for (int row = block * Block; row < Math.Min(rows, (block + 1) * Block); row++)
                        action(row, buffer);
                    return buffer;
                },
                _ => { }
            );
        }
        catch (AggregateException faults)
        {
            ExceptionDispatchInfo.Throw(faults.InnerExceptions[0]);
        }
    }
}

/// <summary>Random weights, the same for the same seed; their values mean nothing, and their speed is that of real ones.</summary>
internal sealed class RandomWeights(int seed) : IWeightSource
{
    private readonly Random _random = new(seed);

    public void Fill(Int8Matrix matrix, int first, string name, int rows)
    {
        if (first == 0)
            matrix.Randomise(_random);
    }

    public EmbeddingTable Embedding(string name, int tokens, int columns, Int8Matrix? head)
    {
        head?.Randomise(_random);
        var table = new EmbeddingTable(TensorType.BF16, tokens, columns);
        for (int token = 0; token < tokens; token++)
        {
            Span<byte> row = table.Raw(token);
            _random.NextBytes(row);
            for (int i = 1; i < row.Length; i += 2)
                row[i] = (byte)(row[i] & 0x80 | 0x3F); // about 0.5 to 2, either sign
        }
        return table;
    }

    public unsafe void Norm(string name, AlignedBuffer<float> target, int length) => new Span<float>(target.Pointer, length).Fill(1);
}
