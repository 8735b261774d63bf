using System.Numerics.Tensors;
using System.Runtime.Intrinsics;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Causal attention over the positions that a sequence holds (Vaswani et al. 2017), for up to four queries that read the
/// same head of keys and values: the query heads of a group, and neighbouring tokens. Each key and value is then read
/// once for all of them. A query's result does not depend on which others come with it: each sum is taken in the order
/// of its own terms, and what a later query adds to the tile is multiplied by zero.
/// </summary>
internal static unsafe class Attention
{
    /// <summary>The most queries in one call.</summary>
    public const int MostQueries = 4;

    private const int Lanes = Padding.Lanes;

    /// <summary>One head of a <see cref="KeyValueCache"/>.</summary>
    public readonly struct Head(ushort* keys, ushort* values, int width, int positions)
    {
        public readonly ushort* Keys = keys,
            Values = values;
        public readonly int Width = width;

        /// <summary>Numbers from one strip of values to the next.</summary>
        public readonly long Strip = (long)positions * Lanes;
    }

    /// <summary>
    /// For each query j: <c>outputs[j]</c> = sum over p below <c>counts[j]</c> of softmax(query . key[p])[p] * value[p].
    /// Queries are already divided by sqrt(width). <paramref name="scores"/> has room for the positions, padded to whole
    /// vectors, of each query; an output for its width, padded likewise.
    /// </summary>
    public static void Attend(in Head head, float** queries, int* counts, int number, float* scores, int scoreStride, float** outputs)
    {
        int longest = 0;
        for (int j = 0; j < number; j++)
            longest = Math.Max(longest, counts[j]);
        int padded = Padding.ToLanes(longest);
        int done = 0;
        if (number == 4)
            FourScores(head, queries, padded, scores, scoreStride);
        else
        {
            for (; done + 2 <= number; done += 2)
                TwoScores(head, queries + done, padded, scores + done * (long)scoreStride, scoreStride);
            if (done < number)
                OneScore(head, queries[done], padded, scores + done * (long)scoreStride);
        }
        for (int j = 0; j < number; j++)
            VectorMath.Softmax(scores + j * (long)scoreStride, counts[j], padded);
        for (int i = 0; i < head.Width; i += Lanes)
        {
            ushort* values = head.Values + i / Lanes * head.Strip;
            if (number == 4)
                FourSums(scores, scoreStride, values, padded, outputs, i);
            else
            {
                for (done = 0; done + 2 <= number; done += 2)
                    TwoSums(scores + done * (long)scoreStride, scoreStride, values, padded, outputs + done, i);
                if (done < number)
                    OneSum(scores + done * (long)scoreStride, values, padded, outputs[done] + i);
            }
        }
    }

    // Four sums run side by side in each method, because one would wait for each multiply-add to end before the next.

    private static void OneScore(in Head head, float* query, int padded, float* scores)
    {
        int width = head.Width,
            p = 0;
        long block = (long)width * Lanes;
        ushort* keys = head.Keys;
        for (; p + 4 * Lanes <= padded; p += 4 * Lanes, keys += 4 * block)
        {
            Vector512<float> a = default,
                b = default,
                c = default,
                d = default;
            for (int i = 0; i < width; i++)
            {
                Vector512<float> q = Vector512.Create(query[i]);
                ushort* k = keys + i * Lanes;
                a = Vector512.FusedMultiplyAdd(q, KeyValueCache.Load(k), a);
                b = Vector512.FusedMultiplyAdd(q, KeyValueCache.Load(k + block), b);
                c = Vector512.FusedMultiplyAdd(q, KeyValueCache.Load(k + 2 * block), c);
                d = Vector512.FusedMultiplyAdd(q, KeyValueCache.Load(k + 3 * block), d);
            }
            a.Store(scores + p);
            b.Store(scores + p + Lanes);
            c.Store(scores + p + 2 * Lanes);
            d.Store(scores + p + 3 * Lanes);
        }
        for (; p < padded; p += Lanes, keys += block)
        {
            Vector512<float> a = default;
            for (int i = 0; i < width; i++)
                a = Vector512.FusedMultiplyAdd(Vector512.Create(query[i]), KeyValueCache.Load(keys + i * Lanes), a);
            a.Store(scores + p);
        }
    }

