using System.Collections.Concurrent;
using TorchSharp;
using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch;

/// <summary>
/// Muon (Jordan et al. 2024): momentum, then the nearest orthogonal matrix by five Newton-Schulz steps in bfloat16, so
/// that every direction of a weight matrix moves at the same rate. Works on stacks of matrices [layers, in, out].
/// </summary>
public sealed class Muon(IReadOnlyList<Tensor> parameters, double momentum = 0.95)
{
    /// <summary>Momentum buffers, in the order of the parameters.</summary>
    public IReadOnlyList<Tensor> State { get; } = [.. parameters.Select(p => zeros_like(p).DetachFromDisposeScope())];

    public void Step(double rate)
    {
        for (int i = 0; i < parameters.Count; i++)
        {
            Tensor gradient = parameters[i].grad!;
            State[i].mul_(Scalars.From(momentum)).add_(gradient);
            Tensor update = Orthogonalise(gradient + State[i] * Scalars.From(momentum));
            double inputs = update.shape[1],
                outputs = update.shape[2];
            parameters[i].add_(update, alpha: Scalars.From(-rate * Math.Sqrt(Math.Max(1, outputs / inputs))));
        }
    }

    private static Tensor Orthogonalise(Tensor g)
    {
        Scalar a = Scalars.From(3.4445),
            b = Scalars.From(-4.7750),
            c = Scalars.From(2.0315);
        bool tall = g.shape[1] > g.shape[2];
        Tensor x = tall ? g.transpose(1, 2) : g;
        x = (x / (x.square().sum([1, 2], keepdim: true).sqrt() + Scalars.From(1e-7))).to(bfloat16);
        for (int step = 0; step < 5; step++)
        {
            Tensor gram = x.matmul(x.transpose(1, 2));
            x = x * a + (gram * b + gram.matmul(gram) * c).matmul(x);
        }
        x = x.to(float32);
        return tall ? x.transpose(1, 2) : x;
    }
}

/// <summary>Adam (Kingma and Ba 2015) with bias correction, beta 0.9 and 0.98.</summary>
public sealed class Adam(IReadOnlyList<Tensor> parameters)
{
    private const double Beta1 = 0.9,
        Beta2 = 0.98,
        Epsilon = 1e-9;

    /// <summary>First moments, then second moments, each in the order of the parameters.</summary>
    public IReadOnlyList<Tensor> State { get; } = [.. parameters.Concat(parameters).Select(p => zeros_like(p).DetachFromDisposeScope())];

    /// <param name="rate">Learning rate.</param>
    /// <param name="step">Zero-based number of this step, for the bias correction.</param>
    public void Step(double rate, int step)
    {
        double correction1 = 1 - Math.Pow(Beta1, step + 1),
            correction2 = 1 - Math.Pow(Beta2, step + 1);
        for (int i = 0; i < parameters.Count; i++)
        {
            Tensor gradient = parameters[i].grad!,
                mean = State[i],
                square = State[i + parameters.Count];
            mean.mul_(Scalars.From(Beta1)).add_(gradient, alpha: Scalars.From(1 - Beta1));
            square.mul_(Scalars.From(Beta2)).addcmul_(gradient, gradient, value: Scalars.From(1 - Beta2));
            Tensor scale = (square / Scalars.From(correction2)).sqrt_().add_(Scalars.From(Epsilon));
            parameters[i].addcdiv_(mean, scale, value: Scalars.From(-rate / correction1));
        }
    }
}

/// <summary>
/// Numbers as TorchSharp scalars that are never collected. An implicit conversion makes a temporary whose finaliser
/// can free the native value while the native call still reads it (seen as "Expected false to be true" about once in
/// ten thousand calls), so every number that meets a tensor comes from here.
/// </summary>
internal static class Scalars
{
    private static readonly ConcurrentDictionary<double, Scalar> Kept = new();

    public static Scalar From(double value) => Kept.GetOrAdd(value, static v => v.ToScalar());
}
