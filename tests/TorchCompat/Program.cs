// Lets TorchSharp's native library load on distributions whose libstdc++ is older than GCC 13 (Debian 12, Ubuntu 22.04).
//
// libLibTorchSharp.so needs one symbol of that age, std::ios_base_library_init(), at version GLIBCXX_3.4.32. It only
// sets up the standard streams, as the constructor std::ios_base::Init::Init() of every older libstdc++ does. So in a
// COPY of the library, the one in a build's output folder, this tool renames the wanted symbol and version to the old
// ones. Nothing else is changed, and the next build puts the original back.
//
//   dotnet run --project tests/TorchCompat [-- FOLDER ...]     # without folders: every build below the working folder
using System.Buffers.Binary;
using System.Text;

const string NewVersion = "GLIBCXX_3.4.32",
    OldVersion = "GLIBCXX_3.4";
const string NewSymbol = "_ZSt21ios_base_library_initv",
    OldSymbol = "_ZNSt8ios_base4InitC1Ev";

string[] folders = args.Length > 0 ? args : BuildOutputs();
if (folders.Length == 0)
{
    Console.Error.WriteLine("TorchCompat: expected a build with -p:TorchBackend=cpu or cuda below this folder, got none");
    return 2;
}
foreach (string folder in folders)
{
    string path = Path.Combine(folder, "libLibTorchSharp.so");
    if (!File.Exists(path))
    {
        Console.Error.WriteLine($"{path}: expected TorchSharp's native library, got no such file");
        return 1;
    }
    byte[] library = File.ReadAllBytes(path);
    if (Find(library, Text(NewVersion)).Count == 0)
    {
        Console.WriteLine($"{path}: nothing to do");
        continue;
    }
    int version = Single(path, library, Text(NewVersion), NewVersion);
    int symbol = Single(path, library, Text(NewSymbol), NewSymbol);
    int hash = Single(path, library, Hash(NewVersion), $"hash of {NewVersion}");
    Replace(library, version, Text(OldVersion), NewVersion.Length);
    Replace(library, symbol, Text(OldSymbol), NewSymbol.Length);
    Hash(OldVersion).CopyTo(library, hash);
    File.WriteAllBytes(path + ".new", library);
    File.Move(path + ".new", path, overwrite: true);
    Console.WriteLine($"{path}: now asks for {OldVersion}");
}
return 0;

// The folders below this one in whose builds the library lies.
static string[] BuildOutputs() =>
    [
        .. new DirectoryInfo(".")
            .EnumerateFiles(
                "libLibTorchSharp.so",
                new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.ReparsePoint }
            )
            .Where(file => file.FullName.Split(Path.DirectorySeparatorChar).Contains("bin"))
            .Select(file => file.DirectoryName!),
    ];

// A string table's entry: the text between two zero bytes.
static byte[] Text(string text) => [0, .. Encoding.ASCII.GetBytes(text), 0];

// The System V hash by which the loader looks up version names.
static byte[] Hash(string name)
{
    uint hash = 0;
    foreach (char c in name)
    {
        hash = (hash << 4) + c;
        uint high = hash & 0xF0000000;
        hash = (hash ^ (high >> 24)) & ~high;
    }
    var bytes = new byte[4];
    BinaryPrimitives.WriteUInt32LittleEndian(bytes, hash);
    return bytes;
}

static List<int> Find(byte[] library, byte[] pattern)
{
    var found = new List<int>();
    for (int at = 0; (at = library.AsSpan(at).IndexOf(pattern) is var next and >= 0 ? at + next : -1) >= 0; at++)
        found.Add(at);
    return found;
}

static int Single(string path, byte[] library, byte[] pattern, string name) =>
    Find(library, pattern) is [var only] ? only : throw new InvalidDataException($"{path}: expected {name} exactly once");

static void Replace(byte[] library, int at, byte[] entry, int oldLength)
{
    library.AsSpan(at, oldLength + 2).Clear();
    entry.CopyTo(library, at);
}
