using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Microsoft.Win32.SafeHandles;

namespace OptimalStopping.Runtime.Models.Gguf;

/// <summary>
/// One <c>.gguf</c> file of a dense Qwen3 model (the format of llama.cpp), with tensors in F32, F16, BF16 or Q8_0: shape,
/// vocabulary and tensors, under their Hugging Face names.
/// </summary>
/// <remarks>
/// Q8_0 keeps 32 values in INT8 with one 16-bit scale. This toolkit's engines want one scale per output channel, so a
/// Q8_0 matrix appears as an I8 tensor with <c>_scale</c> beside it, rounded anew row by row; a Q8_0 embedding appears as
/// F32, which holds it exactly. Both engines read the same numbers.
/// </remarks>
internal sealed partial class GgufFile : ITensorFile
{
    private const int BlockValues = 32,
        BlockBytes = 34,
        MostTensors = 100_000,
        MostKeys = 10_000;

    private readonly string _file;
    private readonly SafeFileHandle _handle;
    private readonly Dictionary<string, TensorEntry> _entries = [];
    private readonly HashSet<string> _blocks = []; // names whose bytes on disk are Q8_0
    private readonly Dictionary<string, object> _metadata = [];

    private GgufFile(string file, SafeFileHandle handle) => (_file, _handle) = (file, handle);

    public IReadOnlyDictionary<string, TensorEntry> Entries => _entries;

