using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch.Inference;

/// <summary>
/// The layers of Qwen3 as TorchScript, which reaches operators that TorchSharp has no name for (<c>_int_mm</c>,
/// <c>scaled_dot_product_attention</c> with any mask) and makes one call of what would be forty.
/// </summary>
/// <remarks>
/// The source is a constant and every function is run by a test: a name that TorchScript cannot resolve ends the
/// process. Element types are numbers there: 1 is int8, 6 is float32.
/// </remarks>
internal static class LayerScripts
{
    private const string Source = """
        def product(x: Tensor, weight: Tensor) -> Tensor:
            greatest = torch.clamp_min(torch.amax(torch.abs(x), [1], True), 1e-30)
            q = torch.round(x * (127.0 / greatest)).to(1)
            return torch._int_mm(q, weight.t()).to(6) * (greatest / 127.0)

        def linear(x: Tensor, weight: Tensor, scale: Tensor, outputs: int, group: int) -> Tensor:
            inputs = weight.size(1)
            if inputs > x.size(1):
                x = torch.constant_pad_nd(x, [0, inputs - x.size(1)])
            if group == 0 or group >= inputs:
                y = product(x, weight)
            else:
                y = product(torch.narrow(x, 1, 0, group), torch.narrow(weight, 1, 0, group))
                first = group
                while first < inputs:
                    count = min(group, inputs - first)
                    y = y + product(torch.narrow(x, 1, first, count), torch.narrow(weight, 1, first, count))
                    first += count
            return torch.narrow(y * scale, 1, 0, outputs)

        def norm(x: Tensor, gain: Tensor, epsilon: float) -> Tensor:
            return x * (1.0 / torch.sqrt(torch.mean(x * x, [-1], True) + epsilon)) * gain

        def rotate(x: Tensor, angles: Tensor) -> Tensor:
            cosine = torch.unsqueeze(torch.select(angles, 1, 0), 1)
            sine = torch.unsqueeze(torch.select(angles, 1, 1), 1)
            half = cosine.size(2)
            a = torch.narrow(x, 2, 0, half)
            b = torch.narrow(x, 2, half, half)
            return torch.cat([a * cosine - b * sine, b * cosine + a * sine], 2)

        def heads(x: Tensor, gain: Tensor, weight: Tensor, scale: Tensor, query_gain: Tensor, key_gain: Tensor, angles: Tensor, queries: int, keys: int, width: int, epsilon: float, group: int) -> Tensor:
            y = linear(norm(x, gain, epsilon), weight, scale, (queries + 2 * keys) * width, group)
            y = y.view(-1, queries + 2 * keys, width)
            q = rotate(norm(torch.narrow(y, 1, 0, queries), query_gain, epsilon), angles)
            k = rotate(norm(torch.narrow(y, 1, queries, keys), key_gain, epsilon), angles)
            return torch.cat([q, k, torch.narrow(y, 1, queries + keys, keys)], 1)

        def attend(y: Tensor, first: int, count: int, key_cache: Tensor, value_cache: Tensor, position: int, mask: Tensor, wide: int) -> Tensor:
            keys = key_cache.size(0)
            width = key_cache.size(2)
            queries = y.size(1) - 2 * keys
            group = queries // keys
            rows = y.size(0)
            own = torch.narrow(y, 0, first, count)
            torch.narrow(key_cache, 1, position, count).copy_(torch.narrow(own, 1, queries, keys).transpose(0, 1))
            torch.narrow(value_cache, 1, position, count).copy_(torch.narrow(own, 1, queries + keys, keys).transpose(0, 1))
            q = torch.constant_pad_nd(torch.narrow(own, 1, 0, queries), [0, 0, 0, 0, 0, rows - count])
            q = q.view(rows, keys, group, width).permute([1, 2, 0, 3]).reshape(1, keys, group * rows, width)
            length = mask.size(1)
            k = torch.unsqueeze(torch.narrow(key_cache, 1, 0, length), 0)
            v = torch.unsqueeze(torch.narrow(value_cache, 1, 0, length), 0)
            if wide == 1:
                k = k.to(6)
                v = v.to(6)
            else:
                q = q.to(key_cache.dtype)
            mixed = torch.scaled_dot_product_attention(q, k, v, mask.repeat(group, 1))
            mixed = mixed.view(keys, group, rows, width).permute([2, 0, 1, 3]).reshape(rows, queries * width)
            return torch.narrow(mixed, 0, 0, count).to(6)

        def rest(x: Tensor, mixed: Tensor, output: Tensor, output_scale: Tensor, gain: Tensor, gate_up: Tensor, gate_up_scale: Tensor, down: Tensor, down_scale: Tensor, inner: int, epsilon: float, group: int) -> Tensor:
            x = x + linear(mixed, output, output_scale, x.size(1), group)
            y = linear(norm(x, gain, epsilon), gate_up, gate_up_scale, 2 * inner, group)
            y = torch.silu(torch.narrow(y, 1, 0, inner)) * torch.narrow(y, 1, inner, inner)
            return x + linear(y, down, down_scale, x.size(1), group)

        def head(x: Tensor, gain: Tensor, weight: Tensor, scale: Tensor, vocabulary: int, epsilon: float, group: int) -> Tensor:
            return linear(norm(x, gain, epsilon), weight, scale, vocabulary, group)

        """;

