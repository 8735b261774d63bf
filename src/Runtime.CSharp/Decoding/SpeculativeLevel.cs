using System.Diagnostics;
using System.Numerics.Tensors;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Theory;

namespace OptimalStopping.Runtime.Decoding;

/// <summary>
/// One model of a chain with its sequence. Each round it has its source draft, verifies the draft in one forward, takes
/// back the rejected part of its key-value cache and puts out the accepted tokens and one of its own. Without a source a
/// round is one token of plain decoding. A level is itself a source for the level above, so that chains of any length
/// are made of this class alone.
/// </summary>
internal sealed class SpeculativeLevel : IDraftSource
{
    private readonly ITokenModel _model;
    private readonly IDraftSource? _source;
    private readonly DraftController? _controller;
    private readonly int[] _stops;
    private readonly int _vocabulary,
        _rows;
    private readonly float[] _logits,
        _exponentials;
    private readonly int[] _offered = new int[DraftBlock.Bins],
        _tested = new int[DraftBlock.Bins],
        _accepted = new int[DraftBlock.Bins];
    private readonly int[] _bins,
        _verifications;
    private readonly double[] _logProbabilities;
    private double[] _distributions = [],
        _scratch = [];
    private int[] _tokens = [];
    private ITokenSequence? _sequence;
    private DraftBlock? _block;
    private SamplingOptions _sampling;
    private SplitMix64 _random = new(0);
    private DraftRule _rule = DraftRule.None;
    private FeatureAccumulator _features;
    private int _count,
        _capacity,
        _drafts;
    private double _draftSeconds,
        _verifySeconds;

    public SpeculativeLevel(ITokenModel model, IDraftSource? source, DraftController? controller, int maxDraft, int[] stops)
    {
        (_model, _source, _controller, _stops, _vocabulary) = (model, source, controller, stops, model.VocabularySize);
        // Small vocabularies get rows enough to take the prompt and the first draft in one forward.
        _rows = maxDraft + Math.Clamp((1 << 18) / _vocabulary, 2, 64);
        _logits = new float[_rows * _vocabulary];
        _exponentials = new float[_vocabulary];
        _bins = new int[maxDraft + 1];
        _verifications = new int[maxDraft + 1];
        _logProbabilities = new double[maxDraft + 1];
        Metrics = new StageSpeculation(model.Name, maxDraft);
        MaxDraft = maxDraft;
    }

    public int MaxDraft { get; }
    public IDraftSource? Source => _source;
    public StageSpeculation Metrics { get; private set; }

    /// <summary>Whether the confidence features of what is put out are gathered: for the level whose answer it is.</summary>
    public bool GathersFeatures { get; init; }

    public ConfidenceFeatures Features => _features.ToFeatures();

    /// <summary>Log-probabilities of the tokens that the last round put out, where features are gathered.</summary>
    public ReadOnlySpan<double> LogProbabilities => _logProbabilities;

    /// <summary>What this level says of the first draft that it was given.</summary>
    public FirstDraft FirstDraft { get; private set; } = new([], 0);

