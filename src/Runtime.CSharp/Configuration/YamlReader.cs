using System.Globalization;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace OptimalStopping.Runtime.Configuration;

/// <summary>
/// A mapping of a YAML file, read strictly: every fault names file, line, key, what was expected and what was got, and
/// a key that nobody asked for is a fault too.
/// </summary>
public sealed class YamlMap
{
    private readonly string _file, _place;
    private readonly YamlMappingNode _node;
    private readonly HashSet<string> _asked = [];

    private YamlMap(string file, string place, YamlMappingNode node) => (_file, _place, _node) = (file, place, node);

    /// <summary>Reads a file whose one document is a mapping.</summary>
    /// <exception cref="ToolkitException">The file cannot be read, is not YAML, or is not a mapping.</exception>
    public static YamlMap Load(string file)
    {
        try
        {
            using var reader = new StreamReader(file);
            var stream = new YamlStream();
            stream.Load(reader);
            return stream.Documents is [{ RootNode: YamlMappingNode root }]
                ? new YamlMap(file, "", root)
                : throw new ToolkitException($"{file}:1: expected one document of keys and values, got {stream.Documents.Count} documents or another kind");
        }
        catch (YamlException error)
        {
            throw new ToolkitException($"{file}:{error.Start.Line}: expected YAML, got {error.InnerException?.Message ?? error.Message}", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ToolkitException($"{file}: expected a readable file, got: {error.Message}", error);
        }
    }

    /// <summary>A text that must be there and not be empty.</summary>
    public string Text(string key) => Scalar(key) is { Value: { Length: > 0 } text } ? text : throw Fault(key, "a text", "nothing");

    /// <summary>A text, or the default where the key is missing.</summary>
    public string TextOr(string key, string fallback) => Has(key) ? Text(key) : fallback;

    /// <summary>A finite number in [least, most].</summary>
    public double Number(string key, double least, double most) =>
        double.TryParse(Text(key), NumberStyles.Float, CultureInfo.InvariantCulture, out double value) && value >= least && value <= most
            ? value
            : throw Fault(key, FormattableString.Invariant($"a number from {least} to {most}"), $"'{Text(key)}'");

    /// <summary>A number, or the default where the key is missing.</summary>
    public double NumberOr(string key, double least, double most, double fallback) => Has(key) ? Number(key, least, most) : fallback;

    /// <summary>A whole number in [least, most].</summary>
    public int Integer(string key, int least, int most) =>
        int.TryParse(Text(key), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) && value >= least && value <= most
            ? value
            : throw Fault(key, $"a whole number from {least} to {most}", $"'{Text(key)}'");

    /// <summary>A whole number, or the default where the key is missing.</summary>
    public int IntegerOr(string key, int least, int most, int fallback) => Has(key) ? Integer(key, least, most) : fallback;

    /// <summary>A list of mappings; at least one.</summary>
    public IReadOnlyList<YamlMap> List(string key) =>
        [.. Items(key).Select((item, i) => item is YamlMappingNode map
            ? new YamlMap(_file, $"{_place}{key}[{i}].", map)
            : throw FaultAt(item, $"{key}[{i}]", "keys and values", Show(item)))];

    /// <summary>A list of texts; at least one.</summary>
    public IReadOnlyList<string> Strings(string key) =>
        [.. Items(key).Select((item, i) => item is YamlScalarNode { Value: { Length: > 0 } text }
            ? text
            : throw FaultAt(item, $"{key}[{i}]", "a text", Show(item)))];

    /// <summary>Whether the key is there.</summary>
    public bool Has(string key)
    {
        _asked.Add(key);
        return _node.Children.ContainsKey(new YamlScalarNode(key));
    }

    /// <exception cref="ToolkitException">A key is there that was never asked for.</exception>
    public void RejectUnknown()
    {
        foreach (YamlNode key in _node.Children.Keys)
            if (key is not YamlScalarNode { Value: { } name } || !_asked.Contains(name))
                throw FaultAt(key, Show(key).Trim('\''), $"one of {string.Join(", ", _asked)}", "an unknown key");
    }

    /// <summary>The exception for a value that a caller cannot accept, with the place of the key.</summary>
    public ToolkitException Fault(string key, string expected, string got) =>
        FaultAt(_node.Children.TryGetValue(new YamlScalarNode(key), out YamlNode? value) ? value : _node, key, expected, got);

    private ToolkitException FaultAt(YamlNode node, string key, string expected, string got) =>
        new($"{_file}:{node.Start.Line}: key '{_place}{key}': expected {expected}, got {got}");

    private YamlScalarNode Scalar(string key) => Child(key) as YamlScalarNode ?? throw Fault(key, "a single value", Show(Child(key)));

    private IEnumerable<YamlNode> Items(string key) =>
        Child(key) is YamlSequenceNode { Children.Count: > 0 } list ? list.Children : throw Fault(key, "a list of at least one", Show(Child(key)));

    private YamlNode Child(string key) => Has(key) ? _node.Children[new YamlScalarNode(key)] : throw Fault(key, "a value", "no such key");

    private static string Show(YamlNode node) => node switch
    {
        YamlScalarNode scalar => $"'{scalar.Value}'",
        YamlSequenceNode => "a list",
        _ => "keys and values",
    };
}
