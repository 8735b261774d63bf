using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Runtime.Tokenization;
using TorchSharp;
using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch;

/// <summary>
/// Writes a trained model as a Hugging Face folder: config.json, generation_config.json, tokenizer.json and
/// model.safetensors with INT8 projections (compressed-tensors W8A8: symmetric, one scale per output channel).
/// </summary>
public static class ModelExport
{
    private const int MaxPositions = 256;

    /// <param name="int8">False keeps the projections in float32, to measure what INT8 costs.</param>
    public static void Write(string folder, TrainingRecipe recipe, TrainableQwen3 model, CharacterTokenizer tokenizer, bool int8 = true)
    {
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), Config(recipe, tokenizer, int8).ToJsonString(new() { WriteIndented = true }) + "\n");
        File.WriteAllText(Path.Combine(folder, "generation_config.json"),
            new JsonObject { ["do_sample"] = false, ["eos_token_id"] = tokenizer.EndOfText }.ToJsonString(new() { WriteIndented = true }) + "\n");
        File.WriteAllText(Path.Combine(folder, "tokenizer.json"), tokenizer.ToJson());
        SafeTensorsWriter.Write(Path.Combine(folder, "model.safetensors"), Tensors(recipe, model, int8));
    }

    private static JsonObject Config(TrainingRecipe recipe, CharacterTokenizer tokenizer, bool int8)
    {
        var config = new JsonObject
        {
            ["architectures"] = new JsonArray("Qwen3ForCausalLM"),
            ["model_type"] = "qwen3",
            ["hidden_size"] = recipe.Hidden,
            ["num_hidden_layers"] = recipe.Layers,
            ["num_attention_heads"] = recipe.Heads,
            ["num_key_value_heads"] = recipe.KeyValueHeads,
            ["head_dim"] = recipe.HeadDimension,
            ["intermediate_size"] = recipe.Intermediate,
            ["vocab_size"] = tokenizer.VocabularySize,
            ["hidden_act"] = "silu",
            ["attention_bias"] = false,
            ["rms_norm_eps"] = TrainingRecipe.NormEpsilon,
            ["rope_theta"] = TrainingRecipe.RopeTheta,
            ["tie_word_embeddings"] = true,
            ["max_position_embeddings"] = MaxPositions,
            ["eos_token_id"] = tokenizer.EndOfText,
            ["torch_dtype"] = "float32",
        };
        if (int8)
            config["quantization_config"] = JsonNode.Parse("""
                {
                  "quant_method": "compressed-tensors", "format": "int-quantized", "quantization_status": "compressed",
                  "ignore": ["lm_head"],
                  "config_groups": { "group_0": {
                    "targets": ["Linear"],
                    "weights": { "num_bits": 8, "type": "int", "symmetric": true, "strategy": "channel", "dynamic": false },
                    "input_activations": { "num_bits": 8, "type": "int", "symmetric": true, "strategy": "token", "dynamic": true } } }
                }
                """);
        return config;
    }

    private static IEnumerable<TensorData> Tensors(TrainingRecipe recipe, TrainableQwen3 model, bool int8)
    {
        yield return Float("model.embed_tokens.weight", model.Embedding);
        yield return Float("model.norm.weight", model.FinalGain);
        (string Name, Tensor Stack)[] projections =
        [
            ("self_attn.q_proj", model.Query), ("self_attn.k_proj", model.Key), ("self_attn.v_proj", model.Value),
            ("self_attn.o_proj", model.Output), ("mlp.gate_proj", model.Gate), ("mlp.up_proj", model.Up), ("mlp.down_proj", model.Down),
        ];
        for (int layer = 0; layer < recipe.Layers; layer++)
        {
            string prefix = $"model.layers.{layer}.";
            // The trainer folds these gains into the matrices behind them.
            using Tensor ones = torch.ones(recipe.Hidden);
            yield return Float(prefix + "input_layernorm.weight", ones);
            yield return Float(prefix + "post_attention_layernorm.weight", ones);
            yield return Float(prefix + "self_attn.q_norm.weight", model.QueryGain[layer]);
            yield return Float(prefix + "self_attn.k_norm.weight", model.KeyGain[layer]);
            foreach (var (name, stack) in projections)
            {
                using Tensor weight = stack[layer].detach().t().contiguous(); // [out, in]
                if (!int8)
                {
                    yield return Float(prefix + name + ".weight", weight);
                    continue;
                }
                var (values, scales) = Quantise(weight);
                yield return new TensorData(prefix + name + ".weight", TensorType.I8, weight.shape, values);
                yield return new TensorData(prefix + name + ".weight_scale", TensorType.F32, [weight.shape[0], 1],
                    MemoryMarshal.AsBytes(scales.AsSpan()).ToArray());
            }
        }
    }

    private static TensorData Float(string name, Tensor tensor)
    {
        using Tensor whole = tensor.detach().contiguous();
        return new TensorData(name, TensorType.F32, whole.shape, MemoryMarshal.AsBytes(whole.data<float>().ToArray().AsSpan()).ToArray());
    }

    // Per output channel, the scale whose rounding loses least: clipping the largest weights a little often beats
    // stretching the grid to reach them.
    private static (byte[] Values, float[] Scales) Quantise(Tensor weight)
    {
        int rows = (int)weight.shape[0], columns = (int)weight.shape[1];
        float[] data = weight.data<float>().ToArray();
        var values = new byte[data.Length];
        var scales = new float[rows];
        for (int row = 0; row < rows; row++)
        {
            ReadOnlySpan<float> channel = data.AsSpan(row * columns, columns);
            float largest = 1e-12f;
            foreach (float w in channel) largest = Math.Max(largest, Math.Abs(w));
            double least = double.PositiveInfinity;
            for (int clip = 0; clip < 16; clip++)
            {
                float scale = largest * (1 - 0.01f * clip) / 127;
                double loss = 0;
                foreach (float w in channel)
                {
                    double error = w - scale * Math.Clamp(MathF.Round(w / scale), -127, 127);
                    loss += error * error;
                }
                if (loss < least) (least, scales[row]) = (loss, scale);
            }
            for (int i = 0; i < columns; i++)
                values[row * columns + i] = unchecked((byte)(sbyte)Math.Clamp(MathF.Round(channel[i] / scales[row]), -127, 127));
        }
        return (values, scales);
    }
}
