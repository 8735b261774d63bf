using System.Text.Json;
using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// A JSON object whose keys are all expected. Each getter marks its key; End reports one that nobody asked for. The
/// place in a message is the path of keys, as in policy.scales[2].rank.
/// </summary>
internal sealed class StrictObject(string file, string place, JsonElement element)
{
    private readonly HashSet<string> _known = [];

    public ToolkitException Error(string key, string expected, string got) =>
        Json.Error(file, place.Length == 0 ? key : $"{place}.{key}", expected, got);

    public void End()
    {
        foreach (JsonProperty field in element.EnumerateObject())
            if (!_known.Contains(field.Name))
                throw Error(field.Name, "no such key", Json.Show(field.Value));
    }

    public StrictObject Object(string key) => Inner(key, Get(key, "an object", JsonValueKind.Object));

    public StrictObject[] Objects(string key, int count)
    {
        string expected = $"an array of {count} objects";
        JsonElement array = Get(key, expected, JsonValueKind.Array);
        if (array.GetArrayLength() != count)
            throw Error(key, expected, $"{array.GetArrayLength()}");
        return
        [
            .. array
                .EnumerateArray()
                .Select(
                    (item, i) =>
                        item.ValueKind == JsonValueKind.Object
                            ? Inner($"{key}[{i}]", item)
                            : throw Error($"{key}[{i}]", "an object", Json.Show(item))
                ),
        ];
    }

    public string Text(string key) => Get(key, "a string", JsonValueKind.String).GetString()!;

    public string[] Strings(string key) =>
        [
            .. Get(key, "an array of strings", JsonValueKind.Array)
                .EnumerateArray()
                .Select(
                    (item, i) =>
                        item.ValueKind == JsonValueKind.String ? item.GetString()! : throw Error($"{key}[{i}]", "a string", Json.Show(item))
                ),
        ];

    public void Literal(string key, string expected)
    {
        if (Text(key) is var got && got != expected)
            throw Error(key, $"'{expected}'", $"'{got}'");
    }

    public string OneOf(string key, IReadOnlyList<string> choices) =>
        Text(key) is var got && choices.Contains(got) ? got : throw Error(key, string.Join(" or ", choices), $"'{got}'");

    public bool Flag(string key)
    {
        JsonElement value = Get(key, "true or false", null);
        return value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.GetBoolean()
            : throw Error(key, "true or false", Json.Show(value));
    }

    public bool IsNull(string key) => Get(key, "a value", null).ValueKind == JsonValueKind.Null;

    public int Integer(string key, int low, int high)
    {
        string expected = $"a whole number from {low} to {high}";
        JsonElement value = Get(key, expected, null);
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int x) && x >= low && x <= high
            ? x
            : throw Error(key, expected, Json.Show(value));
    }

    public double Number(string key, double low, double high)
    {
        string expected =
            high < double.MaxValue ? FormattableString.Invariant($"a number from {low} to {high}")
            : low > double.MinValue ? FormattableString.Invariant($"a number of at least {low}")
            : "a number";
        JsonElement value = Get(key, expected, null);
        return value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double x) && x >= low && x <= high
            ? x
            : throw Error(key, expected, Json.Show(value));
    }

    /// <summary>Numbers, or "inf" for +infinity; any count when none is asked for.</summary>
    public double[] Numbers(string key, int? count)
    {
        string expected = count is null ? "an array of numbers" : $"an array of {count} numbers";
        JsonElement array = Get(key, expected, JsonValueKind.Array);
        if (count is not null && array.GetArrayLength() != count)
            throw Error(key, expected, $"{array.GetArrayLength()}");
        return
        [
            .. array
                .EnumerateArray()
                .Select(
                    (item, i) =>
                        item.ValueKind switch
                        {
                            JsonValueKind.Number when item.TryGetDouble(out double x) && double.IsFinite(x) => x,
                            JsonValueKind.String when item.ValueEquals("inf") => double.PositiveInfinity,
                            _ => throw Error($"{key}[{i}]", "a number", Json.Show(item)),
                        }
                ),
        ];
    }

    private StrictObject Inner(string key, JsonElement value) => new(file, place.Length == 0 ? key : $"{place}.{key}", value);

    private JsonElement Get(string key, string expected, JsonValueKind? kind)
    {
        if (!element.TryGetProperty(key, out JsonElement value))
            throw Error(key, expected, "nothing");
        _known.Add(key);
        return kind is null || value.ValueKind == kind ? value : throw Error(key, expected, Json.Show(value));
    }
}