    /// <summary>True for the name of a file of this format.</summary>
    public static bool Is(string path) => path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase);

    /// <summary>Opens a file and checks its whole header.</summary>
    /// <exception cref="ToolkitException">The file cannot be read, its header is malformed, or it holds another kind of model.</exception>
    public static GgufFile Open(string path)
    {
        GgufFile? opened = null;
        try
        {
            opened = new GgufFile(path, File.OpenHandle(path));
            using var stream = new BufferedStream(File.OpenRead(path), 1 << 16);
            opened.ReadHeader(new GgufReader(path, stream));
            return opened;
        }
        catch (Exception fault)
        {
            opened?.Dispose();
            if (fault is IOException or UnauthorizedAccessException)
                throw new ToolkitException($"{path}: expected a readable file, got: {fault.Message.ReplaceLineEndings(" ")}", fault);
            throw;
        }
    }

    /// <summary>A text of the header.</summary>
    public string Text(string key) => Get(key, "a text") as string ?? throw Error(key, "a text", "another value");

    /// <summary>A whole number of the header, in a range.</summary>
    public long Integer(string key, long min, long max)
    {
        string expected = $"a whole number from {min} to {max}";
        return Get(key, expected) is long value && value >= min && value <= max ? value : throw Error(key, expected, Show(_metadata[key]));
    }

    /// <summary>A number of the header, in a range.</summary>
    public double Number(string key, double min, double max)
    {
        string expected = FormattableString.Invariant($"a number from {min} to {max}");
        double value = Get(key, expected) switch
        {
            long whole => whole,
            double real => real,
            _ => double.NaN,
        };
        return value >= min && value <= max ? value : throw Error(key, expected, Show(_metadata[key]));
    }

    /// <summary>An array of the header whose elements are all of one kind.</summary>
    public T[] Array<T>(string key)
    {
        string expected = typeof(T) == typeof(string) ? "an array of texts" : "an array of whole numbers";
        return Get(key, expected) is object[] values && values.All(value => value is T)
            ? [.. values.Cast<T>()]
            : throw Error(key, expected, Show(_metadata[key]));
    }

    public bool Has(string key) => _metadata.ContainsKey(key);

    public ToolkitException Error(string key, string expected, string got) => new($"{_file}: {key}: expected {expected}, got {got}");

    public float[] ReadFloats(TensorEntry entry)
    {
        if (entry.Name.EndsWith("_scale", StringComparison.Ordinal))
            return Rounded(entry.Name[..^"_scale".Length]).Scales;
        if (entry.Type == TensorType.I8)
            throw new ToolkitException($"{_file}: {entry.Name}: expected F32, F16 or BF16, got Q8_0");
        if (_blocks.Contains(entry.Name))
            return Dequantised(entry);
        byte[] bytes = Read(entry.Offset, entry.Bytes, entry.Name);
        var values = new float[entry.Count];
        for (int i = 0; i < values.Length; i++)
            values[i] = entry.Type switch
            {
                TensorType.F32 => BinaryPrimitives.ReadSingleLittleEndian(bytes.AsSpan(4 * i)),
                TensorType.F16 => (float)BinaryPrimitives.ReadHalfLittleEndian(bytes.AsSpan(2 * i)),
                _ => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(bytes.AsSpan(2 * i)) << 16),
            };
        return CheckFinite(entry, values);
    }

    public sbyte[] ReadBytes(TensorEntry entry) =>
        entry.Type == TensorType.I8
            ? Rounded(entry.Name).Values
            : throw new ToolkitException($"{_file}: {entry.Name}: expected Q8_0, got {entry.Type}");

    public unsafe byte* Bytes(TensorEntry entry)
    {
        if (!_kept.TryGetValue(entry.Name, out byte[]? bytes))
        {
            ReadOnlySpan<byte> values =
                entry.Type == TensorType.I8 ? MemoryMarshal.AsBytes<sbyte>(ReadBytes(entry))
                : _blocks.Contains(entry.Name) ? MemoryMarshal.AsBytes<float>(Dequantised(entry))
                : Read(entry.Offset, entry.Bytes, entry.Name);
            bytes = GC.AllocateUninitializedArray<byte>(Math.Max(1, values.Length), pinned: true);
            values.CopyTo(bytes);
            _kept.Add(entry.Name, bytes);
        }
        return (byte*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(bytes));
    }

    public void Dispose()
    {
        _handle.Dispose();
        _kept.Clear();
    }

    private readonly Dictionary<string, byte[]> _kept = []; // pinned

    private (string Name, Int8Rows Rows)? _last; // values and scales of one tensor are read one after the other

    private Int8Rows Rounded(string name)
    {
        if (_last is { } last && last.Name == name)
            return last.Rows;
        TensorEntry entry = _entries[name];
        Int8Rows rows = Int8Rows.Round(Dequantised(entry), (int)entry.Shape[0], (int)entry.Shape[1]);
        _last = (name, rows);
        return rows;
    }

    private float[] Dequantised(TensorEntry entry)
    {
        long count = entry.Shape.Aggregate(1L, (a, b) => a * b);
        byte[] bytes = Read(entry.Offset, count / BlockValues * BlockBytes, entry.Name);
        var values = new float[count];
        for (int block = 0; block < count / BlockValues; block++)
        {
            ReadOnlySpan<byte> from = bytes.AsSpan(block * BlockBytes, BlockBytes);
            float scale = (float)BinaryPrimitives.ReadHalfLittleEndian(from);
            ReadOnlySpan<sbyte> integers = MemoryMarshal.Cast<byte, sbyte>(from[2..]);
            for (int i = 0; i < BlockValues; i++)
                values[block * BlockValues + i] = scale * integers[i];
        }
        return CheckFinite(entry, values);
    }

    private float[] CheckFinite(TensorEntry entry, float[] values)
    {
        foreach (float value in values)
            if (!float.IsFinite(value))
                throw new ToolkitException($"{_file}: {entry.Name}: expected finite values, got {value}");
        return values;
    }

    private byte[] Read(long offset, long count, string name)
    {
        if (count > System.Array.MaxLength)
            throw new ToolkitException($"{_file}: {name}: expected at most {System.Array.MaxLength} bytes, got {count}");
        var bytes = new byte[count];
        for (int done = 0; done < bytes.Length; )
        {
            int got = RandomAccess.Read(_handle, bytes.AsSpan(done), offset + done);
            if (got == 0)
                throw new ToolkitException($"{_file}: offset {offset + done}: expected more bytes, got the end of the file");
            done += got;
        }
        return bytes;
    }

    private object Get(string key, string expected) =>
        _metadata.TryGetValue(key, out object? value) ? value : throw Error(key, expected, "nothing");

    private static string Show(object value) =>
        value is object[] list ? $"an array of {list.Length}" : Convert.ToString(value, CultureInfo.InvariantCulture)!;

    private void ReadHeader(GgufReader reader)
    {
        if (reader.UInt32("magic") != 0x46554747)
            throw reader.Error("magic", "GGUF", "something else");
        uint version = reader.UInt32("version");
        if (version is not (2 or 3))
            throw reader.Error("version", "2 or 3", $"{version}");
        int tensors = reader.Count("tensor count", 8, MostTensors),
            keys = reader.Count("key count", 8, MostKeys);
        for (int i = 0; i < keys; i++)
        {
            string key = reader.Text("key");
            if (!_metadata.TryAdd(key, reader.Value(key)))
                throw reader.Error(key, "each key once", "it twice");
        }
        if (Text("general.architecture") is not "qwen3" and var other)
            throw Error("general.architecture", "qwen3", $"'{other}'");
        long alignment = Has("general.alignment") ? Integer("general.alignment", 8, 1 << 16) : 32;
        var found = new List<(string Name, uint Type, long[] Shape, ulong Offset)>();
        for (int i = 0; i < tensors; i++)
        {
            string name = reader.Text("tensor name");
            uint dimensions = reader.UInt32(name);
            if (dimensions is 0 or > 4)
                throw reader.Error(name, "1 to 4 dimensions", $"{dimensions}");
            var shape = new long[dimensions];
            for (int d = shape.Length - 1; d >= 0; d--) // the fastest-varying extent comes first here
            {
                ulong extent = reader.UInt64(name);
                if (extent is 0 or > int.MaxValue)
                    throw reader.Error(name, $"an extent of 1 to {int.MaxValue}", $"{extent}");
                shape[d] = (long)extent;
            }
            found.Add((name, reader.UInt32(name), shape, reader.UInt64(name)));
        }
        long start = (reader.Position + alignment - 1) / alignment * alignment,
            end = start;
        foreach (var (name, type, shape, offset) in found.OrderBy(tensor => tensor.Offset))
        {
            UInt128 count = shape.Aggregate(UInt128.One, (a, b) => a * (UInt128)b);
            UInt128 bytes = type switch
            {
                0 => 4 * count,
                1 or 30 => 2 * count,
                8 when shape[^1] % BlockValues == 0 => count / BlockValues * BlockBytes,
                8 => throw Error(name, $"rows of a multiple of {BlockValues} values in Q8_0", $"{shape[^1]}"),
                _ => throw Error(name, "F32 (0), F16 (1), Q8_0 (8) or BF16 (30)", $"type {type}"),
            };
            if (offset % (ulong)alignment != 0)
                throw Error(name, $"an offset that is a multiple of {alignment}", $"{offset}");
            if ((UInt128)offset + bytes > (UInt128)Math.Max(0, reader.Length - start))
                throw Error(name, $"{bytes} bytes at offset {offset} of {Math.Max(0, reader.Length - start)}", "the end of the file");
            if (start + (long)offset < end)
                throw Error(name, $"a tensor from offset {end - start} on", $"one that overlaps at {offset}");
            end = start + (long)offset + (long)bytes;
            AddEntry(name, type, shape, start + (long)offset, (long)count);
        }
    }

    private void AddEntry(string ggufName, uint type, long[] shape, long offset, long count)
    {
        string name = HuggingFaceName(ggufName);
        // These names are this reader's own, for the scales of Q8_0 tensors.
        if (name.EndsWith("_scale", StringComparison.Ordinal))
            throw Error(ggufName, "a name that does not end in _scale", "one that does");
        bool blocks = type == 8,
            matrix = blocks && shape.Length == 2 && name != "model.embed_tokens.weight";
        TensorType kept = matrix
            ? TensorType.I8
            : type switch
            {
                1 => TensorType.F16,
                30 => TensorType.BF16,
                _ => TensorType.F32,
            };
        if (blocks)
            _blocks.Add(name);
        if (!_entries.TryAdd(name, new TensorEntry(_file, name, kept, shape, offset, count * TensorEntry.SizeOf(kept))))
            throw Error(ggufName, "each tensor once", "it twice");
        if (matrix)
            _entries.Add(name + "_scale", new TensorEntry(_file, name + "_scale", TensorType.F32, [shape[0], 1], offset, 4 * shape[0]));
    }

    private static string HuggingFaceName(string name)
    {
        Match layer = LayerName().Match(name);
        if (!layer.Success)
            return name switch
            {
                "token_embd.weight" => "model.embed_tokens.weight",
                "output_norm.weight" => "model.norm.weight",
                "output.weight" => "lm_head.weight",
                _ => name,
            };
        string part = layer.Groups[2].Value switch
        {
            "attn_q" => "self_attn.q_proj",
            "attn_k" => "self_attn.k_proj",
            "attn_v" => "self_attn.v_proj",
            "attn_output" => "self_attn.o_proj",
            "attn_q_norm" => "self_attn.q_norm",
            "attn_k_norm" => "self_attn.k_norm",
            "attn_norm" => "input_layernorm",
            "ffn_norm" => "post_attention_layernorm",
            "ffn_gate" => "mlp.gate_proj",
            "ffn_up" => "mlp.up_proj",
            "ffn_down" => "mlp.down_proj",
            var other => other,
        };
        return $"model.layers.{layer.Groups[1].Value}.{part}.weight";
    }

    [GeneratedRegex(@"^blk\.([0-9]{1,4})\.([a-z_]+)\.weight$")]
    private static partial Regex LayerName();
}