    /// <summary>Prompt and answer, as far as they are known.</summary>
    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, _count);

    public void Start(in DraftRequest request)
    {
        _source?.Start(request);
        (_capacity, _sampling, _random) = (Math.Min(request.Capacity, _model.MaxPositions), request.Sampling, request.Random);
        if (_sequence is null || _sequence.Capacity < _capacity)
        {
            _sequence?.Dispose();
            _sequence = _model.NewSequence(_capacity);
        }
        _sequence.Truncate(0);
        // Drafted tokens lie behind the known ones, so that one forward takes both from one place.
        if (_tokens.Length < request.Capacity + MaxDraft + 2)
            _tokens = new int[request.Capacity + MaxDraft + 2];
        bool distributions = !_sampling.IsGreedy;
        if (distributions && _distributions.Length == 0)
            (_distributions, _scratch) = (new double[(MaxDraft + 1) * _vocabulary], new double[_vocabulary]);
        if (_source is not null && _block?.WantsDistributions != distributions)
            _block = new DraftBlock(MaxDraft, _vocabulary, distributions);
        _rule = _controller?.NextRule() ?? DraftRule.None;
        Array.Clear(_offered);
        Array.Clear(_tested);
        Array.Clear(_accepted);
        Array.Clear(_verifications);
        (_drafts, _draftSeconds, _verifySeconds) = (0, 0, 0);
        Metrics = new StageSpeculation(_model.Name, MaxDraft);
        _features = default;
        FirstDraft = new([], 0);
        _count = 0;
    }

    /// <summary>Ends a request: the controllers learn from it.</summary>
    public void Finish()
    {
        (_source as SpeculativeLevel)?.Finish();
        _controller?.Learn(_offered, _tested, _accepted);
        _controller?.LearnCosts(_draftSeconds, _drafts, Metrics.Drafted, _verifySeconds, _verifications);
    }

    public void Draft(ReadOnlySpan<int> context, DraftBlock block)
    {
        if (context.Length >= _capacity)
            return;
        SyncPrefix(context);
        while (block.GoesOn)
        {
            int first = _count;
            int emitted =
                _source is null && _sampling.IsGreedy && !block.WantsConfidence
                    ? AdvanceByToken()
                    : Advance(Math.Min(block.Room, _capacity - _count + 1));
            for (int i = 0; i < emitted; i++)
            {
                int token = _tokens[first + i];
                if (
                    !block.Offer(token, _bins[i], block.WantsDistributions ? _distributions.AsSpan(i * _vocabulary, _vocabulary) : [])
                    || Ends(token)
                )
                    return;
            }
            if (_count > _capacity)
                return;
        }
    }

    /// <summary>Takes over a context; what the sequence holds of it stays.</summary>
    public void SyncPrefix(ReadOnlySpan<int> context)
    {
        int common = context.CommonPrefixLength(_tokens.AsSpan(0, _count));
        // The last token is fed again even if it is held: its logits are wanted.
        int held = Math.Min(Math.Min(_sequence!.Length, common), context.Length - 1);
        if (held < _sequence.Length)
            _sequence.Truncate(held);
        context[common..].CopyTo(_tokens.AsSpan(common));
        _count = context.Length;
    }

    /// <summary>One round, which puts out 1 to <paramref name="most"/> tokens behind the known ones.</summary>
    /// <returns>How many; fewer where the end token came.</returns>
    public int Advance(int most)
    {
        int drafted = DraftFor(most);
        // An end token that is drafted last needs no logits of its own.
        int fed = drafted > 0 && Ends(_tokens[_count + drafted - 1]) ? drafted - 1 : drafted;
        int last = Forward(fed);
        double[]? opinion = GathersFeatures && drafted > 0 && Metrics.TokensOut == 0 ? Opinion(last, drafted) : null;
        int i = 0;
        while (true)
        {
            Span<float> logits = _logits.AsSpan((last + i) * _vocabulary, _vocabulary);
            int proposal = i < drafted ? _tokens[_count + i] : -1;
            int token = _sampling.IsGreedy ? Choose(logits, i) : Sample(logits, i, proposal, out proposal);
            bool accepted = token == proposal;
            _logProbabilities[i] = _features.LastLogProbability;
            if (i < drafted)
                Count(i, accepted);
            _tokens[_count + i++] = token;
            if (!accepted || Ends(token))
                break;
        }
        _count += i;
        if (_sequence!.Length > _count - 1)
            _sequence.Truncate(_count - 1);
        Metrics.TokensOut += i;
        if (opinion is not null)
            FirstDraft = new(opinion, (int)Metrics.Accepted);
        return i;
    }

    /// <summary>One token of plain greedy decoding of which nothing else is wanted, so that most logits need not be computed.</summary>
    private int AdvanceByToken()
    {
        long start = Stopwatch.GetTimestamp();
        ReadOnlySpan<int> pending = _tokens.AsSpan(_sequence!.Length, _count - _sequence.Length);
        _tokens[_count++] = _sequence.ForwardGreedily(pending, _logits.AsSpan(0, _vocabulary));
        _bins[0] = 0;
        Metrics.Seconds += Stopwatch.GetElapsedTime(start).TotalSeconds;
        CountForward(pending.Length);
        Metrics.TokensOut++;
        return 1;
    }

    public void Dispose()
    {
        _sequence?.Dispose();
        _source?.Dispose();
    }

    private int DraftFor(int most)
    {
        if (_source is null || most < 2)
            return 0;
        _block!.Begin(_rule, most - 1);
        if (!_block.GoesOn)
            return 0;
        long start = Stopwatch.GetTimestamp();
        _source.Draft(_tokens.AsSpan(0, _count), _block);
        _drafts++;
        _draftSeconds += Stopwatch.GetElapsedTime(start).TotalSeconds;
        int drafted = _block.Count;
        _block.Tokens.CopyTo(_tokens.AsSpan(_count));
        for (int j = 0; j < drafted; j++)
            _offered[_block.Bin(j)]++;
        Metrics.Drafted += drafted;
        return drafted;
    }

    /// <summary>Feeds what is not held yet and the first drafted tokens; returns the row of the last known token.</summary>
    private int Forward(int drafted)
    {
        long start = Stopwatch.GetTimestamp();
        int pending = _count - _sequence!.Length;
        if (pending + drafted > _rows)
        {
            _sequence.Forward(_tokens.AsSpan(_sequence.Length, pending - 1), _logits.AsSpan(0, _vocabulary));
            CountForward(pending - 1);
            pending = 1;
        }
        int rows = pending + drafted;
        _sequence.ForwardAll(_tokens.AsSpan(_sequence.Length, rows), _logits.AsSpan(0, rows * _vocabulary));
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Metrics.Seconds += seconds;
        if (pending == 1) // otherwise it reads a prompt too
        {
            _verifySeconds += seconds;
            _verifications[drafted]++;
        }
        CountForward(rows);
        return pending - 1;
    }

    private void CountForward(int tokens)
    {
        Metrics.Forwards++;
        Metrics.TokensFed += tokens;
    }

    private double[] Opinion(int last, int drafted)
    {
        var logs = new double[drafted];
        for (int i = 0; i < drafted; i++)
        {
            ReadOnlySpan<float> logits = _logits.AsSpan((last + i) * _vocabulary, _vocabulary);
            TensorPrimitives.Subtract(logits, logits[_tokens[_count + i]], _exponentials);
            float top = TensorPrimitives.Max<float>(_exponentials);
            TensorPrimitives.Subtract(_exponentials, top, _exponentials);
            TensorPrimitives.Exp<float>(_exponentials, _exponentials);
            logs[i] = -top - Math.Log(TensorPrimitives.Sum<float>(_exponentials));
        }
        return logs;
    }

    private int Choose(Span<float> logits, int i)
    {
        if (GathersFeatures)
            return _features.Observe(logits);
        int best = TensorPrimitives.IndexOfMax<float>(logits);
        TensorPrimitives.Subtract(logits, logits[best], _exponentials);
        TensorPrimitives.Exp<float>(_exponentials, _exponentials);
        _exponentials[best] = 0;
        double others = TensorPrimitives.Sum<float>(_exponentials);
        _bins[i] = ConfidenceBins.From(others / (1 + others));
        return best;
    }

    // A replacement never counts as accepted, though it cannot be the drafted token unless rounding leaves no other.
    private int Sample(Span<float> logits, int i, int drafted, out int accepted)
    {
        Span<double> distribution = _distributions.AsSpan(i * _vocabulary, _vocabulary);
        TokenDistribution.Fill(logits, _sampling, distribution, _scratch);
        _bins[i] = ConfidenceBins.From(1 - TensorPrimitives.Max<double>(distribution));
        accepted = -1;
        int token;
        if (drafted < 0)
            token = TokenDistribution.Draw(distribution, _random);
        else
        {
            (token, bool kept) = TokenDistribution.AcceptOrReplace(distribution, _block!.Distribution(i), drafted, _scratch, _random);
            if (kept)
                accepted = token;
        }
        if (GathersFeatures)
            _features.Observe(logits, token);
        return token;
    }

    private void Count(int position, bool accepted)
    {
        int bin = _block!.Bin(position);
        _tested[bin]++;
        Metrics.Tested[position]++;
        if (!accepted)
            return;
        _accepted[bin]++;
        Metrics.AcceptedAt[position]++;
    }

    private bool Ends(int token) => Array.IndexOf(_stops, token) >= 0;
}
