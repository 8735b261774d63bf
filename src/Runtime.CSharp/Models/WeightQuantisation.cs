using System.Text.Json;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// What <c>quantization_config</c> says of a checkpoint's matrices. What it asks for and the engines do not do (rotations of
/// <c>transform_config</c>, quantised caches, other numbers) is refused: left out, it would change the answers silently.
/// </summary>
/// <param name="Method">Who wrote it: <c>compressed-tensors</c>.</param>
public sealed record WeightQuantisation(string Method)
{
    internal static WeightQuantisation Read(JsonMap map)
    {
        const string methods = "'compressed-tensors' in INT8";
        string method = map.Text("quant_method", methods);
        if (method != "compressed-tensors")
            throw map.Error("quant_method", methods, $"'{Json.Short(method)}'");
        if (map.TextOr("format", "int-quantized") is not "int-quantized" and var format)
            throw map.Error("format", "'int-quantized'", $"'{Json.Short(format!)}'");
        if (map.TextOr("quantization_status", "compressed") is not "compressed" and var status)
            throw map.Error("quantization_status", "'compressed'", $"'{Json.Short(status!)}'");
        foreach (string key in (string[])["transform_config", "kv_cache_scheme", "sparsity_config"])
            if (map.Has(key, out JsonElement value) && !IsNothing(value))
                throw map.Error(key, "nothing, because the engines do not do it", Json.Show(value));
        if (map.Has("config_groups"))
            foreach (JsonProperty group in map.Map("config_groups").Element.EnumerateObject())
                CheckWeights(map.Map("config_groups").Map(group.Name).Map("weights"));
        return new WeightQuantisation(method);
    }

    private static void CheckWeights(JsonMap weights)
    {
        if (weights.Integer("num_bits", 1, 64) is not 8 and var bits)
            throw weights.Error("num_bits", "8", $"{bits}");
        foreach (var (key, expected) in (ReadOnlySpan<(string, string)>)[("type", "int"), ("strategy", "channel")])
            if (weights.TextOr(key, expected) is { } got && got != expected)
                throw weights.Error(key, $"'{expected}'", $"'{Json.Short(got)}'");
        if (!weights.FlagOr("symmetric", true))
            throw weights.Error("symmetric", "true", "false");
    }

    private static bool IsNothing(JsonElement value) =>
        value.ValueKind switch
        {
            JsonValueKind.Object => !value.EnumerateObject().Any()
                || value.TryGetProperty("format", out JsonElement format) && format.ValueEquals("dense"),
            JsonValueKind.Array => value.GetArrayLength() == 0,
            _ => false,
        };
}
