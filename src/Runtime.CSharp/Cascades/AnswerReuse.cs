using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Models;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>Whether a stage verifies the answer that an earlier stage wrote instead of writing from nothing.</summary>
public enum AnswerReuseMode
{
    /// <summary>Where it is faster, by the stage's own times.</summary>
    Auto,

    /// <summary>Always, as many tokens in a forward as memory allows.</summary>
    Always,

    /// <summary>Never.</summary>
    Never,
}

/// <summary>
/// Decides for one model whether the answer that is there is verified, and how many of its tokens each forward takes. A
/// forward of g + 1 tokens takes about one of one token and g times what a prompt's token takes; both are learned from the
/// requests. <see cref="DraftController"/> weighs them against how often the tokens were accepted so far. Where nothing
/// pays, answers are written anew, and now and then a few are verified again: prompts and load change. Safe for threads.
/// </summary>
internal sealed class AnswerReuse(ITokenModel model, IReadOnlyList<int> stops, int maxTokens, AnswerReuseMode mode) : IDisposable
{
    /// <summary>Requests whose times are remembered; from the first half on there is something to plan with.</summary>
    private const int Remembered = 16;

    /// <summary>Requests that are verified before it is known whether that pays, and requests until the next such trial.</summary>
    private const int Trial = 16,
        NextTrial = 1000;

    /// <summary>Verifying goes on while the last answers took less than this share of writing them anew.</summary>
    private const double WorthIt = 0.97;

    private readonly Lock _lock = new();
    private readonly Queue<(double Token, double PromptToken)> _times = new(Remembered);
    private DraftController? _controller;
    private SpeculativeDecoder? _verifier;
    private readonly Queue<(double Charged, int Length)> _verified = new(Trial);
    private int _sinceTrial;
    private double _planned = double.NaN;

    /// <summary>The most tokens of a draft: the logits of so many are a reasonable memory.</summary>
    private int Longest => Math.Clamp((1 << 22) / model.VocabularySize, 8, mode == AnswerReuseMode.Always ? 96 : 32);

    /// <summary>What one more token in a forward takes, as a share of a forward of one token; NaN before it is known.</summary>
    public double TokenShare
    {
        get
        {
            lock (_lock)
                return _times.Count == 0 ? double.NaN : Share();
        }
    }

    /// <summary>Takes in the times of an answer that was written anew.</summary>
    /// <param name="promptSeconds">Of the forward that read the prompt.</param>
    /// <param name="tokens">Forwards of one token after it.</param>
    public void Observe(int promptTokens, double promptSeconds, int tokens, double seconds)
    {
        if (tokens < 1 || promptTokens < 2)
            return;
        double token = seconds / tokens;
        lock (_lock)
        {
            if (_times.Count == Remembered)
                _times.Dequeue();
            _times.Enqueue((token, Math.Max(0, promptSeconds - token) / (promptTokens - 1)));
        }
    }

    /// <summary>
    /// Takes in an answer that was verified, and says as how many tokens written one by one its forwards count: the first of
    /// each forward as one, the others by <see cref="TokenShare"/>.
    /// </summary>
    /// <param name="forwards">Forwards made, the prompt's among them.</param>
    /// <param name="fed">Tokens that they took, without the prompt's.</param>
    /// <param name="length">Tokens of the answer, the one that ended it included.</param>
    public double Charge(long forwards, long fed, int length)
    {
        lock (_lock)
        {
            double charged = forwards + Math.Max(0, fed - (forwards - 1)) * (_times.Count == 0 ? 0 : Share());
            if (_verified.Count == Trial)
                _verified.Dequeue();
            _verified.Enqueue((charged, length));
            return charged;
        }
    }

    /// <summary>The decoder to verify the next answer with; null where it is to be written anew.</summary>
    public SpeculativeDecoder? Next()
    {
        if (mode == AnswerReuseMode.Never)
            return null;
        lock (_lock)
        {
            if (mode == AnswerReuseMode.Always)
                return _verifier ??= Verifier(DraftController.Fixed(Longest));
            if (_times.Count < Remembered / 2)
                return null;
            _sinceTrial++;
            if (_controller is null || _sinceTrial >= NextTrial || !(Math.Abs(Math.Log(Share() / _planned)) < 0.7))
                Plan();
            return _sinceTrial < Trial || (_controller!.Drafts && Pays()) ? _verifier : null;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _verifier?.Dispose();

    private bool Pays() => _verified.Sum(answer => answer.Charged) < WorthIt * _verified.Sum(answer => answer.Length);

    private void Plan()
    {
        (_planned, _sinceTrial) = (Share(), 0);
        _verified.Clear();
        double[] verify = [.. Enumerable.Range(0, Longest + 1).Select(g => 1 + g * _planned)];
        _controller = DraftController.Adaptive(new ForwardCosts(0, 0, verify, 1));
        // A decoder in use by another request stays whole; its sequences are freed with the model.
        _verifier = Verifier(_controller);
    }

    // Medians, so that a request that another process disturbed counts little; never nothing, whatever the clock says.
    private double Share() =>
        Math.Max(1e-3, Median(_times.Select(t => t.PromptToken)) / Math.Max(1e-9, Median(_times.Select(t => t.Token))));

    private static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted[sorted.Length / 2];
    }

    private SpeculativeDecoder Verifier(DraftController controller) =>
        new([model], stops, maxTokens, [controller], () => new AnswerDraft());
}
