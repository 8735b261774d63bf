namespace OptimalStopping.Runtime.Models;

/// <summary>One row per token, in the type that the checkpoint has (F32, F16 or BF16).</summary>
internal sealed unsafe class EmbeddingTable(TensorType type, int tokens, int columns) : IDisposable
{
    private readonly AlignedBuffer<byte> _rows = new((long)tokens * columns * SafeTensors.SizeOf(type));

    /// <summary>The bytes of one row.</summary>
    public Span<byte> Raw(int token)
    {
        int bytes = columns * SafeTensors.SizeOf(type);
        return new Span<byte>(_rows.Pointer + (long)token * bytes, bytes);
    }

    /// <summary>A token's row as float32.</summary>
    public void Read(int token, float* target) => MappedTensor.Widen(type, Raw(token), new Span<float>(target, columns));

    public void Dispose() => _rows.Dispose();
}
