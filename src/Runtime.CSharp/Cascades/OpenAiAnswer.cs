using System.Text;
using OptimalStopping.Runtime.Decoding;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>
/// An answer as its events come in. The text is what the server sends as content, without thinking; the tokens that are
/// told and kept joined give that text. Confidence comes from the answer's own tokens: those of thinking, and special ones
/// that are no part of the text, do not count, but the one that ends the answer does, as it does in this process.
/// </summary>
internal sealed class OpenAiAnswer(string stage, ToldTokens told, int mostTokens, int alternatives)
{
    private readonly StringBuilder _text = new();
    private readonly List<StageToken> _tokens = [];
    private readonly List<ReportedToken> _counted = [];
    private readonly ThinkingFilter _thinking = new();
    private readonly List<ReportedToken> _pending = []; // reported, but their text has not come yet
    private readonly ToolCallBuilder _calls = new();
    private int _zeros; // log-probabilities of exactly 0 in a row
    private int _reported;
    private long _argumentCharacters;
    private bool _anything;

    public string Text => _text.ToString();
    public IReadOnlyList<StageToken> Tokens => _tokens;

    /// <summary>Tokens of the answer itself, with what the server reports of them.</summary>
    public IReadOnlyList<ReportedToken> Counted => _counted;

    /// <summary>The tools that the answer calls.</summary>
    public IReadOnlyList<ToolCall> ToolCalls => _calls.Calls;

    public string? FinishReason { get; private set; }
    public bool? Stopped { get; private set; }
    public (int Prompt, int Completion)? Usage { get; private set; }
    public ConfidenceFeatures? Features { get; private set; }
    public string? Fingerprint { get; private set; }
    public string? Model { get; private set; }

    /// <summary>Whether the server told the log-probabilities of its tokens, or features made of them.</summary>
    public bool HasLogProbabilities => _counted.Count > 0 || Features is not null;

    /// <summary>Whether anything of an answer has come.</summary>
    public bool Begun => _anything;

    /// <summary>Takes the next event.</summary>
    /// <exception cref="StageException">The stage's answer makes no sense, is too long, or declines to answer.</exception>
    public void Add(OpenAiChunk chunk)
    {
        if (chunk.Error is { } error)
            throw new StageException(stage, StageFailures.Refused, $"expected an answer, got the error: {error}") { MayPass = !_anything };
        if (chunk.Refusal != "")
            throw new StageException(
                stage,
                StageFailures.Filtered,
                $"expected an answer, got a refusal: {OpenAiProtocol.Short(chunk.Refusal)}"
            );
        _anything |= chunk.Content != "" || chunk.Tokens.Count > 0 || chunk.Reasoning != "" || chunk.ToolCalls.Count > 0;
        FinishReason = chunk.FinishReason ?? FinishReason;
        Stopped = chunk.Stopped ?? Stopped;
        Usage = chunk.Usage ?? Usage;
        Features = chunk.Features ?? Features;
        Fingerprint = chunk.Fingerprint ?? Fingerprint;
        Model = chunk.Model ?? Model;
        foreach (ReportedToken token in chunk.Tokens)
            Check(token);
        if (chunk.Reasoning != "" && chunk.Content == "")
            return;
        _pending.AddRange(chunk.Tokens);
        if (chunk.Content != "")
            Take(chunk.Content);
        foreach (ToolCallPiece piece in chunk.ToolCalls)
            Take(piece);
        if (FinishReason is null || _pending.Count == 0)
            return;
        // What is left has no text: the token that ended the answer.
        if (_pending.Count == 1 && !_thinking.Inside)
            _counted.Add(_pending[0]);
        _pending.Clear();
    }

    /// <summary>To be called once, after the last event.</summary>
    public void End()
    {
        if (_thinking.End() is { Length: > 0 } rest)
            Write(rest, null);
    }

    // Gives the text of a piece of content to the tokens that were reported with it; text without a token has no log-probability.
    private void Take(string content)
    {
        int at = 0;
        var decoder = Encoding.UTF8.GetDecoder();
        var characters = new char[64];
        foreach (ReportedToken token in _pending)
        {
            if (characters.Length < token.Bytes.Length + 4)
                characters = new char[token.Bytes.Length + 4];
            int count = decoder.GetChars(token.Bytes, characters, flush: false);
            var text = new string(characters, 0, count);
            if (string.CompareOrdinal(content, at, text, 0, text.Length) != 0)
                continue; // a special token, or one of thinking: no part of the text
            at += text.Length;
            Put(text, token);
        }
        _pending.Clear();
        if (at < content.Length)
            Put(content[at..], null);
    }