    private static void TwoScores(in Head head, float** queries, int padded, float* scores, int stride)
    {
        int width = head.Width,
            p = 0;
        long block = (long)width * Lanes;
        ushort* keys = head.Keys;
        float* q0 = queries[0],
            q1 = queries[1];
        for (; p + 2 * Lanes <= padded; p += 2 * Lanes, keys += 2 * block)
        {
            Vector512<float> a0 = default,
                a1 = default,
                b0 = default,
                b1 = default;
            for (int i = 0; i < width; i++)
            {
                Vector512<float> a = KeyValueCache.Load(keys + i * Lanes),
                    b = KeyValueCache.Load(keys + block + i * Lanes);
                Vector512<float> q = Vector512.Create(q0[i]);
                a0 = Vector512.FusedMultiplyAdd(q, a, a0);
                b0 = Vector512.FusedMultiplyAdd(q, b, b0);
                q = Vector512.Create(q1[i]);
                a1 = Vector512.FusedMultiplyAdd(q, a, a1);
                b1 = Vector512.FusedMultiplyAdd(q, b, b1);
            }
            a0.Store(scores + p);
            b0.Store(scores + p + Lanes);
            a1.Store(scores + stride + p);
            b1.Store(scores + stride + p + Lanes);
        }
        for (; p < padded; p += Lanes, keys += block)
        {
            Vector512<float> a0 = default,
                a1 = default;
            for (int i = 0; i < width; i++)
            {
                Vector512<float> a = KeyValueCache.Load(keys + i * Lanes);
                a0 = Vector512.FusedMultiplyAdd(Vector512.Create(q0[i]), a, a0);
                a1 = Vector512.FusedMultiplyAdd(Vector512.Create(q1[i]), a, a1);
            }
            a0.Store(scores + p);
            a1.Store(scores + stride + p);
        }
    }

    private static void FourScores(in Head head, float** queries, int padded, float* scores, int stride)
    {
        int width = head.Width;
        ushort* keys = head.Keys;
        float* q0 = queries[0],
            q1 = queries[1],
            q2 = queries[2],
            q3 = queries[3];
        for (int p = 0; p < padded; p += Lanes, scores += Lanes)
        {
            Vector512<float> a0 = default,
                a1 = default,
                a2 = default,
                a3 = default;
            for (int i = 0; i < width; i++, keys += Lanes)
            {
                Vector512<float> a = KeyValueCache.Load(keys);
                a0 = Vector512.FusedMultiplyAdd(Vector512.Create(q0[i]), a, a0);
                a1 = Vector512.FusedMultiplyAdd(Vector512.Create(q1[i]), a, a1);
                a2 = Vector512.FusedMultiplyAdd(Vector512.Create(q2[i]), a, a2);
                a3 = Vector512.FusedMultiplyAdd(Vector512.Create(q3[i]), a, a3);
            }
            a0.Store(scores);
            a1.Store(scores + stride);
            a2.Store(scores + 2L * stride);
            a3.Store(scores + 3L * stride);
        }
    }

