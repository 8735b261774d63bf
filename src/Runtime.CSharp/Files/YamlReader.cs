using System.Globalization;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;
using YamlDotNet.RepresentationModel;

namespace OptimalStopping.Runtime.Files;

/// <summary>
/// A mapping of a YAML file, read strictly: a key that is missing, unknown, doubled, of another type or out of range is
/// a <see cref="ToolkitException"/> <c>file:line: key 'x.y': expected ..., got ...</c>. Each key that is asked for
/// counts as known; call <see cref="RejectUnknown"/> when all have been asked for.
/// </summary>
public sealed class YamlMap
{
    private const int LongestFile = 1 << 20,
        Deepest = 32;

    private readonly YamlMappingNode _node;
    private readonly string _prefix; // of the keys' full names: "" or "stages[0]."
    private readonly Dictionary<string, (YamlScalarNode Key, YamlNode Value)> _items = [];
    private readonly HashSet<string> _asked = [];

    private YamlMap(string file, YamlMappingNode node, string prefix)
    {
        (File, _node, _prefix) = (file, node, prefix);
        foreach (var (key, value) in node.Children)
        {
            if (key is not YamlScalarNode { Value: { } name } scalar)
                throw Error(file, Line(key), prefix.TrimEnd('.'), "plain text as key", Show(key));
            _items.Add(name, (scalar, value));
        }
    }

    /// <summary>The file, as it was given to <see cref="Load"/>.</summary>
    public string File { get; }

    /// <summary>The line of this mapping, from 1.</summary>
    public int Place => Line(_node);

    /// <summary>The keys of this mapping, in the file's order.</summary>
    public IReadOnlyCollection<string> Keys => _items.Keys;

    /// <summary>Reads a file that holds one YAML document whose top is a mapping.</summary>
    /// <exception cref="ToolkitException">The file cannot be read, is no YAML, or is no mapping.</exception>
    public static YamlMap Load(string path)
    {
        try
        {
            if (new FileInfo(path).Length is var length and > LongestFile)
                throw new ToolkitException($"{path}: expected a file of at most {LongestFile} bytes, got {length}");
            return Parse(path, System.IO.File.ReadAllText(path));
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new ToolkitException($"{path}: expected a readable file, got: {fault.Message.ReplaceLineEndings(" ")}", fault);
        }
    }

    /// <summary>As <see cref="Load"/>, from text; <paramref name="file"/> names it in faults.</summary>
    public static YamlMap Parse(string file, string text)
    {
        var stream = new YamlStream();
        var parser = new Parser(new StringReader(text));
        try
        {
            CheckShape(file, parser);
            parser = new Parser(new StringReader(text));
            stream.Load(parser);
        }
        catch (YamlException fault)
        {
            // A doubled key arrives here too: the representation model refuses it with a YamlException.
            string message = (fault.InnerException?.Message ?? fault.Message).ReplaceLineEndings(" ");
            throw new ToolkitException($"{file}:{fault.Start.Line}: expected YAML with each key once, got: {message}", fault);
        }
        catch (Exception fault) when (fault is InvalidOperationException or ArgumentException)
        {
            // YamlDotNet on a bracket that is never closed, or a comment in an odd place; its last event tells the line.
            throw new ToolkitException(
                $"{file}:{parser.Current?.Start.Line ?? 1}: expected YAML with each key once, got something else from here on",
                fault
            );
        }
        if (stream.Documents.Count != 1)
            throw new ToolkitException($"{file}:1: expected one YAML document, got {stream.Documents.Count}");
        YamlNode root = stream.Documents[0].RootNode;
        return root is YamlMappingNode map
            ? new YamlMap(file, map, "")
            : throw new ToolkitException($"{file}:{Line(root)}: expected keys with values, got {Show(root)}");
    }

    // The representation model recurses, and hashes a key with all that it holds: deep nesting would end the process, and
    // a few aliases of aliases would keep it busy for ever.
    private static void CheckShape(string file, Parser events)
    {
        for (int depth = 0; events.MoveNext(); )
        {
            if (events.Current is MappingEnd or SequenceEnd)
                depth--;
            if (events.Current is MappingStart or SequenceStart && ++depth > Deepest)
                throw new ToolkitException($"{file}:{events.Current.Start.Line}: expected at most {Deepest} levels, got more");
            if (events.Current is AnchorAlias alias)
                throw new ToolkitException($"{file}:{alias.Start.Line}: expected values as they are, got the alias *{alias.Value}");
        }
    }

    /// <summary>True when the key stands in the file; asking makes it known.</summary>
    public bool Has(string key)
    {
        _asked.Add(key);
        return _items.ContainsKey(key);
    }

    /// <summary>Text that is not empty and holds no control characters.</summary>
    public string Text(string key) =>
        Scalar(key, "text") switch
        {
            "" => throw Error(key, "text", "empty text"),
            var text => text.Any(char.IsControl) ? throw Error(key, "text without control characters", Quote(text)) : text,
        };

