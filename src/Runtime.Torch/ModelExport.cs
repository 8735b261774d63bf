using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Runtime.Tokenization;
using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch;

/// <summary>How an exported model's projections are stored.</summary>
public enum ExportPrecision
{
    /// <summary>Symmetric INT8 with one float32 scale per output channel.</summary>
    Int8,

    /// <summary>The float32 master weights, to compare with.</summary>
    Float32,
}

/// <summary>
/// Writes a trained model as a Hugging Face folder: <c>config.json</c>, <c>generation_config.json</c>,
/// <c>tokenizer.json</c> and <c>model.safetensors</c>. INT8 is in the form of compressed-tensors' W8A8
/// (weights per channel, activations per token at run time).
/// </summary>
public static class ModelExport
{
    /// <summary>Writes the folder; the same model gives the same bytes.</summary>
    public static void Write(
        TrainableQwen3 model,
        TrainingRecipe recipe,
        TrainingTexts texts,
        string folder,
        ExportPrecision precision = ExportPrecision.Int8
    )
    {
        Directory.CreateDirectory(folder);
        ITokenizer tokenizer = texts.Tokenizer;
        SafeTensorsWriter.Write(Path.Combine(folder, "model.safetensors"), Tensors(model, recipe, precision));
        File.WriteAllText(Path.Combine(folder, "config.json"), Config(recipe, texts, precision));
        File.WriteAllText(
            Path.Combine(folder, "generation_config.json"),
            Text(
                new JsonObject
                {
                    ["do_sample"] = false,
                    ["eos_token_id"] = tokenizer.EndOfText,
                    ["pad_token_id"] = tokenizer.EndOfText,
                }
            )
        );
        texts.WriteTokenizer(folder); // a chat's own generation_config.json takes the place of the plain one
    }

    /// <summary>
    /// Quantises a row to <c>round(w / scale)</c> in [-127, 127]. Of 21 scales from 0.8 to 1 times max|w|/127 the one
    /// with the least squared error is taken: cutting one outlier can cost less than coarser steps for all the others.
    /// An all-zero row has scale 1, so that no reader divides by zero.
    /// </summary>
    public static float QuantiseRow(ReadOnlySpan<float> weights, Span<sbyte> values)
    {
        float max = 0;
        foreach (float w in weights)
            max = MathF.Max(max, MathF.Abs(w));
        if (max == 0)
        {
            values.Clear();
            return 1;
        }
        float best = max / 127;
        double least = double.PositiveInfinity;
        for (int i = 20; i >= 0; i--)
        {
            float scale = max / 127 * (0.8f + 0.01f * i);
            double error = 0;
            foreach (float w in weights)
            {
                double rest = w - scale * Round(w, scale);
                error += rest * rest;
            }
            if (error < least)
                (least, best) = (error, scale);
        }
        for (int i = 0; i < weights.Length; i++)
            values[i] = Round(weights[i], best);
        return best;
    }

    private static sbyte Round(float weight, float scale) => (sbyte)Math.Clamp(MathF.Round(weight / scale), -127, 127);