    private static readonly Lazy<torch.jit.CompilationUnit> Unit = new(() =>
    {
        // TorchScript's fuser compiles a function anew after its first calls, which would round otherwise than before:
        // a verified token would differ from a decoded one. Read by native code, so the runtime's own setter is no use.
        setenv("PYTORCH_TENSOREXPR", "0", 1);
        return torch.jit.compile(Source);
    });

    /// <summary>Rows [tokens, inputs] times INT8 weights [outputs, inputs] with a scale per output, activations rounded to INT8.</summary>
    /// <param name="group">Activations that share a scale; 0: all of a row.</param>
    public static Tensor Linear(Tensor x, Int8Weight weight, int group) =>
        Call("linear", x, weight.Values, weight.Scales, weight.Outputs, group);

    /// <summary>Queries, keys and values of a layer, normed and turned: [tokens, heads + 2 * key heads, width].</summary>
    public static Tensor Heads(Tensor x, TorchLayer layer, Tensor angles, int queries, int keys, int width, double epsilon, int group) =>
        Call(
            "heads",
            x,
            layer.AttentionNorm,
            layer.Attention.Values,
            layer.Attention.Scales,
            layer.QueryNorm,
            layer.KeyNorm,
            angles,
            queries,
            keys,
            width,
            epsilon,
            group
        );

    /// <summary>
    /// Stores the keys and values of rows <paramref name="first"/> on, then attends with their queries: [count, heads * width].
    /// </summary>
    /// <param name="wide">Attention in float32 instead of in the cache's type.</param>
    /// <param name="mask">[tokens, length]: true where a row may look; length is a whole number of blocks of the cache.</param>
    public static Tensor Attend(
        Tensor heads,
        int first,
        int count,
        Tensor keyCache,
        Tensor valueCache,
        int position,
        Tensor mask,
        bool wide
    ) => Call("attend", heads, first, count, keyCache, valueCache, position, mask, wide ? 1 : 0);

    /// <summary>The output projection and the feed-forward part of a layer.</summary>
    public static Tensor Rest(Tensor x, Tensor mixed, TorchLayer layer, int inner, double epsilon, int group) =>
        Call(
            "rest",
            x,
            mixed,
            layer.Output.Values,
            layer.Output.Scales,
            layer.FeedForwardNorm,
            layer.GateUp.Values,
            layer.GateUp.Scales,
            layer.Down.Values,
            layer.Down.Scales,
            inner,
            epsilon,
            group
        );

    /// <summary>Logits: [tokens, vocabulary].</summary>
    public static Tensor Head(Tensor x, Tensor gain, Int8Weight weight, double epsilon, int group) =>
        Call("head", x, gain, weight.Values, weight.Scales, weight.Outputs, epsilon, group);

    private static Tensor Call(string name, params object[] arguments) => (Tensor)Unit.Value.invoke(name, arguments);

    [DllImport("libc")]
    private static extern int setenv(string name, string value, int overwrite);
}
