using System.Diagnostics;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>What an answer took: tokens of its prompt, tokens of the answer (the one that ended it included), and seconds.</summary>
public readonly record struct TimedAnswer(int PromptTokens, int CompletionTokens, double Seconds);

/// <summary>
/// Prices of tokens from the time that they take, so that what a policy is charged is what its user waits for.
/// </summary>
public static class MeasuredPrices
{
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(2);
    private const int Rounds = 3;

    /// <summary>Cost of an average answer of the largest stage, in the units of <see cref="OfStages"/>.</summary>
    public const double Largest = 10;

    /// <summary>
    /// Seconds of a token read and of a token written, times 10^6, by least squares through the origin over the answers; neither
    /// is below 0. Where all answers have the same ratio of tokens the two cannot be told apart: reading is then free.
    /// </summary>
    /// <exception cref="ArgumentException">No answer took any time.</exception>
    public static TokenPrice InSeconds(IReadOnlyList<TimedAnswer> answers)
    {
        double pp = 0,
            pc = 0,
            cc = 0,
            ps = 0,
            cs = 0;
        foreach (var (prompt, completion, seconds) in answers)
        {
            pp += (double)prompt * prompt;
            pc += (double)prompt * completion;
            cc += (double)completion * completion;
            ps += prompt * seconds;
            cs += completion * seconds;
        }
        if (!(ps + cs > 0))
            throw new ArgumentException("expected answers that took time, got none", nameof(answers));
        double determinant = pp * cc - pc * pc,
            read = determinant > 1e-9 * pp * cc ? (ps * cc - cs * pc) / determinant : 0,
            written = cc == 0 ? 0 : (cs - read * pc) / cc;
        if (read < 0 || cc == 0)
            (read, written) = cc == 0 ? (ps / pp, 0.0) : (0.0, cs / cc);
        else if (written < 0)
            (read, written) = (ps / pp, 0);
        return new TokenPrice(read * 1e6, written * 1e6);
    }

    /// <summary>
    /// Prices of every stage, from its answers to the same questions, in units in which an average answer of the last stage
    /// costs <see cref="Largest"/>.
    /// </summary>
    public static TokenPrice[] OfStages(StageReply[][] replies)
    {
        TokenPrice[] seconds =
        [
            .. replies.Select(stage =>
                InSeconds([.. stage.Select(reply => new TimedAnswer(reply.PromptTokens, reply.CompletionTokens, reply.Seconds))])
            ),
        ];
        double unit = Largest / replies[^1].Average(reply => seconds[^1].For(reply.PromptTokens, reply.CompletionTokens));
        return [.. seconds.Select(price => new TokenPrice(price.Input * unit, price.Output * unit))];
    }

    /// <summary>
    /// Every stage's answer to every question, one at a time and the stages in turn, with the least of its times: what
    /// disturbs a time adds to it. Nothing counts before the runtime has replaced its quick first code.
    /// </summary>
    /// <returns>By stage, then by question.</returns>
    public static StageReply[][] Time(
        Cascade cascade,
        IReadOnlyList<string> questions,
        Action<double>? progress = null,
        CancellationToken cancel = default
    )
    {
        StageReply[][] replies = [.. cascade.Stages.Select(_ => new StageReply[questions.Count])];
        var clock = Stopwatch.StartNew();
        for (int i = 0; clock.Elapsed < WarmUp; i = (i + 1) % questions.Count)
            foreach (IStage stage in cascade.Stages)
                stage.Answer(questions[i], cancel);
        for (int round = 0; round < Rounds; round++)
        for (int i = 0; i < questions.Count; i++)
        {
            progress?.Invoke((round + i / (double)questions.Count) / Rounds);
            for (int k = 0; k < replies.Length; k++)
                if (cascade.Stages[k].Answer(questions[i], cancel) is var reply && (round == 0 || reply.Seconds < replies[k][i].Seconds))
                    replies[k][i] = reply;
        }
        return replies;
    }
}
