using OptimalStopping.Runtime.Models;
using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch.Inference;

/// <summary>
/// Gathers tokens of any sequences into passes of <see cref="LayerPlacement.Rows"/> rows and runs the layers on them.
/// Consecutive rows of one sequence within one block of positions attend together.
/// </summary>
internal sealed class TorchPass(TorchModel model)
{
    private const int Rows = LayerPlacement.Rows;

    private readonly List<(TorchSequence Sequence, int Token, int Position, int LogitRow)> _rows = new(Rows);

    /// <summary>Queues one token; runs when the rows are full. Its logits go to a row of the target, or nowhere (-1).</summary>
    public void Add(TorchSequence sequence, int token, int position, int logitRow, Span<float> logits)
    {
        _rows.Add((sequence, token, position, logitRow));
        if (_rows.Count == Rows)
            Flush(logits);
    }

    /// <summary>Runs the layers on the queued rows, if any.</summary>
    public void Flush(Span<float> logits)
    {
        if (_rows.Count == 0)
            return;
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Qwen3Config config = model.Config;
        TorchWeights weights = model.Weights;
        List<Part> parts = Parts();
        int furthest = _rows.Max(row => row.Position) + 1;
        Tensor x = weights.Embedding.index_select(0, Integers(row => row.Token, model.Devices[0])).to(float32);
        Tensor angles = x;
        for (int layer = 0; layer < config.Layers; layer++)
        {
            Device device = model.Devices[layer];
            if (layer == 0 || device != model.Devices[layer - 1])
            {
                x = x.to(device);
                angles = model.Angles(device, furthest).index_select(0, Integers(row => row.Position, device));
                foreach (Part part in parts)
                    part.Mask = Mask(part, device);
            }
            using var inner = NewDisposeScope();
            Tensor heads = LayerScripts.Heads(
                x,
                weights.Layers[layer],
                angles,
                config.Heads,
                config.KeyValueHeads,
                config.HeadDimension,
                config.RmsNormEpsilon,
                model.Group
            );
            var mixed = new List<Tensor>(parts.Count + 1);
            foreach (Part part in parts)
                mixed.Add(
                    LayerScripts.Attend(
                        heads,
                        part.First,
                        part.Count,
                        part.Sequence.Keys(layer),
                        part.Sequence.Values(layer),
                        part.Position,
                        part.Mask!,
                        model.Wide
                    )
                );
            if (_rows.Count < Rows)
                mixed.Add(zeros([Rows - _rows.Count, config.Heads * config.HeadDimension], float32, device));
            x = LayerScripts
                .Rest(x, cat(mixed, 0), weights.Layers[layer], config.IntermediateSize, config.RmsNormEpsilon, model.Group)
                .MoveToOuterDisposeScope();
        }
        if (_rows.Any(row => row.LogitRow >= 0))
            CopyLogits(LayerScripts.Head(x, weights.FinalNorm, weights.Head, config.RmsNormEpsilon, model.Group), logits);
        _rows.Clear();
    }

    private void CopyLogits(Tensor all, Span<float> logits)
    {
        int vocabulary = model.VocabularySize;
        int[] wanted = [.. Enumerable.Range(0, _rows.Count).Where(i => _rows[i].LogitRow >= 0)];
        Tensor own = all.index_select(0, tensor(wanted.Select(i => (long)i).ToArray(), device: all.device)).cpu().contiguous();
        float[] values = own.data<float>().ToArray();
        for (int i = 0; i < wanted.Length; i++)
            values.AsSpan(i * vocabulary, vocabulary).CopyTo(logits.Slice(_rows[wanted[i]].LogitRow * vocabulary, vocabulary));
    }

    // Rows that are filled up with token and position 0: their results go nowhere.
    private Tensor Integers(Func<(TorchSequence Sequence, int Token, int Position, int LogitRow), int> pick, Device device)
    {
        var values = new long[Rows];
        for (int i = 0; i < _rows.Count; i++)
            values[i] = pick(_rows[i]);
        return tensor(values, device: device);
    }

    private static Tensor Mask(Part part, Device device)
    {
        int length = (int)LayerPlacement.RoundUp(part.Position + part.Count, LayerPlacement.CacheBlock);
        var allowed = new bool[Rows * length];
        for (int row = 0; row < Rows; row++)
            allowed.AsSpan(row * length, part.Position + Math.Min(row, part.Count - 1) + 1).Fill(true);
        return tensor(allowed, device: device).view(Rows, length);
    }

    private List<Part> Parts()
    {
        var parts = new List<Part>();
        foreach (var (sequence, _, position, _) in _rows)
        {
            if (parts.Count > 0 && parts[^1] is { } last && last.Sequence == sequence && position % LayerPlacement.CacheBlock != 0)
                last.Count++;
            else
                parts.Add(new Part(sequence, parts.Sum(part => part.Count), position));
        }
        return parts;
    }

    /// <summary>Rows of one sequence at consecutive positions of one block.</summary>
    private sealed class Part(TorchSequence sequence, int first, int position)
    {
        public TorchSequence Sequence => sequence;
        public int First => first;
        public int Position => position;
        public int Count { get; set; } = 1;
        public Tensor? Mask { get; set; }
    }
}
