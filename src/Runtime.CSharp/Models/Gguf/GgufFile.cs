using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.Win32.SafeHandles;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// A dense Qwen3 model in a <c>.gguf</c> file (the format of llama.cpp), or in the parts that such a file was split into, with
/// tensors in F32, F16, BF16, Q4_0, Q8_0, Q4_K, Q5_K or Q6_K: shape, vocabulary and tensors, under their Hugging Face names.
/// </summary>
/// <remarks>
/// This toolkit's engines want one scale per output channel, so matrices in blocks are rounded anew row by row when they are
/// loaded; an embedding stays in its blocks.
/// </remarks>
internal sealed unsafe partial class GgufFile : ITensorFile
{
    private const int MostTensors = 100_000,
        MostKeys = 10_000;

    private readonly string _file;
    private readonly MappedFile _mapped;
    private readonly Dictionary<string, TensorEntry> _entries = [];
    private readonly Dictionary<string, object> _metadata = [];
    private readonly List<GgufFile> _parts = []; // those behind this one, the first

    private GgufFile(string file, SafeFileHandle handle) => (_file, _mapped) = (file, new MappedFile(handle));

    public IReadOnlyDictionary<string, TensorEntry> Entries => _entries;

    /// <summary>True for the name of a file of this format.</summary>
    public static bool Is(string path) => path.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase);

    /// <summary>Opens a file, with all parts of a model that was split, and checks the whole headers.</summary>
    /// <param name="path">The file, or the first part, which may hold the metadata alone.</param>
    /// <exception cref="ToolkitException">
    /// A file cannot be read, a header is malformed, a part is missing, or it holds another kind of model.
    /// </exception>
    public static GgufFile Open(string path)
    {
        GgufFile first = OpenPart(path, 0);
        try
        {
            first.AddParts();
            return first;
        }
        catch
        {
            first.Dispose();
            throw;
        }
    }

    private static GgufFile OpenPart(string path, int part)
    {
        GgufFile? opened = null;
        try
        {
            opened = new GgufFile(path, File.OpenHandle(path));
            using var stream = new BufferedStream(File.OpenRead(path), 1 << 16);
            opened.ReadHeader(new GgufReader(path, stream), part);
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

    private void AddParts()
    {
        const string key = "split.count";
        long count = Has(key) ? Integer(key, 0, ushort.MaxValue) : 1;
        if (count <= 1)
            return;
        IReadOnlyList<string> files = GgufParts.Files(_file);
        if (files.Count != count || files[0] != _file)
            throw Error(key, $"a name that ends in -00001-of-{count:00000}.gguf, by which the other parts are found", "another name");
        if (files.FirstOrDefault(file => !File.Exists(file)) is { } missing)
            throw Error(key, $"all {count} parts in one folder", $"no {Path.GetFileName(missing)}");
        for (int part = 1; part < count; part++)
        {
            GgufFile file = OpenPart(files[part], part);
            _parts.Add(file);
            foreach (TensorEntry entry in file._entries.Values)
                if (!_entries.TryAdd(entry.Name, entry))
                    throw file.Error(entry.Name, "each tensor once", "it in an earlier part too");
        }
        if (Has("split.tensors.count") && Integer("split.tensors.count", 0, MostTensors) is var tensors && tensors != _entries.Count)
            throw Error("split.tensors.count", $"{_entries.Count} tensors, those of all parts", $"{tensors}");
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

    /// <summary>A tensor's elements in row-major order, as float32.</summary>
    /// <exception cref="ToolkitException">A value is not finite.</exception>
    public float[] ReadFloats(TensorEntry entry) => new MappedTensor(entry, Bytes(entry)).AllFloats();

    public byte* Bytes(TensorEntry entry) =>
        entry.File == _file ? _mapped.Start + entry.Offset : _parts.First(part => part._file == entry.File).Bytes(entry);

    public void Dispose()
    {
        _mapped.Dispose();
        foreach (GgufFile part in _parts)
            part.Dispose();
    }

    private object Get(string key, string expected) =>
        _metadata.TryGetValue(key, out object? value) ? value : throw Error(key, expected, "nothing");

    private static string Show(object value) =>
        value is object[] list ? $"an array of {list.Length}" : Convert.ToString(value, CultureInfo.InvariantCulture)!;

    private void ReadHeader(GgufReader reader, int part)
    {
        if (reader.UInt32("magic") is var magic && magic != 0x46554747)
            // A Git LFS pointer begins with "version".
            throw reader.Error(
                "magic",
                "GGUF",
                magic == 0x73726576 ? "a Git LFS pointer: fetch the file itself (git lfs pull)" : "something else"
            );
        uint version = reader.UInt32("version");
        if (version is not (2 or 3))
            throw reader.Error(
                "version",
                "2 or 3",
                (version & 0xFFFF) == 0 ? "a file for machines of the other byte order (big-endian); convert it" : $"{version}"
            );
        int tensors = reader.Count("tensor count", 8, MostTensors),
            keys = reader.Count("key count", 8, MostKeys);
        for (int i = 0; i < keys; i++)
        {
            string key = reader.Text("key");
            if (!_metadata.TryAdd(key, reader.Value(key)))
                throw reader.Error(key, "each key once", "it twice");
        }
        long number = Has("split.no") ? Integer("split.no", 0, ushort.MaxValue) : 0;
        if (number != part)
            throw Error(
                "split.no",
                part == 0 ? "the first part of a model, whose name ends in -00001-of-...gguf" : $"{part}, as in its name",
                $"part {number + 1}"
            );
        if (part == 0 && Text("general.architecture") is not "qwen3" and var other)
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
            if (TypeOf(type) is not { } kind)
                throw Error(name, "F32, F16, BF16, Q4_0, Q8_0, Q4_K, Q5_K or Q6_K", NameOf(type));
            (int values, int size) = TensorEntry.Block(kind);
            if (shape[^1] % values != 0)
                throw Error(name, $"rows of a multiple of {values} values in {kind}", $"{shape[^1]}");
            UInt128 bytes = count / (UInt128)values * (UInt128)size;
            if (offset % (ulong)alignment != 0)
                throw Error(name, $"an offset that is a multiple of {alignment}", $"{offset}");
            if ((UInt128)offset + bytes > (UInt128)Math.Max(0, reader.Length - start))
                throw Error(name, $"{bytes} bytes at offset {offset} of {Math.Max(0, reader.Length - start)}", "the end of the file");
            if (start + (long)offset < end)
                throw Error(name, $"a tensor from offset {end - start} on", $"one that overlaps at {offset}");
            end = start + (long)offset + (long)bytes;
            AddEntry(name, kind, shape, start + (long)offset, (long)bytes);
        }
    }

    private void AddEntry(string ggufName, TensorType type, long[] shape, long offset, long bytes)
    {
        string name = HuggingFaceName(ggufName);
        if (!_entries.TryAdd(name, new TensorEntry(_file, name, type, shape, offset, bytes)))
            throw Error(ggufName, "each tensor once", "it twice");
    }

    private static TensorType? TypeOf(uint type) =>
        type switch
        {
            0 => TensorType.F32,
            1 => TensorType.F16,
            2 => TensorType.Q4_0,
            8 => TensorType.Q8_0,
            12 => TensorType.Q4_K,
            13 => TensorType.Q5_K,
            14 => TensorType.Q6_K,
            30 => TensorType.BF16,
            _ => null,
        };

    // ggml's names of the types that are not read.
    private static string NameOf(uint type) =>
        type switch
        {
            3 => "Q4_1",
            6 => "Q5_0",
            7 => "Q5_1",
            9 => "Q8_1",
            10 => "Q2_K",
            11 => "Q3_K",
            15 => "Q8_K",
            >= 16 and <= 23 => ((string[])["IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS"])[type - 16],
            29 => "IQ1_M",
            34 => "TQ1_0",
            35 => "TQ2_0",
            39 => "MXFP4",
            _ => $"type {type}",
        };

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