    private static List<TensorData> Tensors(TrainableQwen3 model, TrainingRecipe recipe, ExportPrecision precision)
    {
        var tensors = new List<TensorData>();
        void Add(string name, float[] values, params long[] shape) =>
            tensors.Add(new TensorData(name, TensorType.F32, shape, MemoryMarshal.AsBytes<float>(values).ToArray()));
        void AddMatrix(string name, Tensor stack, int layer)
        {
            int rows = (int)stack.shape[2],
                columns = (int)stack.shape[1];
            using Tensor matrix = stack.detach()[layer].t().contiguous(); // [in, out] to Hugging Face's [out, in]
            float[] weights = matrix.data<float>().ToArray();
            if (precision == ExportPrecision.Float32)
            {
                Add(name + ".weight", weights, rows, columns);
                return;
            }
            var values = new sbyte[weights.Length];
            var scales = new float[rows];
            for (int r = 0; r < rows; r++)
                scales[r] = QuantiseRow(weights.AsSpan(r * columns, columns), values.AsSpan(r * columns, columns));
            tensors.Add(new TensorData(name + ".weight", TensorType.I8, [rows, columns], MemoryMarshal.AsBytes<sbyte>(values).ToArray()));
            Add(name + ".weight_scale", scales, rows, 1);
        }

        // The gains of a block's two norms were folded into the matrices behind them, so theirs are ones.
        float[] ones = [.. Enumerable.Repeat(1f, recipe.Hidden)];
        Add("model.embed_tokens.weight", Values(model.Embedding), model.Embedding.shape);
        Add("model.norm.weight", Values(model.FinalGain), recipe.Hidden);
        for (int layer = 0; layer < recipe.Layers; layer++)
        {
            string at = $"model.layers.{layer}.";
            Add(at + "input_layernorm.weight", ones, recipe.Hidden);
            Add(at + "post_attention_layernorm.weight", ones, recipe.Hidden);
            Add(at + "self_attn.q_norm.weight", Row(model.QueryGain, layer), recipe.HeadDimension);
            Add(at + "self_attn.k_norm.weight", Row(model.KeyGain, layer), recipe.HeadDimension);
            AddMatrix(at + "self_attn.q_proj", model.Query, layer);
            AddMatrix(at + "self_attn.k_proj", model.Key, layer);
            AddMatrix(at + "self_attn.v_proj", model.Value, layer);
            AddMatrix(at + "self_attn.o_proj", model.Output, layer);
            AddMatrix(at + "mlp.gate_proj", model.Gate, layer);
            AddMatrix(at + "mlp.up_proj", model.Up, layer);
            AddMatrix(at + "mlp.down_proj", model.Down, layer);
        }
        return tensors;
    }

    private static float[] Values(Tensor tensor)
    {
        using Tensor plain = tensor.detach().contiguous();
        return plain.data<float>().ToArray();
    }

    private static float[] Row(Tensor tensor, int row)
    {
        using Tensor plain = tensor.detach()[row].contiguous();
        return plain.data<float>().ToArray();
    }

    private static string Config(TrainingRecipe recipe, TrainingTexts texts, ExportPrecision precision)
    {
        ITokenizer tokenizer = texts.Tokenizer;
        var config = new Qwen3Config
        {
            HiddenSize = recipe.Hidden,
            Layers = recipe.Layers,
            Heads = recipe.Heads,
            KeyValueHeads = recipe.KeyValueHeads,
            HeadDimension = recipe.HeadDimension,
            IntermediateSize = recipe.Intermediate,
            VocabularySize = tokenizer.VocabularySize,
            RmsNormEpsilon = (float)TrainingRecipe.NormEpsilon,
            RopeTheta = TrainingRecipe.RopeTheta,
            TieWordEmbeddings = true,
            MaxPositions = texts.MaxPositions,
            EndTokens = [tokenizer.EndOfText],
        };
        JsonObject json = JsonNode.Parse(config.ToJson())!.AsObject();
        json["eos_token_id"] = tokenizer.EndOfText;
        json["attention_bias"] = false;
        json["torch_dtype"] = "float32";
        if (precision == ExportPrecision.Int8)
            json["quantization_config"] = new JsonObject
            {
                ["quant_method"] = "compressed-tensors",
                ["format"] = "int-quantized",
                ["quantization_status"] = "compressed",
                ["ignore"] = new JsonArray("lm_head"),
                ["config_groups"] = new JsonObject
                {
                    ["group_0"] = new JsonObject
                    {
                        ["targets"] = new JsonArray("Linear"),
                        ["weights"] = Scheme("channel", dynamic: false),
                        ["input_activations"] = Scheme("token", dynamic: true),
                    },
                },
            };
        return Text(json);
    }

    private static JsonObject Scheme(string strategy, bool dynamic) =>
        new()
        {
            ["num_bits"] = 8,
            ["type"] = "int",
            ["symmetric"] = true,
            ["strategy"] = strategy,
            ["dynamic"] = dynamic,
        };

    private static string Text(JsonObject json) =>
        json.ToJsonString(new JsonSerializerOptions { WriteIndented = true, NewLine = "\n" }) + "\n";
}
