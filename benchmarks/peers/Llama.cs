using System.Runtime.InteropServices;

namespace OptimalStopping.Peers;

/// <summary>
/// The few functions of llama.cpp's C interface (<c>llama.h</c>, <c>ggml-backend.h</c>) that the comparison needs. Its
/// parameter structures grow from version to version; they are taken as they come from the library's own defaults, in a
/// buffer larger than any of them, and only their first fields, which have kept their places, are set.
/// </summary>
internal static unsafe partial class Llama
{
    [StructLayout(LayoutKind.Sequential, Size = 512)]
    internal struct ModelParameters
    {
        private fixed byte _bytes[512];
    }

    [StructLayout(LayoutKind.Sequential, Size = 512)]
    internal struct ContextParameters
    {
        public uint Context,
            Batch,
            MicroBatch,
            Sequences;
        private fixed byte _rest[496];
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct Batch
    {
        public int Count;
        public int* Tokens;
        public float* Embeddings;
        public int* Positions;
        public int* SequenceCounts;
        public int** Sequences;
        public sbyte* Logits;
    }

    /// <summary>Finds the libraries in a folder, whatever version their names carry.</summary>
    public static void UseFolder(string folder)
    {
        string full = Path.GetFullPath(folder);
        NativeLibrary.SetDllImportResolver(typeof(Llama).Assembly, (name, _, _) =>
        {
            string? file = !Directory.Exists(full) ? null : Directory.GetFiles(full, $"lib{name}.*so*").FirstOrDefault();
            return file is null ? 0 : NativeLibrary.Load(file);
        });
        llama_log_set(&Ignore, null);
        ggml_backend_load_all_from_path(full);
        llama_backend_init();
    }

    [UnmanagedCallersOnly]
    private static void Ignore(int level, byte* text, void* user) { }

    [LibraryImport("llama")]
    internal static partial void llama_backend_init();

    [LibraryImport("llama")]
    internal static partial void llama_log_set(delegate* unmanaged<int, byte*, void*, void> log, void* user);

    [LibraryImport("ggml", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial void ggml_backend_load_all_from_path(string folder);

    [LibraryImport("llama")]
    internal static partial ModelParameters llama_model_default_params();

    [LibraryImport("llama", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint llama_model_load_from_file(string file, ModelParameters parameters);

    [LibraryImport("llama")]
    internal static partial nint llama_model_get_vocab(nint model);

    [LibraryImport("llama")]
    internal static partial int llama_vocab_n_tokens(nint vocabulary);

    [LibraryImport("llama")]
    internal static partial int llama_tokenize(
        nint vocabulary,
        byte* text,
        int length,
        int* tokens,
        int most,
        [MarshalAs(UnmanagedType.U1)] bool addSpecial,
        [MarshalAs(UnmanagedType.U1)] bool parseSpecial
    );

    [LibraryImport("llama")]
    internal static partial ContextParameters llama_context_default_params();

    [LibraryImport("llama")]
    internal static partial nint llama_init_from_model(nint model, ContextParameters parameters);

    [LibraryImport("llama")]
    internal static partial void llama_set_n_threads(nint context, int decode, int prefill);

    [LibraryImport("llama")]
    internal static partial Batch llama_batch_get_one(int* tokens, int count);

    [LibraryImport("llama")]
    internal static partial int llama_decode(nint context, Batch batch);

    [LibraryImport("llama")]
    internal static partial float* llama_get_logits_ith(nint context, int index);

    [LibraryImport("llama")]
    internal static partial nint llama_get_memory(nint context);

    [LibraryImport("llama")]
    internal static partial void llama_memory_clear(nint memory, [MarshalAs(UnmanagedType.U1)] bool data);

    [LibraryImport("llama")]
    [return: MarshalAs(UnmanagedType.U1)]
    internal static partial bool llama_memory_seq_rm(nint memory, int sequence, int first, int end);

    [LibraryImport("llama")]
    internal static partial byte* llama_print_system_info();
}

/// <summary>A model in llama.cpp with one sequence.</summary>
internal sealed unsafe class LlamaModel
{
    private readonly nint _context,
        _words;
    private readonly int _vocabulary;

    /// <param name="vocabulary">Logits of a token; 0 for as many as the file has tokens.</param>
    public LlamaModel(string file, int vocabulary, int capacity, int threads)
    {
        nint model = Llama.llama_model_load_from_file(file, Llama.llama_model_default_params());
        if (model == 0)
            throw new InvalidOperationException($"{file}: llama.cpp does not load it");
        _words = Llama.llama_model_get_vocab(model);
        _vocabulary = vocabulary > 0 ? vocabulary : Llama.llama_vocab_n_tokens(_words);
        Llama.ContextParameters parameters = Llama.llama_context_default_params();
        parameters.Context = (uint)capacity;
        _context = Llama.llama_init_from_model(model, parameters);
        if (_context == 0)
            throw new InvalidOperationException($"{file}: llama.cpp gives no context of {capacity}");
        Llama.llama_set_n_threads(_context, threads, threads);
    }

    /// <summary>Tokens that the file's vocabulary has.</summary>
    public int VocabularySize => _vocabulary;

    /// <summary>The tokens of a text in which the names of special tokens stand for these.</summary>
    public int[] Tokenize(string text)
    {
        byte[] bytes = System.Text.Encoding.UTF8.GetBytes(text);
        var tokens = new int[bytes.Length + 8];
        fixed (byte* first = bytes)
        fixed (int* into = tokens)
        {
            int count = Llama.llama_tokenize(_words, first, bytes.Length, into, tokens.Length, addSpecial: false, parseSpecial: true);
            return tokens[..Math.Max(0, count)];
        }
    }

    /// <summary>Forgets all tokens from a position on.</summary>
    public void Truncate(int length)
    {
        nint memory = Llama.llama_get_memory(_context);
        if (length == 0)
            Llama.llama_memory_clear(memory, false);
        else
            Llama.llama_memory_seq_rm(memory, 0, length, -1);
    }

    /// <summary>Appends tokens; the logits after the last of them.</summary>
    public ReadOnlySpan<float> Forward(int[] tokens)
    {
        fixed (int* first = tokens)
        {
            int code = Llama.llama_decode(_context, Llama.llama_batch_get_one(first, tokens.Length));
            if (code != 0)
                throw new InvalidOperationException($"llama_decode gave {code}");
        }
        return new ReadOnlySpan<float>(Llama.llama_get_logits_ith(_context, -1), _vocabulary);
    }
}
