using System.Text.Json;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// What <c>quantization_config</c> says of a checkpoint's matrices. What it asks for and the engines do not do (rotations of
/// <c>transform_config</c>, quantised caches, other numbers) is refused: left out, it would change the answers silently.
/// </summary>
/// <param name="Method">Who wrote it: <c>compressed-tensors</c>, <c>gptq</c>, <c>awq</c> or <c>fp8</c>.</param>
/// <param name="Bits">Of a weight.</param>
/// <param name="GroupSize">Inputs that share a scale; 0 or less for all of a row.</param>
/// <param name="StoresZeroLessOne">Whether GPTQ's zero points are stored less one, as its first version does.</param>
public sealed record WeightQuantisation(string Method, int Bits, int GroupSize, bool StoresZeroLessOne = false)
{
    internal static WeightQuantisation Read(JsonMap map)
    {
        const string methods = "'compressed-tensors', 'gptq', 'awq' or 'fp8'";
        string method = map.Text("quant_method", methods);
        return method switch
        {
            "compressed-tensors" => ReadCompressed(map),
            "gptq" => ReadGptq(map),
            "awq" => ReadAwq(map),
            "fp8" => ReadFloat8(map),
            _ => throw map.Error("quant_method", methods, $"'{Json.Short(method)}'"),
        };
    }

    private static WeightQuantisation ReadGptq(JsonMap map)
    {
        int bits = map.Integer("bits", 1, 64);
        if (bits is not (4 or 8))
            throw map.Error("bits", "4 or 8", $"{bits}");
        string version = map.TextOr("checkpoint_format", "gptq")!;
        if (version is not ("gptq" or "gptq_v2"))
            throw map.Error("checkpoint_format", "'gptq' or 'gptq_v2'", $"'{Json.Short(version)}'");
        return new WeightQuantisation("gptq", bits, map.Integer("group_size", -1, 1 << 20), version == "gptq");
    }

    private static WeightQuantisation ReadAwq(JsonMap map)
    {
        if (map.Integer("bits", 1, 64) is not 4 and var bits)
            throw map.Error("bits", "4", $"{bits}");
        if (map.TextOr("version", "gemm") is not "gemm" and var version)
            throw map.Error("version", "'gemm'", $"'{Json.Short(version!)}'");
        return new WeightQuantisation("awq", 4, map.Integer("group_size", -1, 1 << 20));
    }

    private static WeightQuantisation ReadFloat8(JsonMap map)
    {
        if (map.TextOr("fmt", "e4m3") is not "e4m3" and var format)
            throw map.Error("fmt", "'e4m3'", $"'{Json.Short(format!)}'");
        if (map.Numbers("weight_block_size", 2) is not [128, 128])
            throw map.Error("weight_block_size", "[128, 128]", "another");
        return new WeightQuantisation("fp8", 8, 128);
    }

    private static WeightQuantisation ReadCompressed(JsonMap map)
    {
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
        return new WeightQuantisation("compressed-tensors", 8, 0);
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
