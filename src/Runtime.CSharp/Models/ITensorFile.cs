namespace OptimalStopping.Runtime.Models;

/// <summary>A file of named tensors, its header read and checked.</summary>
internal unsafe interface ITensorFile : IDisposable
{
    /// <summary>The tensors by their Hugging Face names.</summary>
    IReadOnlyDictionary<string, TensorEntry> Entries { get; }

    /// <summary>A floating-point tensor's elements in row-major order, as float32.</summary>
    /// <exception cref="ToolkitException">It is an I8 tensor, or a value is not finite.</exception>
    float[] ReadFloats(TensorEntry entry);

    /// <summary>An I8 tensor's elements in row-major order.</summary>
    /// <exception cref="ToolkitException">It is no I8 tensor.</exception>
    sbyte[] ReadBytes(TensorEntry entry);

    /// <summary>A tensor's bytes in memory, little-endian and row by row; they stay until this is disposed.</summary>
    byte* Bytes(TensorEntry entry);
}
