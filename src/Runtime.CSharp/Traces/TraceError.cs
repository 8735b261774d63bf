using System.Globalization;

namespace OptimalStopping.Runtime.Traces;

/// <summary>Words what is wrong with a line of a trace file: file:line, key, what was expected, what was got.</summary>
internal static class TraceError
{
    public static ToolkitException At(string file, long line, string key, string expected, string got) =>
        new($"{file}:{line.ToString(CultureInfo.InvariantCulture)}: {key}: expected {expected}, got {Shorten(got)}");

    /// <summary>A fault's value in one line of at most 60 characters.</summary>
    public static string Shorten(string text)
    {
        text = text.ReplaceLineEndings(" ").Trim();
        return text.Length <= 60 ? text : string.Concat(text.AsSpan(0, 57), "...");
    }
}
