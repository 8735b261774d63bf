using System.Globalization;
using System.Text;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Experiments;

/// <summary>Writes result tables: invariant culture, line feeds, moved into place when whole.</summary>
internal static class CsvFile
{
    /// <summary>Writes a header and rows. Doubles are written in the shortest form that reads back; what is not finite as empty.</summary>
    public static void Write(string path, string header, IEnumerable<object?[]> rows)
    {
        var text = new StringBuilder().Append(header).Append('\n');
        foreach (object?[] row in rows)
            text.AppendJoin(',', row.Select(Cell)).Append('\n');
        AtomicFile.Write(path, text.ToString());
    }

    private static string Cell(object? value) =>
        value switch
        {
            null => "",
            double number => !double.IsFinite(number) ? "" : number.ToString("R", CultureInfo.InvariantCulture),
            IFormattable formattable => formattable.ToString(null, CultureInfo.InvariantCulture),
            _ => value.ToString() is { } text && text.AsSpan().IndexOfAny(",\"\n") >= 0
                ? $"\"{text.Replace("\"", "\"\"")}\""
                : value.ToString()!,
        };
}
