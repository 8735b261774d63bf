using System.Globalization;
using System.Text.RegularExpressions;

namespace OptimalStopping.Runtime.Files;

/// <summary>
/// The files that one model in GGUF is split into, as llama.cpp's <c>llama-gguf-split</c> names them:
/// <c>NAME-00001-of-00003.gguf</c> to <c>NAME-00003-of-00003.gguf</c>. Only names are looked at here.
/// </summary>
public static partial class GgufParts
{
    /// <summary>All files of the model that a file is a part of, in order; the file alone where its name is none of a part.</summary>
    /// <param name="path">A path, or a name alone.</param>
    public static IReadOnlyList<string> Files(string path)
    {
        Match name = PartName().Match(path);
        if (!name.Success)
            return [path];
        int count = int.Parse(name.Groups[2].ValueSpan, CultureInfo.InvariantCulture);
        return count == 0
            ? [path]
            : [.. Enumerable.Range(1, count).Select(part => $"{name.Groups[1].Value}-{part:00000}-of-{count:00000}.gguf")];
    }

    // Five digits at least; a repository of more than 999 parts would be none of a model.
    [GeneratedRegex(@"\A(.*)-[0-9]{5}-of-(00[0-9]{3})\.gguf\z", RegexOptions.Singleline)]
    private static partial Regex PartName();
}
