using System.Diagnostics;
using OptimalStopping.Runtime.Tasks;
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
    private const int ReportEvery = 500;
    private static readonly TimeSpan CheckpointEvery = TimeSpan.FromMinutes(4);
    private const int StepsBetweenCollections = 8;
    private readonly TrainingRecipe _recipe;
    private readonly TrainingTexts _texts;
    private readonly Muon _muon;
    private readonly Adam _adam;

    public TrainableQwen3 Model { get; }

    public Trainer(TrainingRecipe recipe, TrainingTexts texts, int threads)
    {
        set_num_threads(threads);
        _recipe = recipe;
        _texts = texts;
        Model = new TrainableQwen3(recipe, texts.Tokenizer.VocabularySize);
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
        TimeSpan saved = TimeSpan.Zero;
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
            bool last = step + 1 == _recipe.Steps,
                flatEnds = step + 1 == _recipe.DecayStart && !last;
            if ((step + 1) % ReportEvery == 0 || last || flatEnds || watch.Elapsed - saved > CheckpointEvery)
            {
                TrainingCheckpoint.Write(checkpoint, _recipe, step + 1, Tensors);
                if (flatEnds) // a longer plan may go on from here
                    File.Copy(checkpoint, Path.Combine(folder, "checkpoint-flat.bin"), overwrite: true);
                saved = watch.Elapsed;
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
        Func<TrainingText> next = _texts.Open(QuerySplit.Train, unchecked(_recipe.Seed * 1_000_003 + step));
        PackedBatch batch = Pack(next, _recipe.PromptWeight);
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
        Func<TrainingText> next = _texts.Open(QuerySplit.Calibration, 1);
        var results = new List<(string Family, bool Exact)>();
        for (int i = 0; i < batches; i++)
        {
            using var scope = NewDisposeScope();
            PackedBatch batch = Pack(next, promptWeight: 0);
            long[] chosen = Logits(batch).argmax(-1).data<long>().ToArray();
            foreach (var (query, first, count) in batch.Spans)
                results.Add((query.Family, chosen.AsSpan(first, count).SequenceEqual(batch.Targets.AsSpan(first, count))));
        }
        return (
            results.Average(r => r.Exact ? 1.0 : 0.0),
            results.GroupBy(r => r.Family).ToDictionary(g => g.Key, g => g.Average(r => r.Exact ? 1.0 : 0.0))
        );
    }

    private PackedBatch Pack(Func<TrainingText> next, double promptWeight) =>
        PackedBatch.Pack(next, _texts.Tokenizer.EndOfText, _recipe.Rows, _recipe.RowLength, promptWeight);

    private Tensor Logits(PackedBatch batch) =>
        Model.Forward(
            tensor(batch.Tokens, [_recipe.Rows, _recipe.RowLength]),
            tensor(batch.Mask, [_recipe.Rows, 1, 1, _recipe.RowLength, _recipe.RowLength]),
            tensor(batch.Positions)
        );

    public void Dispose() => Model.Dispose();
}