    // The tokens that are reported with a call wrote it: how sure they are is how sure the call is.
    private void Take(ToolCallPiece piece)
    {
        _calls.Add(piece);
        _counted.AddRange(_pending);
        _pending.Clear();
        _argumentCharacters += piece.Arguments.Length;
        if (_argumentCharacters > 256L * mostTokens)
            throw Invalid($"expected at most {mostTokens} tokens, got {_argumentCharacters} characters of arguments");
        var written = new StageToken(-1, "", double.NaN) { ToolCall = piece };
        _tokens.Add(written);
        if (!told.Tell(written))
            throw new StageException(stage, StageFailures.ConnectionLost, "expected the same answer on the second attempt, got another");
    }

    private void Put(string text, ReportedToken? token)
    {
        bool inside = _thinking.Inside;
        string visible = _thinking.Take(text);
        if (token is { } own && !inside && !_thinking.Inside)
            _counted.Add(own);
        if (visible == "" && (token is null || inside || _thinking.Inside || text != ""))
            return;
        Write(visible, token);
    }

    private void Write(string visible, ReportedToken? token)
    {
        _text.Append(visible);
        if (_text.Length > 256 * mostTokens)
            throw Invalid($"expected at most {mostTokens} tokens, got {_text.Length} characters");
        var written = new StageToken(-1, visible, token is { } known ? Math.Min(0, known.LogProbability) : double.NaN)
        {
            Alternatives = token is { } listed
                ?
                [
                    .. listed
                        .Alternatives.Take(alternatives)
                        .Select(other => new StageToken(-1, other.Text, Math.Min(0, other.LogProbability))),
                ]
                : [],
        };
        _tokens.Add(written);
        if (!told.Tell(written))
            throw new StageException(stage, StageFailures.ConnectionLost, "expected the same answer on the second attempt, got another");
    }

    // Greedy decoding gives no token less than its rivals, and no model is certain for long: what breaks these rules is made up.
    private void Check(ReportedToken token)
    {
        if (!(token.LogProbability <= 1e-3))
            throw Invalid($"expected log-probabilities of at most 0, got {token.LogProbability}");
        if (++_reported > mostTokens)
            throw Invalid($"expected at most {mostTokens} tokens, got more");
        double total = 0;
        foreach (ReportedToken other in token.Alternatives)
        {
            if (!(other.LogProbability <= 1e-3))
                throw Invalid($"expected log-probabilities of at most 0, got {other.LogProbability} for '{other.Text}'");
            total += Math.Exp(other.LogProbability);
        }
        if (total > 1.01)
            throw Invalid($"expected probabilities of the likeliest tokens that sum to at most 1, got {total:0.###}");
        _zeros = token.LogProbability == 0 ? _zeros + 1 : 0;
        if (_zeros >= OpenAiAnswerRules.LongestCertainty)
            throw Invalid(
                $"expected log-probabilities that a model computed, got 0 for {_zeros} tokens in a row (some servers report 0 for drafted tokens: switch speculation off, or set confidence: samples)"
            );
    }

    private StageException Invalid(string message) => new(stage, StageFailures.InvalidResponse, message);
}

internal static class OpenAiAnswerRules
{
    /// <summary>So many log-probabilities of exactly 0 in a row are not computed but made up.</summary>
    public const int LongestCertainty = 8;
}

/// <summary>Tokens are told once even when an attempt is repeated: greedy decoding writes the same again.</summary>
internal sealed class ToldTokens(Action<StageToken>? onToken)
{
    private readonly StringBuilder _told = new();
    private readonly List<ToolCallPiece> _pieces = [];
    private int _at,
        _atPiece;

    /// <summary>Whether a reader has seen anything.</summary>
    public bool Any => _told.Length > 0 || _pieces.Count > 0;

    public void Restart() => _at = _atPiece = 0;

    /// <summary>False when a repeated attempt writes something else than was told.</summary>
    public bool Tell(StageToken token)
    {
        if (onToken is null)
            return true;
        if (token.ToolCall is { } piece)
        {
            if (_atPiece < _pieces.Count)
                return _pieces[_atPiece++] == piece;
            _pieces.Add(piece);
            _atPiece++;
            onToken(token);
            return true;
        }
        string text = token.Text;
        int known = Math.Min(text.Length, _told.Length - _at);
        for (int i = 0; i < known; i++)
            if (_told[_at + i] != text[i])
                return false;
        _at += text.Length;
        if (known == text.Length && text != "")
            return true;
        _told.Append(text, known, text.Length - known);
        onToken(known == 0 ? token : token with { Text = text[known..] });
        return true;
    }
}

/// <summary>Leaves out a block of thinking that a server sends as part of the text.</summary>
internal sealed class ThinkingFilter
{
    private const string Opening = "<think>",
        Closing = "</think>";

    private readonly StringBuilder _held = new();
    private bool _decided,
        _trim;

