using System.Buffers.Binary;
using System.Text.Json;

namespace OptimalStopping.Runtime.Models;

/// <summary>One tensor to write: its elements row by row, little-endian.</summary>
public readonly record struct TensorData(string Name, TensorType Type, long[] Shape, ReadOnlyMemory<byte> Bytes);

/// <summary>Writes <c>.safetensors</c> files.</summary>
public static class SafeTensorsWriter
{
    /// <summary>
    /// Writes the tensors in the order of their names, so that the same tensors give the same bytes. The file is written
    /// under a temporary name beside its place and then moved: a reader never sees half a file.
    /// </summary>
    /// <exception cref="ArgumentException">A name occurs twice, or a shape does not fit its bytes.</exception>
    public static void Write(string file, IEnumerable<TensorData> tensors)
    {
        TensorData[] ordered = [.. tensors.OrderBy(t => t.Name, StringComparer.Ordinal)];
        byte[] header = Header(ordered);
        string temporary = file + ".part";
        using (FileStream stream = File.Create(temporary))
        {
            Span<byte> prefix = stackalloc byte[8];
            BinaryPrimitives.WriteUInt64LittleEndian(prefix, (ulong)header.Length);
            stream.Write(prefix);
            stream.Write(header);
            foreach (TensorData tensor in ordered)
                stream.Write(tensor.Bytes.Span);
        }
        File.Move(temporary, file, overwrite: true);
    }

    private static byte[] Header(TensorData[] ordered)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            long offset = 0;
            for (int i = 0; i < ordered.Length; i++)
            {
                TensorData tensor = ordered[i];
                if (i > 0 && ordered[i - 1].Name == tensor.Name)
                    throw new ArgumentException($"{tensor.Name}: expected each name once, got it twice", nameof(ordered));
                if (tensor.Shape.Aggregate((long)SafeTensors.SizeOf(tensor.Type), (a, b) => checked(a * b)) != tensor.Bytes.Length)
                    throw new ArgumentException(
                        $"{tensor.Name}: expected the bytes of [{string.Join(", ", tensor.Shape)}] {tensor.Type}, got {tensor.Bytes.Length}",
                        nameof(ordered)
                    );
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", tensor.Type.ToString());
                json.WriteStartArray("shape");
                foreach (long extent in tensor.Shape)
                    json.WriteNumberValue(extent);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += tensor.Bytes.Length);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }
        while (stream.Length % 8 != 0)
            stream.WriteByte((byte)' '); // keeps the tensors aligned for readers that map the file
        return stream.ToArray();
    }
}
