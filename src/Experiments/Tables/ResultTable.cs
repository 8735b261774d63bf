using System.Collections.Immutable;
using System.Globalization;
using System.Reflection;
using CsvHelper;
using CsvHelper.Configuration;
using CsvHelper.TypeConversion;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Experiments;

/// <summary>Says which CSV file holds the rows of a record, and in which kind of folder it lies.</summary>
[AttributeUsage(AttributeTargets.Class)]
public abstract class ResultTableAttribute(string file) : Attribute
{
    /// <summary>The file's name inside the folder.</summary>
    public string File { get; } = file;
}

/// <summary>A table of a folder that `toolkit run` writes; <see cref="RunData"/> reads every one of them.</summary>
public sealed class RunTableAttribute(string file) : ResultTableAttribute(file);

/// <summary>A table of a folder that `toolkit evaluate` writes.</summary>
public sealed class EvaluationTableAttribute(string file) : ResultTableAttribute(file);

/// <summary>
/// What a column may hold, where its type does not say it. Without the attribute a column is named as the parameter in
/// snake_case, text is not empty, whole numbers are at least 0, other numbers are finite, and flags are 0 or 1.
/// </summary>
[AttributeUsage(AttributeTargets.Parameter)]
public sealed class ColumnAttribute(string? name = null) : Attribute
{
    /// <summary>The column's name; null for that of the parameter.</summary>
    public string? Name { get; } = name;

    /// <summary>Whether a cell may be empty: text without letters, a number that is not available (NaN), a flag that is null.</summary>
    public bool Optional { get; init; }

    /// <summary>Whether a number has to be in [0, 1]; rounding may put it 1e-9 outside, and it is then moved to the end.</summary>
    public bool Unit { get; init; }

    /// <summary>Whether a number has to be above 0.</summary>
    public bool Positive { get; init; }

    /// <summary>Whether a number may also be `inf`, `-inf` or `NaN`, in these spellings, which other languages read, and a whole number below 0.</summary>
    public bool Unbounded { get; init; }
}

/// <summary>
/// Result tables. Each is declared once, as a record with a <see cref="ResultTableAttribute"/> whose parameters are the
/// columns: what writes a file and what reads it is derived from the declaration.
/// Files are UTF-8 with line feeds, numbers in the invariant culture and in the shortest form that reads back exactly.
/// </summary>
public static class ResultTable
{
    // Left to itself the library would not quote a lone carriage return, which every reader takes for the end of a line.
    private static readonly CsvConfiguration Written = new(CultureInfo.InvariantCulture)
    {
        NewLine = "\n",
        ShouldQuote = cell => cell.Field is { } text && text.AsSpan().IndexOfAny(",\"\r\n") >= 0,
    };

    /// <summary>The name of a record's file.</summary>
    public static string FileOf<T>() => Layout<T>.File;

    /// <summary>Writes rows into their file in a folder, whole or not at all.</summary>
    /// <exception cref="ToolkitException">The file cannot be written.</exception>
    public static void Write<T>(string folder, IEnumerable<T> rows) => AtomicFile.Write(Path.Combine(folder, Layout<T>.File), Text(rows));

    /// <summary>The file's text: a header and one line for each row.</summary>
    public static string Text<T>(IEnumerable<T> rows)
    {
        using var text = new StringWriter();
        using (var csv = new CsvWriter(text, Written))
        {
            csv.Context.RegisterClassMap(Layout<T>.Map);
            csv.WriteHeader<T>();
            csv.NextRecord();
            foreach (T row in rows)
            {
                csv.WriteRecord(row);
                csv.NextRecord();
            }
        }
        return text.ToString();
    }

    /// <summary>
    /// Reads a table: columns are found by name, in any order; others are left alone. No rows where the folder has no such file.
    /// </summary>
    /// <exception cref="ToolkitException">The file is not such a table: with file:line, column, what was expected and what was got.</exception>
    public static T[] Read<T>(string folder)
    {
        string path = Path.Combine(folder, Layout<T>.File);
        if (!File.Exists(path))
            return [];
        ToolkitException Error(int line, string text) => new($"{path}:{line}: {text}");
        var settings = new CsvConfiguration(CultureInfo.InvariantCulture)
        {
            BadDataFound = null,
            HeaderValidated = null,
            MissingFieldFound = null,
        };
        using var csv = new CsvReader(new StringReader(File.ReadAllText(path)), settings);
        csv.Context.RegisterClassMap(Layout<T>.Map);
        if (!csv.Read())
            throw Error(1, "expected a header line, got an empty file");
        csv.ReadHeader();
        string[] header = csv.HeaderRecord!;
        foreach (string name in header)
            if (header.Count(other => other == name) > 1)
                throw Error(StartOf(csv.Parser), $"column '{name}': expected once in the header, got twice");
        foreach (Column column in Layout<T>.Columns)
            if (!header.Contains(column.Name))
                throw Error(StartOf(csv.Parser), $"column '{column.Name}': expected in the header, got '{string.Join(",", header)}'");
        var rows = new List<T>();
        while (csv.Read())
        {
            int line = StartOf(csv.Parser);
            string raw = csv.Parser.RawRecord;
            if (raw.Count(c => c == '"') % 2 != 0)
                throw Error(csv.Parser.RawRow - raw.Count(c => c == '\n'), "expected a closing quote, got the end of the file");
            int cells = csv.Parser.Count;
            if (cells != header.Length)
                throw Error(
                    line,
                    $"column {(cells < header.Length ? $"'{header[cells]}'" : header.Length + 1)}: expected {header.Length} cells in the line, got {cells}"
                );
            try
            {
                rows.Add(csv.GetRecord<T>());
            }
            catch (CsvHelperException fault) when (fault.InnerException is FormatException cell)
            {
                throw Error(line, cell.Message);
            }
        }
        return [.. rows];
    }

