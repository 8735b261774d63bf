using System.Buffers.Binary;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// One <c>.safetensors</c> file: 8 bytes with the length of the header, the header in JSON, then the tensors' bytes.
/// The header comes from strangers, so each number is checked against the file before anything is allocated by it.
/// </summary>
public sealed class SafeTensors : ITensorFile
{
    private const long LongestHeader = 100_000_000;
    private const string ReadTypes = "F32, F16, BF16, I8, F8_E4M3 or I32";

    // The format's other types.
    private static readonly HashSet<string> KnownTypes =
    [
        "BOOL",
        "U8",
        "U16",
        "U64",
        "I16",
        "I64",
        "F64",
        "C64",
        "F4",
        "F6_E2M3",
        "F6_E3M2",
        "F8_E5M2",
        "F8_E8M0",
    ];
    private readonly MappedFile _file;
    private readonly Dictionary<string, TensorEntry> _entries = [];
    private readonly Dictionary<string, string> _otherTypes = [];

    private SafeTensors(SafeFileHandle handle) => _file = new MappedFile(handle);

    /// <summary>The tensors by name, but for those of a type that is not read.</summary>
    public IReadOnlyDictionary<string, TensorEntry> Entries => _entries;

    /// <summary>The names and types (<c>F64</c>, <c>BOOL</c>, ...) of the tensors that are not read; a model may not need them.</summary>
    internal IReadOnlyDictionary<string, string> OtherTypes => _otherTypes;

    /// <summary>The error where a model does need a tensor of <see cref="OtherTypes"/>.</summary>
    internal static ToolkitException OtherType(string file, string name, string type) =>
        Json.Error(file, $"{name}.dtype", ReadTypes, $"'{Json.Short(type)}'");

    /// <summary>Opens a file and checks its whole header.</summary>
    /// <exception cref="ToolkitException">The file cannot be read or its header is malformed.</exception>
    public static SafeTensors Open(string file)
    {
        SafeTensors? opened = null;
        try
        {
            SafeFileHandle handle = File.OpenHandle(file);
            opened = new SafeTensors(handle);
            opened.ReadHeader(file, handle);
            return opened;
        }
        catch (Exception fault)
        {
            opened?.Dispose();
            if (fault is IOException or UnauthorizedAccessException)
                throw new ToolkitException($"{file}: expected a readable file, got: {fault.Message}", fault);
            throw;
        }
    }

    /// <summary>A floating-point tensor's elements in row-major order, widened to float32 (exact for every type).</summary>
    /// <exception cref="ToolkitException">It is an I8 tensor, or a value is not finite.</exception>
    public float[] ReadFloats(TensorEntry entry) => Tensor(entry).AllFloats();

    /// <summary>An I8 tensor's elements in row-major order.</summary>
    public sbyte[] ReadBytes(TensorEntry entry) => Tensor(entry).AllBytes();

    unsafe byte* ITensorFile.Bytes(TensorEntry entry) => _file.Start + entry.Offset;

    private unsafe MappedTensor Tensor(TensorEntry entry) => new(entry, _file.Start + entry.Offset);

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static void ReadExactly(string file, SafeFileHandle handle, Span<byte> target, long offset)
    {
        for (int done = 0; done < target.Length; )
        {
            int got = RandomAccess.Read(handle, target[done..], offset + done);
            if (got == 0)
                throw new ToolkitException($"{file}: offset {offset + done}: expected more bytes, got the end of the file");
            done += got;
        }
    }

    private void ReadHeader(string file, SafeFileHandle handle)
    {
        long length = RandomAccess.GetLength(handle);
        if (length < 8)
            throw new ToolkitException($"{file}: expected at least 8 bytes, got {length}");
        Span<byte> prefix = stackalloc byte[8];
        ReadExactly(file, handle, prefix, 0);
        ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        ulong longest = (ulong)Math.Min(length - 8, LongestHeader);
        if (prefix.SequenceEqual("version "u8))
            throw new ToolkitException($"{file}: expected tensors, got a Git LFS pointer: fetch the file itself (git lfs pull)");
        if (headerLength < 2 || headerLength > longest)
            throw new ToolkitException($"{file}: offset 0: expected a header of 2 to {longest} bytes, got {headerLength}");
        var header = new byte[headerLength];
        ReadExactly(file, handle, header, 8);

        using JsonDocument document = Json.Parse(file, header);
        long start = 8 + (long)headerLength;
        foreach (JsonProperty item in document.RootElement.EnumerateObject())
            if (item.Name != "__metadata__")
                ReadEntry(file, item.Name, item.Value, start, length - start);

        long end = start;
        foreach (TensorEntry entry in _entries.Values.Where(e => e.Bytes > 0).OrderBy(e => e.Offset))
        {
            if (entry.Offset < end)
                throw new ToolkitException(
                    $"{file}: {entry.Name}: expected a tensor from offset {end} on, got one that overlaps at {entry.Offset}"
                );
            end = entry.Offset + entry.Bytes;
        }
    }