    /// <summary>Whether the text so far ends inside a block of thinking, or may turn out to.</summary>
    public bool Inside { get; private set; }

    /// <summary>What of the text a reader is to see now.</summary>
    public string Take(string text)
    {
        if (_decided && !Inside)
            return Trimmed(text);
        _held.Append(text);
        string held = _held.ToString();
        if (!_decided)
        {
            string begun = held.TrimStart();
            if (begun.Length < Opening.Length && Opening.StartsWith(begun, StringComparison.Ordinal))
            {
                Inside = begun.Length > 0;
                return "";
            }
            _decided = true;
            Inside = begun.StartsWith(Opening, StringComparison.Ordinal);
            if (!Inside)
            {
                _held.Clear();
                return held;
            }
        }
        int end = held.IndexOf(Closing, StringComparison.Ordinal);
        if (end < 0)
            return "";
        Inside = false;
        _trim = true;
        _held.Clear();
        return Trimmed(held[(end + Closing.Length)..]);
    }

    /// <summary>What was held back in case it was the beginning of thinking.</summary>
    public string End()
    {
        string held = _decided ? "" : _held.ToString();
        _held.Clear();
        Inside &= _decided;
        _decided = true;
        return held;
    }

    // The template puts empty lines between thinking and answer.
    private string Trimmed(string text)
    {
        if (!_trim)
            return text;
        text = text.TrimStart('\n');
        _trim = text == "";
        return text;
    }
}

/// <summary>
/// Confidence features from what the protocol tells of each token: its log-probability and those of the likeliest few.
/// Sum, mean, minimum and length are exact. Margin is the lead over the best other token of the list. Entropy takes
/// what the list leaves of the probability as one more token, which is a lower bound.
/// </summary>
internal static class ReportedFeatures
{
    /// <summary>Features of an answer.</summary>
    /// <param name="tokens">At least one.</param>
    public static ConfidenceFeatures From(IReadOnlyList<ReportedToken> tokens)
    {
        double sum = 0,
            least = 0,
            margin = double.PositiveInfinity,
            entropy = 0;
        foreach (ReportedToken token in tokens)
        {
            double own = Math.Min(0, token.LogProbability);
            sum += own;
            least = Math.Min(least, own);
            margin = Math.Min(margin, Margin(token));
            entropy += Entropy(token);
        }
        return new ConfidenceFeatures(sum, sum / tokens.Count, least, margin, entropy / tokens.Count, tokens.Count);
    }

    /// <summary>Features that stand for a probability which something else than the model's tokens gives.</summary>
    /// <param name="probability">In (0,1).</param>
    /// <param name="runnerUp">Probability of the best other answer, in (0,1).</param>
    /// <param name="entropy">Of the answers, in nats.</param>
    public static ConfidenceFeatures FromProbability(double probability, double runnerUp, double entropy, int length)
    {
        double log = Math.Log(probability);
        return new ConfidenceFeatures(log, log, log, Math.Max(0, log - Math.Log(runnerUp)), entropy, Math.Max(1, length));
    }

    // Several tokens may have the same text (bytes of one character): the token itself is the one with its bytes and its
    // log-probability, and if the list tells bytes apart by nothing, the first with its log-probability.
    private static double Margin(ReportedToken token)
    {
        int own = -1;
        for (int i = 0; i < token.Alternatives.Count && own < 0; i++)
            if (
                Math.Abs(token.Alternatives[i].LogProbability - token.LogProbability) < 1e-6
                && token.Alternatives[i].Bytes.AsSpan().SequenceEqual(token.Bytes)
            )
                own = i;
        for (int i = 0; i < token.Alternatives.Count && own < 0; i++)
            if (token.Alternatives[i].Text == token.Text || Math.Abs(token.Alternatives[i].LogProbability - token.LogProbability) < 1e-6)
                own = i;
        double best = double.NegativeInfinity;
        for (int i = 0; i < token.Alternatives.Count; i++)
            if (i != own)
                best = Math.Max(best, token.Alternatives[i].LogProbability);
        // Without another token in the list, what is left of the probability bounds it.
        if (double.IsNegativeInfinity(best))
            best = Math.Log(Math.Max(1e-12, 1 - Math.Exp(token.LogProbability)));
        return Math.Max(0, token.LogProbability - best);
    }

    private static double Entropy(ReportedToken token)
    {
        double total = 0,
            entropy = 0;
        foreach (ReportedToken other in token.Alternatives)
        {
            double p = Math.Exp(other.LogProbability);
            total += p;
            if (p > 0)
                entropy -= p * other.LogProbability;
        }
        double rest = 1 - total;
        return rest > 1e-12 ? entropy - rest * Math.Log(rest) : entropy;
    }
}
