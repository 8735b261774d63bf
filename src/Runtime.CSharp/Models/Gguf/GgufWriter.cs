using System.Text;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Models;

/// <summary>The tensor types written here, by their numbers in the file.</summary>
public enum GgufType
{
    F32 = 0,
    F16 = 1,
    Q8_0 = 8,
}

/// <summary>
/// A tensor to write. The shape is [rows, columns] or [columns], as in safetensors; the file has it in reverse.
/// <paramref name="Fill"/> writes exactly the bytes of the type and shape to the stream.
/// </summary>
public sealed record GgufTensor(string Name, GgufType Type, long[] Shape, Action<Stream> Fill)
{
    /// <summary>Weights that share one scale in Q8_0; a row has a whole number of such blocks.</summary>
    public const int BlockWeights = 32;

    /// <summary>Bytes of a Q8_0 block: a scale in float16, then the weights.</summary>
    public const int BlockBytes = 2 + BlockWeights;

    public long Bytes =>
        Shape.Aggregate(1L, (a, b) => checked(a * b)) is var count && Type == GgufType.F32 ? 4 * count
        : Type == GgufType.F16 ? 2 * count
        : count / BlockWeights * BlockBytes;
}

/// <summary>
/// Writes GGUF, the file format of llama.cpp (version 3; "GGUF" in the documentation of ggml): a header with typed
/// key-value pairs, the list of tensors, then their bytes, each tensor from a multiple of 32 on.
/// </summary>
public static class GgufWriter
{
    private const int Alignment = 32;

    /// <summary>
    /// Values of
    /// <paramref name="metadata"/> may be a string, uint, float, bool, or a list of strings or ints.
    /// </summary>
    /// <exception cref="ArgumentException">A value has another type, a row of Q8_0 is no whole number of blocks, or a tensor wrote too little or too much.</exception>
    public static void Write(string file, IReadOnlyList<KeyValuePair<string, object>> metadata, IReadOnlyList<GgufTensor> tensors)
    {
        AtomicFile.Write(file, stream =>
        {
            using (var writer = new BinaryWriter(stream, Encoding.UTF8, leaveOpen: true))
            {
                writer.Write("GGUF"u8);
                writer.Write(3u);
                writer.Write((ulong)tensors.Count);
                writer.Write((ulong)metadata.Count);
                foreach ((string key, object value) in metadata)
                    Pair(writer, key, value);
                ulong offset = 0;
                foreach (GgufTensor tensor in tensors)
                    offset = Entry(writer, tensor, offset);
                foreach (GgufTensor tensor in tensors)
                {
                    Pad(writer);
                    long start = stream.Position;
                    tensor.Fill(stream);
                    if (stream.Position - start != tensor.Bytes)
                        throw new ArgumentException(
                            $"{tensor.Name}: expected {tensor.Bytes} bytes, got {stream.Position - start}",
                            nameof(tensors)
                        );
                }
            }
        });
    }

    private static void Pair(BinaryWriter writer, string key, object value)
    {
        Text(writer, key);
        switch (value)
        {
            case uint number:
                writer.Write(4u);
                writer.Write(number);
                break;
            case float number:
                writer.Write(6u);
                writer.Write(number);
                break;
            case string text:
                writer.Write(8u);
                Text(writer, text);
                break;
            case bool flag:
                writer.Write(7u);
                writer.Write(flag);
                break;
            case IReadOnlyList<string> texts:
                writer.Write(9u);
                writer.Write(8u);
                writer.Write((ulong)texts.Count);
                foreach (string item in texts)
                    Text(writer, item);
                break;
            case IReadOnlyList<int> numbers:
                writer.Write(9u);
                writer.Write(5u);
                writer.Write((ulong)numbers.Count);
                foreach (int number in numbers)
                    writer.Write(number);
                break;
            default:
                throw new ArgumentException(
                    $"{key}: expected a string, uint, float, bool or a list of strings or ints, got {value.GetType().Name}"
                );
        }
    }

    private static ulong Entry(BinaryWriter writer, GgufTensor tensor, ulong offset)
    {
        if (tensor.Type == GgufType.Q8_0 && tensor.Shape[^1] % GgufTensor.BlockWeights != 0)
            throw new ArgumentException($"{tensor.Name}: expected rows of a multiple of {GgufTensor.BlockWeights}, got {tensor.Shape[^1]}");
        Text(writer, tensor.Name);
        writer.Write((uint)tensor.Shape.Length);
        foreach (long extent in tensor.Shape.Reverse())
            writer.Write((ulong)extent);
        writer.Write((uint)tensor.Type);
        writer.Write(offset);
        return (offset + (ulong)tensor.Bytes + Alignment - 1) / Alignment * Alignment;
    }

    private static void Text(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }

    private static void Pad(BinaryWriter writer)
    {
        writer.Flush();
        while (writer.BaseStream.Position % Alignment != 0)
            writer.BaseStream.WriteByte(0);
    }
}
