using System.Buffers.Binary;
using System.Text;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Reads the numbers and texts of a GGUF header (little-endian) and knows where it is, so that a fault can say so. No
/// length is believed before the file is seen to be that long.
/// </summary>
internal sealed class GgufReader(string file, Stream stream)
{
    private const int LongestText = 1 << 20,
        LongestArray = 1 << 22;

    private readonly byte[] _word = new byte[8];

    /// <summary>Bytes read so far.</summary>
    public long Position { get; private set; }

    public long Length { get; } = stream.Length;

    public ToolkitException Error(string what, string expected, string got) =>
        new($"{file}: offset {Position}: {what}: expected {expected}, got {got}");

    public uint UInt32(string what)
    {
        Read(what, _word.AsSpan(0, 4));
        return BinaryPrimitives.ReadUInt32LittleEndian(_word);
    }

    public ulong UInt64(string what)
    {
        Read(what, _word);
        return BinaryPrimitives.ReadUInt64LittleEndian(_word);
    }

    /// <summary>A count of things that take at least <paramref name="bytesEach"/> bytes, and that so must fit the rest of the file.</summary>
    public int Count(string what, int bytesEach, int most)
    {
        ulong count = UInt64(what),
            room = (ulong)Math.Min((Length - Position) / bytesEach, most);
        return count <= room ? (int)count : throw Error(what, $"at most {room}", $"{count}");
    }

    public string Text(string what)
    {
        var bytes = new byte[Count(what, 1, LongestText)];
        Read(what, bytes);
        return Encoding.UTF8.GetString(bytes);
    }

    /// <summary>A value of the header: a long, double, bool or string, or an array of these.</summary>
    public object Value(string key)
    {
        uint type = UInt32(key);
        if (type != 9)
            return Scalar(key, type);
        uint element = UInt32(key);
        if (element == 9)
            throw Error(key, "an array of plain values", "an array of arrays");
        var values = new object[Count(key, Size(key, element), LongestArray)];
        for (int i = 0; i < values.Length; i++)
            values[i] = Scalar(key, element);
        return values;
    }

    private object Scalar(string key, uint type)
    {
        if (type == 8)
            return Text(key);
        Span<byte> bytes = _word.AsSpan(0, Size(key, type));
        Read(key, bytes);
        switch (type)
        {
            case 0:
                return (long)bytes[0];
            case 1:
                return (long)(sbyte)bytes[0];
            case 2:
                return (long)BinaryPrimitives.ReadUInt16LittleEndian(bytes);
            case 3:
                return (long)BinaryPrimitives.ReadInt16LittleEndian(bytes);
            case 4:
                return (long)BinaryPrimitives.ReadUInt32LittleEndian(bytes);
            case 5:
                return (long)BinaryPrimitives.ReadInt32LittleEndian(bytes);
            case 6:
                return (double)BinaryPrimitives.ReadSingleLittleEndian(bytes);
            case 7:
                return bytes[0] != 0;
            case 10:
                return (long)Math.Min(BinaryPrimitives.ReadUInt64LittleEndian(bytes), long.MaxValue);
            case 11:
                return BinaryPrimitives.ReadInt64LittleEndian(bytes);
            default:
                return BinaryPrimitives.ReadDoubleLittleEndian(bytes);
        }
    }

    private int Size(string key, uint type) =>
        type switch
        {
            0 or 1 or 7 => 1,
            2 or 3 => 2,
            4 or 5 or 6 => 4,
            8 or 10 or 11 or 12 => 8,
            _ => throw Error(key, "a value type of 0 to 12", $"{type}"),
        };

    private void Read(string what, Span<byte> target)
    {
        int got = stream.ReadAtLeast(target, target.Length, throwOnEndOfStream: false);
        Position += got;
        if (got < target.Length)
            throw Error(what, $"{target.Length - got} more bytes", "the end of the file");
    }
}
