using System.Numerics.Tensors;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// What lies between a layer's product for queries, keys and values and the one for attention's output, for one head of
/// keys and values at a time. Different heads may be worked on at the same time.
/// </summary>
internal sealed unsafe class AttentionSteps(Qwen3Config config, RowQueue queue)
{
    private readonly int _width = config.HeadDimension,
        _group = config.Heads / config.KeyValueHeads;
    private readonly int _keysAt = config.Heads * config.HeadDimension;
    private readonly int _valuesAt = (config.Heads + config.KeyValueHeads) * config.HeadDimension;

    /// <summary>
    /// Norms the queries and the key that share a head of keys and values, turns them to their position, and stores key and value.
    /// </summary>
    public void Prepare(LayerWeights weights, int layer, int t, int keyHead, PassBuffers memory, PassScratch scratch)
    {
        (CpuSequence sequence, int position) = (queue[t].Sequence, queue[t].Position);
        float* queries = memory.Attention.Pointer + (long)t * memory.AttentionStride,
            turned = scratch.Turned.Pointer;
        float scale = 1 / MathF.Sqrt(_width);
        for (int head = keyHead * _group; head < (keyHead + 1) * _group; head++)
        {
            Turn(queries + head * _width, weights.QueryNorm);
            TensorPrimitives.Multiply(new ReadOnlySpan<float>(turned, _width), scale, new Span<float>(queries + head * _width, _width));
        }
        Turn(queries + _keysAt + keyHead * _width, weights.KeyNorm);
        sequence.Cache.Store(layer, keyHead, position, turned, queries + _valuesAt + keyHead * _width);

        void Turn(float* head, AlignedBuffer<float> norm)
        {
            Copy(head, scratch.Head.Pointer, _width); // there, zeros follow it up to whole vectors
            VectorMath.RmsNorm(scratch.Head.Pointer, norm.Pointer, turned, _width, config.RmsNormEpsilon);
            Rotary.Rotate(turned, sequence.Angles, position, _width / 2);
        }
    }

    /// <summary>The queries of some neighbouring tokens that share one head of keys and values.</summary>
    public void Attend(int layer, RowRun run, int keyHead, PassBuffers memory, PassScratch scratch)
    {
        KeyValueCache cache = run.Sequence.Cache;
        var head = new Attention.Head(cache.Keys(layer, keyHead), cache.Values(layer, keyHead), _width, cache.Positions);
        int last = queue[run.First + run.Count - 1].Position,
            scoreStride = Padding.ToLanes(last + 1),
            padded = Padding.ToLanes(_width);
        float* scores = scratch.Scores((long)Attention.MostQueries * scoreStride);
        float** queries = stackalloc float*[Attention.MostQueries];
        float** outputs = stackalloc float*[Attention.MostQueries];
        int* counts = stackalloc int[Attention.MostQueries];
        for (int j = 0; j < Attention.MostQueries; j++)
            outputs[j] = scratch.Outputs.Pointer + j * padded;
        for (int begin = 0, all = run.Count * _group; begin < all; begin += Attention.MostQueries)
        {
            int number = Math.Min(Attention.MostQueries, all - begin);
            for (int j = 0; j < number; j++)
            {
                int t = run.First + (begin + j) / _group;
                queries[j] = memory.Attention.Pointer + (long)t * memory.AttentionStride + Offset(begin + j);
                counts[j] = queue[t].Position + 1;
            }
            Attention.Attend(head, queries, counts, number, scores, scoreStride, outputs);
            for (int j = 0; j < number; j++)
            {
                int t = run.First + (begin + j) / _group;
                Copy(outputs[j], memory.Context.Pointer + (long)t * memory.ContextStride + Offset(begin + j), _width);
            }
        }

        int Offset(int query) => (keyHead * _group + query % _group) * _width;
    }

    private static void Copy(float* from, float* to, int length) =>
        new ReadOnlySpan<float>(from, length).CopyTo(new Span<float>(to, length));
}
