using System.Buffers;
using System.Text;
using System.Threading.Channels;
using OptimalStopping.Runtime.Cascades;

namespace OptimalStopping.Server;

/// <summary>One event of a stream: JSON, or the fault that ends it; neither for its good end.</summary>
internal readonly record struct Chunk(byte[]? Json, Exception? Error);

/// <summary>
/// Turns what happens on the cascade into the chunks of a stream. The client of the protocol sees the answer that is
/// returned, and nothing of those that are not: text is held back until it is sure to stay, which it is at once where one
/// stage answers alone or the last stage writes and its answer is final. A request with <c>toolkit_events</c> sees it all.
/// </summary>
internal sealed class AnswerStream
{
    private readonly OpenAiRequest _request;
    private readonly OpenAiResponse _response;
    private readonly CascadeService _service;
    private readonly Channel<Chunk> _chunks = Channel.CreateUnbounded<Chunk>(
        new UnboundedChannelOptions { SingleReader = true, SingleWriter = true }
    );
    private readonly List<StageAnswer> _turns = [];
    private readonly long _created = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
    private readonly bool _alone;
    private bool _opened;
    private readonly Action _onBroken;
    private readonly StringBuilder _out = new(); // the text that is out
    private int _live, // tokens that are out
        _liveStage = -1;

    /// <param name="onBroken">Called when text is out that can no longer become an answer: what is computed is of no use.</param>
    public AnswerStream(OpenAiRequest request, CascadeService service, int stage, string id, Action onBroken)
    {
        (_request, _service, Id, _onBroken) = (request, service, id, onBroken);
        _response = new OpenAiResponse(request, service.File);
        _alone = stage >= 0;
        Events = new CascadeEvents
        {
            TokenWritten = Token,
            StageAnswered = Answered,
            StageFailed = Failed,
            StageStarted = request.Events ? Started : null,
        };
    }

    public string Id { get; }

    public CascadeEvents Events { get; }

    public ChannelReader<Chunk> Chunks => _chunks.Reader;

    /// <summary>The policy at work; null where one stage answers alone.</summary>
    public ServedPolicy? Policy { get; set; }

    public void End(ServedAnswer answer)
    {
        string text = answer.Reply.Text;
        if (_live > 0 && (answer.Answer.Chosen.Stage != _liveStage || !text.StartsWith(_out.ToString(), StringComparison.Ordinal)))
        {
            Fail(
                new StageException(
                    _service.File.Stages[_liveStage].Name,
                    StageFailures.ConnectionLost,
                    "expected the rest of the answer, got another"
                )
            );
            return;
        }
        Open();
        IReadOnlyList<StageToken> tokens = answer.Reply.Tokens;
        string rest = text[_out.Length..];
        if (string.Concat(tokens.Skip(_live).Select(token => token.Text)) == rest)
            for (int i = _live; i < tokens.Count; i++)
                Write(tokens[i]);
        else if (rest.Length > 0) // cut inside a token by a stop text
            Put(output => _response.Chunk(output, Id, _created, rest, [.. tokens.Skip(_live)], _out.Length));
        Put(output => _response.Last(output, answer));
        if (_request.IncludeUsage)
            Put(output => _response.UsageChunk(output, answer));
        _chunks.Writer.TryWrite(default);
    }

    public void Fail(Exception fault) => _chunks.Writer.TryWrite(new Chunk(null, fault));

    private void Started(int stage) => Put(output => _response.Event(output, Id, _created, "stage_started", stage));

    private void Token(int stage, StageToken token)
    {
        if (_request.Events)
            Put(output => _response.Event(output, Id, _created, "token", stage, json =>
                {
                    json.WriteString("text", token.Text);
                    ServerJson.Number(json, "logprob", token.LogProbability);
                }));
        bool final = _alone || (Policy is { LastIsFinal: true } && stage == _service.File.Stages.Count - 1);
        if (!final || _request.Stage.Stop.Count > 0)
            return;
        Open();
        _liveStage = stage;
        Write(token);
        _live++;
    }

    private void Answered(StageAnswer turn)
    {
        _turns.Add(turn);
        if (!_request.Events)
            return;
        double threshold = double.NaN;
        if (Policy is not null)
        {
            double[] context = Policy.Features?.Ask(_request.Stage.Prompt.Question ?? "", _request.Stage.Dataset).Context ?? [];
            threshold = PolicyStore.Threshold(Policy.Policy, context, _turns);
        }
        Put(output => _response.Event(output, Id, _created, "stage_answered", turn.Stage, json =>
            {
                _response.Turn(json, turn, named: false);
                ServerJson.Number(json, "threshold", threshold);
                json.WriteString("text", turn.Text);
            }));
    }

    private void Failed(int stage, StageException failure)
    {
        if (_request.Events)
            Put(output => _response.Event(output, Id, _created, "stage_failed", stage, json =>
                {
                    json.WriteString("failure", failure.Kind);
                    json.WriteString("message", failure.Message);
                }));
        if (stage != _liveStage)
            return;
        // No other stage's answer can follow what the client has read.
        Fail(failure);
        _onBroken();
    }

    private void Open()
    {
        if (_opened)
            return;
        _opened = true;
        if (_request.Chat)
            Put(output => _response.Chunk(output, Id, _created, null, [], 0));
    }

    private void Write(StageToken token)
    {
        Put(output => _response.Chunk(output, Id, _created, token.Text, [token], _out.Length));
        _out.Append(token.Text);
    }

    private void Put(Action<IBufferWriter<byte>> write)
    {
        var output = new ArrayBufferWriter<byte>(256);
        write(output);
        _chunks.Writer.TryWrite(new Chunk(output.WrittenSpan.ToArray(), null));
    }
}
