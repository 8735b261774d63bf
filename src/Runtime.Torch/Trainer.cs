using System.Diagnostics;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Tokenization;
using TorchSharp;
using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch;

/// <summary>What a training run reports every so often.</summary>
/// <param name="Exact">Share of held-out calibration queries whose whole solution is the model's own greedy choice.</param>
public sealed record TrainingReport(
    string Name,
    int Step,
    int Steps,
    double Loss,
    double? Exact,
    double TokensPerSecond,
    IReadOnlyDictionary<string, double>? ExactByFamily
);

/// <summary>
/// Trains one model after its recipe. Batches are a function of seed and step, so a run that was interrupted and
/// resumed from its checkpoint sees the same data as one that was not.
/// </summary>
public sealed class Trainer : IDisposable
{
    private const int CheckpointEvery = 500;
    private const int StepsBetweenCollections = 8;
    private readonly TrainingRecipe _recipe;
    private readonly ITokenizer _tokenizer = CharacterTokenizer.Nano;
    private readonly Muon _muon;
    private readonly Adam _adam;

    public TrainableQwen3 Model { get; }

    public Trainer(TrainingRecipe recipe, int threads)
    {
        set_num_threads(threads);
        _recipe = recipe;
        Model = new TrainableQwen3(recipe, _tokenizer.VocabularySize);
        _muon = new Muon(Model.Matrices);
        _adam = new Adam(Model.Others);
    }

    /// <summary>Runs the steps that are left; a checkpoint in <paramref name="folder"/> is continued from.</summary>
    /// <exception cref="OperationCanceledException">Cancelled; the last checkpoint stays and is continued from next time.</exception>
    public void Run(string folder, Action<TrainingReport> report, CancellationToken cancel = default)
    {
        Directory.CreateDirectory(folder);
        string checkpoint = Path.Combine(folder, "checkpoint.bin");
        int step = TrainingCheckpoint.TryRead(checkpoint, _recipe, Tensors) ?? 0;
        var watch = Stopwatch.StartNew();
        int startedAt = step;
        double loss = 0;
        if (step == _recipe.Steps)
            return;
        for (; step < _recipe.Steps; step++)
        {
            if (cancel.IsCancellationRequested)
            {
                TrainingCheckpoint.Write(checkpoint, _recipe, step, Tensors);
                throw new OperationCanceledException(cancel);
            }
            if ((step - startedAt) % StepsBetweenCollections == 0)
                CollectNow();
            double now = TrainStep(step);
            loss = step == startedAt ? now : 0.98 * loss + 0.02 * now;
            bool last = step + 1 == _recipe.Steps;
            if ((step + 1) % CheckpointEvery == 0 || last)
            {
                TrainingCheckpoint.Write(checkpoint, _recipe, step + 1, Tensors);
                double rate = (step + 1 - startedAt) * (double)_recipe.Rows * _recipe.RowLength / watch.Elapsed.TotalSeconds;
                var exact = Evaluate(last ? 60 : 12);
                report(new TrainingReport(_recipe.Name, step + 1, _recipe.Steps, loss, exact.Overall, rate, exact.ByFamily));
            }
        }
    }

    private IEnumerable<Tensor> Tensors => Model.Matrices.Concat(Model.Others).Concat(_muon.State).Concat(_adam.State);

    // TorchSharp's own operators convert numbers to temporary scalars whose finalisers can free the native value while
    // the native call still reads it (seen as "Expected false to be true" once in some ten thousand calls). So the
    // collector runs between steps only.
    private static void CollectNow()
    {
        if (System.Runtime.GCSettings.LatencyMode == System.Runtime.GCLatencyMode.NoGCRegion)
            GC.EndNoGCRegion();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.TryStartNoGCRegion(200L << 20);
    }

    private double TrainStep(int step)
    {
        using var scope = NewDisposeScope();
        var queries = new QueryGenerator(unchecked(_recipe.Seed * 1_000_003 + step), QuerySplit.Train, _recipe.Families);
        PackedBatch batch = PackedBatch.Pack(queries.Next, _tokenizer, _recipe.Rows, _recipe.RowLength);
        Tensor logits = Logits(batch);
        Tensor losses = nn.functional.cross_entropy(logits, tensor(batch.Targets), reduction: nn.Reduction.None);
        Tensor loss = (losses * tensor(batch.Weights)).sum();
        foreach (Tensor parameter in Model.Matrices.Concat(Model.Others))
            parameter.grad?.zero_();
        loss.backward();
        double rate = _recipe.RateAt(step);
        using (no_grad())
        {
            _muon.Step(rate);
            _adam.Step(0.7 * rate, step);
        }
        return loss.item<float>();
    }

    /// <summary>
    /// Share of calibration queries whose whole solution would be written by greedy decoding: every token of it is the
    /// most probable one given those before it.
    /// </summary>
    public (double Overall, IReadOnlyDictionary<string, double> ByFamily) Evaluate(int batches)
    {
        using var inference = no_grad();
        var queries = new QueryGenerator(1, QuerySplit.Calibration, _recipe.Families);
        var results = new List<(string Family, bool Exact)>();
        for (int i = 0; i < batches; i++)
        {
            using var scope = NewDisposeScope();
            PackedBatch batch = PackedBatch.Pack(queries.Next, _tokenizer, _recipe.Rows, _recipe.RowLength);
            long[] chosen = Logits(batch).argmax(-1).data<long>().ToArray();
            foreach (var (query, first, count) in batch.Spans)
                results.Add((query.Family, chosen.AsSpan(first, count).SequenceEqual(batch.Targets.AsSpan(first, count))));
        }
        return (
            results.Average(r => r.Exact ? 1.0 : 0.0),
            results.GroupBy(r => r.Family).ToDictionary(g => g.Key, g => g.Average(r => r.Exact ? 1.0 : 0.0))
        );
    }

    private Tensor Logits(PackedBatch batch) =>
        Model.Forward(
            tensor(batch.Tokens, [_recipe.Rows, _recipe.RowLength]),
            tensor(batch.Mask, [_recipe.Rows, 1, 1, _recipe.RowLength, _recipe.RowLength]),
            tensor(batch.Positions)
        );

    public void Dispose() => Model.Dispose();
}