    // The line on which the present record begins: the parser counts up to its end.
    private static int StartOf(IParser parser) => parser.RawRow - parser.RawRecord.TrimEnd('\r', '\n').Count(c => c == '\n');

    /// <summary>What a record's declaration says.</summary>
    private static class Layout<T>
    {
        public static readonly string File = typeof(T).GetCustomAttribute<ResultTableAttribute>()?.File
            ?? throw new ArgumentException($"{typeof(T).Name}: expected a record with a ResultTableAttribute, got none");

        public static readonly ImmutableArray<Column> Columns =
        [
            .. typeof(T).GetConstructors().MaxBy(c => c.GetParameters().Length)!.GetParameters().Select(p => new Column(p)),
        ];

        public static ClassMap<T> Map
        {
            get
            {
                var map = new DefaultClassMap<T>();
                foreach (Column column in Columns)
                {
                    map.Map(typeof(T), typeof(T).GetProperty(column.Parameter.Name!)!).Name(column.Name).TypeConverter(column);
                    var parameter = new ParameterMap(column.Parameter);
                    parameter.Data.Names.Add(column.Name);
                    parameter.Data.TypeConverter = column;
                    map.ParameterMaps.Add(parameter);
                }
                return map;
            }
        }
    }

    /// <summary>One column: its name, and how its values are written and read.</summary>
    private sealed class Column(ParameterInfo parameter) : ITypeConverter
    {
        private readonly ColumnAttribute _rule = parameter.GetCustomAttribute<ColumnAttribute>() ?? new ColumnAttribute();

        public ParameterInfo Parameter => parameter;

        public string Name => _rule.Name ?? SnakeCase(parameter.Name!);

        public string ConvertToString(object? value, IWriterRow row, MemberMapData member) =>
            value switch
            {
                null => "",
                bool flag => flag ? "1" : "0",
                double number => Text(number),
                IFormattable formattable => formattable.ToString(null, CultureInfo.InvariantCulture),
                _ => value.ToString()!,
            };

        public object? ConvertFromString(string? cell, IReaderRow row, MemberMapData member)
        {
            string text = cell!.Trim();
            Type type = parameter.ParameterType;
            if (type == typeof(string))
                return text.Length > 0 || _rule.Optional ? text : throw Error("a name", text);
            if (type == typeof(bool?) && text.Length == 0 && _rule.Optional)
                return null;
            if (type == typeof(bool) || type == typeof(bool?))
                return text switch
                {
                    "1" => true,
                    "0" => false,
                    _ => throw Error("0 or 1", text),
                };
            if (type == typeof(int) || type == typeof(long))
                return
                    long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long whole)
                    && (whole >= 0 || _rule.Unbounded)
                    && whole <= (type == typeof(int) ? int.MaxValue : long.MaxValue)
                    ? Convert.ChangeType(whole, type, CultureInfo.InvariantCulture)
                    : throw Error("a whole number", text);
            if (type == typeof(double))
                return Number(text);
            throw new InvalidOperationException($"{parameter.Member.DeclaringType}: no cell holds a {type}");
        }

        private string Text(double number) =>
            double.IsFinite(number) ? number.ToString("R", CultureInfo.InvariantCulture)
            : !_rule.Unbounded ? ""
            : double.IsNaN(number) ? "NaN"
            : number > 0 ? "inf"
            : "-inf";

        private double Number(string text)
        {
            if (text.Length == 0 && _rule.Optional)
                return double.NaN;
            if (_rule.Unbounded && text is "inf" or "-inf" or "NaN")
                return text switch
                {
                    "inf" => double.PositiveInfinity,
                    "-inf" => double.NegativeInfinity,
                    _ => double.NaN,
                };
            const double rounding = 1e-9;
            string expected =
                _rule.Unit ? "a number in [0, 1]"
                : _rule.Positive ? "a number above 0"
                : "a number";
            if (
                !double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number)
                || !double.IsFinite(number)
                || (_rule.Unit && number is < -rounding or > 1 + rounding)
                || (_rule.Positive && number <= 0)
            )
                throw Error(expected, text);
            return _rule.Unit ? Math.Clamp(number, 0, 1) : number;
        }

        private FormatException Error(string expected, string got) =>
            new($"column '{Name}': expected {expected}, got {(got.Length == 0 ? "an empty cell" : $"'{got}'")}");

        private static string SnakeCase(string name) =>
            string.Concat(name.Select((c, i) => char.IsUpper(c) ? $"{(i > 0 ? "_" : "")}{char.ToLowerInvariant(c)}" : $"{c}"));
    }
}
