namespace OptimalStopping.Runtime.Decoding;

/// <summary>What one stage of a chain did for one request (or, summed, for many).</summary>
public sealed record StageSpeculation(string Model, int MaxDraft)
{
    /// <summary>Forwards made, the prompt's among them.</summary>
    public long Forwards { get; internal set; }

    /// <summary>Tokens fed through the model, those of the prompt and rejected ones among them.</summary>
    public long TokensFed { get; internal set; }

    /// <summary>Tokens that the stage put out; the last stage's are the answer with its end token.</summary>
    public long TokensOut { get; internal set; }

    /// <summary>Tokens that were drafted for this stage.</summary>
    public long Drafted { get; internal set; }

    /// <summary>Wall-clock seconds in this stage's own forwards.</summary>
    public double Seconds { get; internal set; }

    /// <summary>Entry j: drafts whose token j (from 0) was looked at, all before it being accepted.</summary>
    public long[] Tested { get; } = new long[MaxDraft];

    /// <summary>Entry j: drafts whose token j was accepted.</summary>
    public long[] AcceptedAt { get; } = new long[MaxDraft];

    /// <summary>Drafted tokens accepted.</summary>
    public long Accepted => AcceptedAt.Sum();

    /// <summary>Accepted tokens per token looked at: the maximum-likelihood estimate of an acceptance rate that is the
    /// same at every position. NaN where nothing was drafted.</summary>
    public double AcceptanceRate => Tested.Sum() is > 0 and var tested ? Accepted / (double)tested : double.NaN;

    /// <summary>Tokens put out per forward.</summary>
    public double TokensPerForward => TokensOut / (double)Forwards;

    internal void Add(StageSpeculation other)
    {
        Forwards += other.Forwards;
        TokensFed += other.TokensFed;
        TokensOut += other.TokensOut;
        Drafted += other.Drafted;
        Seconds += other.Seconds;
        for (int j = 0; j < MaxDraft; j++)
        {
            Tested[j] += other.Tested[j];
            AcceptedAt[j] += other.AcceptedAt[j];
        }
    }
}

/// <summary>What a chain did, stage by stage from the first drafter to the target.</summary>
public sealed record SpeculationMetrics(IReadOnlyList<StageSpeculation> Stages)
{
    /// <summary>The stage whose answer it is.</summary>
    public StageSpeculation Target => Stages[^1];

    /// <summary>The sum over requests of one chain (at least one).</summary>
    public static SpeculationMetrics Sum(IEnumerable<SpeculationMetrics> requests)
    {
        StageSpeculation[]? sum = null;
        foreach (SpeculationMetrics request in requests)
        {
            sum ??= [.. request.Stages.Select(stage => new StageSpeculation(stage.Model, stage.MaxDraft))];
            for (int k = 0; k < sum.Length; k++)
                sum[k].Add(request.Stages[k]);
        }
        return new SpeculationMetrics(sum ?? throw new ArgumentException("expected at least one request", nameof(requests)));
    }
}

/// <summary>What the target says of the first draft of a request, from the forward that verified it.</summary>
/// <param name="LogProbabilities">Of each drafted token, given the prompt and the draft before it.</param>
/// <param name="Accepted">How many from the start were accepted.</param>
public sealed record FirstDraft(double[] LogProbabilities, int Accepted)
{
    /// <summary>Share of the draft that was accepted; 0 where there was none.</summary>
    public double AcceptedFraction => LogProbabilities.Length == 0 ? 0 : Accepted / (double)LogProbabilities.Length;
}

/// <summary>An answer with what it took to decode it.</summary>
/// <param name="FirstDraft">Where the draft was a finished answer, this is the target's opinion of the answer.</param>
public sealed record SpeculativeGeneration(Generation Generation, SpeculationMetrics Metrics, FirstDraft FirstDraft);
