using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch;

/// <summary>
/// The Qwen3 architecture as a differentiable function of stacked float32 master weights. The gains of the two norms
/// of a block are folded into the matrices behind them (they are exported as ones); matrices multiply in bfloat16.
/// </summary>
public sealed class TrainableQwen3 : IDisposable
{
    private readonly TrainingRecipe _recipe;
    private readonly Tensor _cos,
        _sin; // [length, head dimension]

    // Matrices, [layers, in, out]; Muon trains them.
    public Tensor Query { get; }
    public Tensor Key { get; }
    public Tensor Value { get; }
    public Tensor Output { get; }
    public Tensor Gate { get; }
    public Tensor Up { get; }
    public Tensor Down { get; }

    // The rest; Adam trains them.
    public Tensor Embedding { get; } // [vocabulary, hidden], also the head
    public Tensor QueryGain { get; } // [layers, head dimension]
    public Tensor KeyGain { get; } // [layers, head dimension]
    public Tensor FinalGain { get; } // [hidden]

    public IReadOnlyList<Tensor> Matrices => [Query, Key, Value, Output, Gate, Up, Down];
    public IReadOnlyList<Tensor> Others => [Embedding, QueryGain, KeyGain, FinalGain];

    public TrainableQwen3(TrainingRecipe recipe, int vocabulary)
    {
        _recipe = recipe;
        manual_seed(recipe.Seed);
        int width = recipe.Heads * recipe.HeadDimension,
            kvWidth = recipe.KeyValueHeads * recipe.HeadDimension;
        Tensor Matrix(int inputs, int outputs, double scale = 1) =>
            (randn(recipe.Layers, inputs, outputs) * Scalars.From(scale / Math.Sqrt(inputs))).AsParameter();
        Query = Matrix(recipe.Hidden, width);
        Key = Matrix(recipe.Hidden, kvWidth);
        Value = Matrix(recipe.Hidden, kvWidth);
        Output = Matrix(width, recipe.Hidden, 0.1);
        Gate = Matrix(recipe.Hidden, recipe.Intermediate);
        Up = Matrix(recipe.Hidden, recipe.Intermediate);
        Down = Matrix(recipe.Intermediate, recipe.Hidden, 0.1);
        Embedding = (randn(vocabulary, recipe.Hidden) * Scalars.From(1 / Math.Sqrt(recipe.Hidden))).AsParameter();
        QueryGain = full([recipe.Layers, recipe.HeadDimension], 1.5f).AsParameter();
        KeyGain = full([recipe.Layers, recipe.HeadDimension], 1.5f).AsParameter();
        FinalGain = ones(recipe.Hidden).AsParameter();

        // Rotary angles, half-split as in Hugging Face: dimension i turns with dimension i + d/2.
        using var half = pow(TrainingRecipe.RopeTheta, arange(0, recipe.HeadDimension, 2, ScalarType.Float32) / -recipe.HeadDimension);
        using var angles = outer(arange(0, recipe.RowLength, ScalarType.Float32), half);
        _cos = cat([angles.cos(), angles.cos()], 1);
        _sin = cat([angles.sin(), angles.sin()], 1);
    }

    /// <summary>Logits at the given flat positions of a packed batch: [positions, vocabulary], float32.</summary>
    public Tensor Forward(Tensor tokens, Tensor mask, Tensor positions)
    {
        long rows = tokens.shape[0],
            length = tokens.shape[1];
        int heads = _recipe.Heads,
            kvHeads = _recipe.KeyValueHeads,
            d = _recipe.HeadDimension,
            group = heads / kvHeads;
        Tensor x = Embedding.index_select(0, tokens.flatten()); // [rows * length, hidden]
        Tensor[] attentionIn = cat([Query, Key, Value], 2).to(bfloat16).unbind(0),
            attentionOut = Output.to(bfloat16).unbind(0);
        Tensor[] mlpIn = cat([Gate, Up], 2).to(bfloat16).unbind(0),
            mlpOut = Down.to(bfloat16).unbind(0);
        for (int layer = 0; layer < _recipe.Layers; layer++)
        {
            Tensor qkv = Normalise(x)
                .to(bfloat16)
                .matmul(attentionIn[layer])
                .to(float32)
                .view(rows, length, heads + 2 * kvHeads, d)
                .transpose(1, 2); // [rows, heads + 2 kv, length, d]
            Tensor q = Rotate(Normalise(qkv.narrow(1, 0, heads)) * (QueryGain[layer] * Scalars.From(1 / Math.Sqrt(d))));
            Tensor k = Rotate(Normalise(qkv.narrow(1, heads, kvHeads)) * KeyGain[layer]);
            Tensor v = qkv.narrow(1, heads + kvHeads, kvHeads);
            Tensor scores =
                q.reshape(rows, kvHeads, group * length, d).matmul(k.transpose(2, 3)).view(rows, kvHeads, group, length, length) + mask;
            Tensor mixed = scores
                .softmax(-1)
                .view(rows, kvHeads, group * length, length)
                .matmul(v)
                .view(rows, heads, length, d)
                .transpose(1, 2)
                .reshape(rows * length, heads * d);
            x = x + mixed.to(bfloat16).matmul(attentionOut[layer]).to(float32);
            Tensor[] gateUp = Normalise(x).to(bfloat16).matmul(mlpIn[layer]).chunk(2, -1);
            x = x + (nn.functional.silu(gateUp[0]) * gateUp[1]).matmul(mlpOut[layer]).to(float32);
        }
        return (Normalise(x.index_select(0, positions)) * FinalGain).matmul(Embedding.t());
    }

    private static Tensor Normalise(Tensor x) =>
        x * x.square().mean([-1], keepdim: true).add(Scalars.From(TrainingRecipe.NormEpsilon)).rsqrt();

    private Tensor Rotate(Tensor x)
    {
        Tensor[] halves = x.chunk(2, -1);
        return x * _cos + cat([-halves[1], halves[0]], -1) * _sin;
    }

    public void Dispose()
    {
        foreach (Tensor tensor in Matrices.Concat(Others).Append(_cos).Append(_sin))
            tensor.Dispose();
    }
}

internal static class ParameterExtensions
{
    public static Tensor AsParameter(this Tensor tensor) => tensor.detach().requires_grad_().DetachFromDisposeScope();
}