    public string TextOr(string key, string otherwise) => Has(key) ? Text(key) : otherwise;

    /// <summary>A finite number from <paramref name="min"/> to <paramref name="max"/>, both included.</summary>
    public double Number(string key, double min, double max)
    {
        string expected = FormattableString.Invariant($"a number from {min} to {max}"),
            text = Scalar(key, expected);
        return
            double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            && double.IsFinite(value)
            && value >= min
            && value <= max
            ? value
            : throw Error(key, expected, Quote(text));
    }

    public double NumberOr(string key, double min, double max, double otherwise) => Has(key) ? Number(key, min, max) : otherwise;

    /// <summary>A whole number from <paramref name="min"/> to <paramref name="max"/>, both included.</summary>
    public int Integer(string key, int min, int max)
    {
        string expected = $"a whole number from {min} to {max}",
            text = Scalar(key, expected);
        return
            int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) && value >= min && value <= max
            ? value
            : throw Error(key, expected, Quote(text));
    }

    public int IntegerOr(string key, int min, int max, int otherwise) => Has(key) ? Integer(key, min, max) : otherwise;

    /// <summary><c>true</c> or <c>false</c>.</summary>
    public bool Flag(string key) =>
        Scalar(key, "true or false") switch
        {
            "true" => true,
            "false" => false,
            var text => throw Error(key, "true or false", Quote(text)),
        };

    public bool FlagOr(string key, bool otherwise) => Has(key) ? Flag(key) : otherwise;

    /// <summary>A nested mapping.</summary>
    public YamlMap Map(string key) =>
        Value(key, "keys with values") is YamlMappingNode map
            ? new YamlMap(File, map, $"{_prefix}{key}.")
            : throw Error(key, "keys with values", Show(_items[key].Value));

    /// <summary>A list (at least one item) of mappings.</summary>
    public IReadOnlyList<YamlMap> List(string key)
    {
        const string expected = "a list of items with keys";
        var maps = new List<YamlMap>();
        foreach (YamlNode item in Sequence(key, expected))
            maps.Add(
                item is YamlMappingNode map
                    ? new YamlMap(File, map, $"{_prefix}{key}[{maps.Count}].")
                    : throw Error(File, Line(item), $"{_prefix}{key}[{maps.Count}]", "keys with values", Show(item))
            );
        return maps;
    }

    /// <summary>A list (at least one item) of texts that are not empty.</summary>
    public IReadOnlyList<string> Strings(string key)
    {
        const string expected = "a list of texts";
        var texts = new List<string>();
        foreach (YamlNode item in Sequence(key, expected))
            texts.Add(
                item is YamlScalarNode { Value: { Length: > 0 } text } && !text.Any(char.IsControl)
                    ? text
                    : throw Error(File, Line(item), $"{_prefix}{key}[{texts.Count}]", "text", Show(item))
            );
        return texts;
    }

    /// <summary>Refuses the first key that nobody asked for.</summary>
    public void RejectUnknown()
    {
        foreach (var (name, (key, _)) in _items)
            if (!_asked.Contains(name))
                throw Error(
                    File,
                    Line(key),
                    _prefix + name,
                    $"one of {string.Join(", ", _asked.Order(StringComparer.Ordinal))}",
                    "an unknown key"
                );
    }

    /// <summary>The exception for a fault at a key (at this mapping where the key is missing).</summary>
    public ToolkitException Error(string key, string expected, string got) =>
        Error(File, _items.TryGetValue(key, out var item) ? Line(item.Key) : Place, _prefix + key, expected, got);

    private static ToolkitException Error(string file, int line, string key, string expected, string got) =>
        new($"{file}:{line}: key '{key}': expected {expected}, got {got}");

    private YamlNode Value(string key, string expected) => Has(key) ? _items[key].Value : throw Error(key, expected, "nothing");

    private string Scalar(string key, string expected) =>
        Value(key, expected) is YamlScalarNode scalar ? scalar.Value ?? "" : throw Error(key, expected, Show(_items[key].Value));

    private IList<YamlNode> Sequence(string key, string expected) =>
        Value(key, expected) is YamlSequenceNode { Children: { Count: > 0 } items }
            ? items
            : throw Error(key, expected, Show(_items[key].Value));

    private static int Line(YamlNode node) => (int)node.Start.Line;

    private static string Show(YamlNode node) =>
        node switch
        {
            YamlScalarNode scalar => Quote(scalar.Value ?? ""),
            YamlSequenceNode { Children.Count: 0 } => "an empty list",
            YamlSequenceNode => "a list",
            _ => "keys with values",
        };

    private static string Quote(string text)
    {
        text = text.ReplaceLineEndings(" ");
        return $"'{(text.Length <= 60 ? text : text[..57] + "...")}'";
    }
}