    private static void OneSum(float* weights, ushort* values, int padded, float* output)
    {
        Vector512<float> a = default,
            b = default,
            c = default,
            d = default;
        for (int p = 0; p < padded; p += 4, values += 4 * Lanes)
        {
            a = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p]), KeyValueCache.Load(values), a);
            b = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 1]), KeyValueCache.Load(values + Lanes), b);
            c = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 2]), KeyValueCache.Load(values + 2 * Lanes), c);
            d = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 3]), KeyValueCache.Load(values + 3 * Lanes), d);
        }
        ((a + b) + (c + d)).Store(output);
    }

    private static void TwoSums(float* weights, int stride, ushort* values, int padded, float** outputs, int offset)
    {
        Vector512<float> a0 = default,
            b0 = default,
            c0 = default,
            d0 = default,
            a1 = default,
            b1 = default,
            c1 = default,
            d1 = default;
        float* w1 = weights + stride;
        for (int p = 0; p < padded; p += 4, values += 4 * Lanes)
        {
            Vector512<float> v = KeyValueCache.Load(values);
            a0 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p]), v, a0);
            a1 = Vector512.FusedMultiplyAdd(Vector512.Create(w1[p]), v, a1);
            v = KeyValueCache.Load(values + Lanes);
            b0 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 1]), v, b0);
            b1 = Vector512.FusedMultiplyAdd(Vector512.Create(w1[p + 1]), v, b1);
            v = KeyValueCache.Load(values + 2 * Lanes);
            c0 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 2]), v, c0);
            c1 = Vector512.FusedMultiplyAdd(Vector512.Create(w1[p + 2]), v, c1);
            v = KeyValueCache.Load(values + 3 * Lanes);
            d0 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 3]), v, d0);
            d1 = Vector512.FusedMultiplyAdd(Vector512.Create(w1[p + 3]), v, d1);
        }
        ((a0 + b0) + (c0 + d0)).Store(outputs[0] + offset);
        ((a1 + b1) + (c1 + d1)).Store(outputs[1] + offset);
    }

    private static void FourSums(float* weights, int stride, ushort* values, int padded, float** outputs, int offset)
    {
        Vector512<float> a0 = default,
            b0 = default,
            c0 = default,
            d0 = default,
            a1 = default,
            b1 = default,
            c1 = default,
            d1 = default;
        Vector512<float> a2 = default,
            b2 = default,
            c2 = default,
            d2 = default,
            a3 = default,
            b3 = default,
            c3 = default,
            d3 = default;
        float* w1 = weights + stride,
            w2 = w1 + stride,
            w3 = w2 + stride;
        for (int p = 0; p < padded; p += 4, values += 4 * Lanes)
        {
            Vector512<float> v = KeyValueCache.Load(values);
            a0 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p]), v, a0);
            a1 = Vector512.FusedMultiplyAdd(Vector512.Create(w1[p]), v, a1);
            a2 = Vector512.FusedMultiplyAdd(Vector512.Create(w2[p]), v, a2);
            a3 = Vector512.FusedMultiplyAdd(Vector512.Create(w3[p]), v, a3);
            v = KeyValueCache.Load(values + Lanes);
            b0 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 1]), v, b0);
            b1 = Vector512.FusedMultiplyAdd(Vector512.Create(w1[p + 1]), v, b1);
            b2 = Vector512.FusedMultiplyAdd(Vector512.Create(w2[p + 1]), v, b2);
            b3 = Vector512.FusedMultiplyAdd(Vector512.Create(w3[p + 1]), v, b3);
            v = KeyValueCache.Load(values + 2 * Lanes);
            c0 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 2]), v, c0);
            c1 = Vector512.FusedMultiplyAdd(Vector512.Create(w1[p + 2]), v, c1);
            c2 = Vector512.FusedMultiplyAdd(Vector512.Create(w2[p + 2]), v, c2);
            c3 = Vector512.FusedMultiplyAdd(Vector512.Create(w3[p + 2]), v, c3);
            v = KeyValueCache.Load(values + 3 * Lanes);
            d0 = Vector512.FusedMultiplyAdd(Vector512.Create(weights[p + 3]), v, d0);
            d1 = Vector512.FusedMultiplyAdd(Vector512.Create(w1[p + 3]), v, d1);
            d2 = Vector512.FusedMultiplyAdd(Vector512.Create(w2[p + 3]), v, d2);
            d3 = Vector512.FusedMultiplyAdd(Vector512.Create(w3[p + 3]), v, d3);
        }
        ((a0 + b0) + (c0 + d0)).Store(outputs[0] + offset);
        ((a1 + b1) + (c1 + d1)).Store(outputs[1] + offset);
        ((a2 + b2) + (c2 + d2)).Store(outputs[2] + offset);
        ((a3 + b3) + (c3 + d3)).Store(outputs[3] + offset);
    }
}

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
        (KeyValueCache cache, int position) = (queue[t].Cache, queue[t].Position);
        float* queries = memory.Attention.Pointer + (long)t * memory.AttentionStride,
            turned = scratch.Turned.Pointer;
        float scale = 1 / MathF.Sqrt(_width);
        for (int head = keyHead * _group; head < (keyHead + 1) * _group; head++)
        {
            Turn(queries + head * _width, weights.QueryNorm);
            TensorPrimitives.Multiply(new ReadOnlySpan<float>(turned, _width), scale, new Span<float>(queries + head * _width, _width));
        }
        Turn(queries + _keysAt + keyHead * _width, weights.KeyNorm);
        cache.Store(layer, keyHead, position, turned, queries + _valuesAt + keyHead * _width);

        void Turn(float* head, AlignedBuffer<float> norm)
        {
            Copy(head, scratch.Head.Pointer, _width); // there, zeros follow it up to whole vectors
            VectorMath.RmsNorm(scratch.Head.Pointer, norm.Pointer, turned, _width, config.RmsNormEpsilon);
            Rotary.Rotate(turned, cache.Angles, position, _width / 2);
        }
    }

    /// <summary>The queries of some neighbouring tokens that share one head of keys and values.</summary>
    public void Attend(int layer, RowRun run, int keyHead, PassBuffers memory, PassScratch scratch)
    {
        KeyValueCache cache = run.Cache;
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