    private void ReadEntry(string file, string name, JsonElement item, long start, long room)
    {
        if (item.ValueKind != JsonValueKind.Object)
            throw Json.Error(file, name, "an object", Json.Show(item));
        JsonElement dtype = item.TryGetProperty("dtype", out JsonElement stated) ? stated : default;
        if (dtype.ValueKind != JsonValueKind.String)
            throw Json.Error(file, $"{name}.dtype", ReadTypes, Json.Show(dtype));
        TensorType? read = dtype.GetString() switch
        {
            "F8_E4M3" => TensorType.F8,
            "I32" or "U32" => TensorType.I32,
            "F32" or "F16" or "BF16" or "I8" => Enum.Parse<TensorType>(dtype.GetString()!),
            var other => KnownTypes.Contains(other!) ? null : throw OtherType(file, name, other!),
        };
        long[] shape = Whole(file, item, name, "shape");
        long[] offsets = Whole(file, item, name, "data_offsets");
        if (offsets.Length != 2 || offsets[0] > offsets[1] || offsets[1] > room)
            throw Json.Error(file, $"{name}.data_offsets", $"two offsets in order, at most {room}", $"[{string.Join(", ", offsets)}]");
        if (read is not { } type)
        {
            _otherTypes.Add(name, dtype.GetString()!);
            return;
        }
        UInt128 size = (UInt128)TensorEntry.SizeOf(type);
        foreach (long extent in shape)
        {
            size *= (UInt128)extent;
            if (size > (UInt128)room)
                break;
        }
        long bytes = offsets[1] - offsets[0];
        if (shape.Contains(0))
            size = 0;
        if (size != (UInt128)bytes)
            throw Json.Error(file, $"{name}.shape", $"the shape of {bytes} bytes of {type}", $"[{string.Join(", ", shape)}]");
        _entries.Add(name, new TensorEntry(file, name, type, shape, start + offsets[0], bytes));
    }

    private static long[] Whole(string file, JsonElement item, string name, string key)
    {
        JsonElement list = item.TryGetProperty(key, out JsonElement stated) ? stated : default;
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() > 16)
            throw Json.Error(file, $"{name}.{key}", "an array of at most 16 whole numbers", Json.Show(list));
        return
        [
            .. list.EnumerateArray()
                .Select(v =>
                    v.ValueKind == JsonValueKind.Number && v.TryGetInt64(out long n) && n >= 0
                        ? n
                        : throw Json.Error(file, $"{name}.{key}", "whole numbers of 0 or more", Json.Show(list))
                ),
        ];
    }
}

/// <summary>One tensor to write: its elements row by row, little-endian.</summary>
public readonly record struct TensorData(string Name, TensorType Type, long[] Shape, ReadOnlyMemory<byte> Bytes);

/// <summary>Writes <c>.safetensors</c> files.</summary>
public static class SafeTensorsWriter
{
    /// <summary>
    /// Writes the tensors in the order of their names, so that the same tensors give the same bytes.
    /// </summary>
    /// <exception cref="ArgumentException">A name occurs twice, or a shape does not fit its bytes.</exception>
    public static void Write(string file, IEnumerable<TensorData> tensors)
    {
        TensorData[] ordered = [.. tensors.OrderBy(t => t.Name, StringComparer.Ordinal)];
        byte[] header = Header(ordered);
        AtomicFile.Write(file, stream =>
        {
            Span<byte> prefix = stackalloc byte[8];
            BinaryPrimitives.WriteUInt64LittleEndian(prefix, (ulong)header.Length);
            stream.Write(prefix);
            stream.Write(header);
            foreach (TensorData tensor in ordered)
                stream.Write(tensor.Bytes.Span);
        });
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
                if (tensor.Shape.Aggregate((long)TensorEntry.SizeOf(tensor.Type), (a, b) => checked(a * b)) != tensor.Bytes.Length)
                    throw new ArgumentException(
                        $"{tensor.Name}: expected the bytes of [{string.Join(", ", tensor.Shape)}] {tensor.Type}, got {tensor.Bytes.Length}",
                        nameof(ordered)
                    );
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", tensor.Type == TensorType.F8 ? "F8_E4M3" : tensor.Type.ToString());
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
