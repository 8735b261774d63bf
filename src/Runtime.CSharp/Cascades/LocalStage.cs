using System.Diagnostics;
using System.Numerics.Tensors;
using System.Text.Json;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Hub;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>A stage whose model runs in this process; the model is disposed with it.</summary>
/// <param name="stage">Its name and cost.</param>
/// <param name="tokenizer">The model's; its stop tokens end an answer.</param>
/// <param name="maxTokens">The most tokens of an answer.</param>
/// <param name="chat">How a conversation becomes a prompt.</param>
/// <param name="reuse">How an earlier answer is used.</param>
/// <param name="template">The model's chat template; Qwen3's where none is given.</param>
public sealed class LocalStage(
    CascadeStage stage,
    ITokenModel model,
    ITokenizer tokenizer,
    int maxTokens,
    ChatMode chat = ChatMode.None,
    AnswerReuseMode reuse = AnswerReuseMode.Auto,
    ChatTemplate? template = null
) : IStage
{
    private readonly AnswerReuse _reuse = new(model, tokenizer.StopTokens, maxTokens, reuse);

    /// <inheritdoc/>
    public string Name => stage.Name;

    /// <inheritdoc/>
    public bool CanVerify => true;

    /// <summary>The model itself, for what works on tokens.</summary>
    public ITokenModel Model => model;

    /// <summary>The model's tokenizer.</summary>
    public ITokenizer Tokenizer => tokenizer;

    /// <inheritdoc/>
    public double CostOf(int promptTokens, int completionTokens) => stage.CostOf(promptTokens, completionTokens);

    /// <inheritdoc/>
    public ValueTask<StageReply> AnswerAsync(StageRequest request, Action<StageToken>? onToken = null, CancellationToken cancel = default)
    {
        long start = Stopwatch.GetTimestamp();
        int[] prompt = Encode(request.Prompt, request.Form.Tools, cancel);
        // Whether a text calls a tool is seen at its end.
        Action<StageToken>? watcher = onToken;
        if (request.Form.Tools.Count > 0)
            onToken = null;
        if (Draft(request) is { } draft && _reuse.Next() is { } verifier)
            return new(Verified(verifier, request, prompt, draft, start, onToken, cancel));
        var decoder = new GreedyDecoder(model, tokenizer.StopTokens, Math.Min(request.MaxTokens ?? maxTokens, maxTokens));
        var tokens = new List<StageToken>();
        var text = new StopText(request.Stop);
        var stream = new TextStream(tokenizer); // a character may be spread over several tokens
        long reading = Stopwatch.GetTimestamp(),
            read = 0,
            watching = 0;
        Generation generation = decoder.Decode(
            prompt,
            (token, logProbability, logits) =>
            {
                long seen = Stopwatch.GetTimestamp();
                if (read == 0)
                    read = seen;
                var written = new StageToken(token, stream.Add(token), logProbability)
                {
                    Alternatives = Likeliest(logits, request.Alternatives),
                };
                tokens.Add(written);
                onToken?.Invoke(written);
                bool goesOn = !text.Append(written.Text);
                watching += Stopwatch.GetTimestamp() - seen;
                return goesOn;
            },
            cancel
        );
        if (!text.Stopped)
            text.Append(stream.End());
        if (read != 0) // what whoever watches the tokens takes is not the model's time
            _reuse.Observe(
                prompt.Length,
                Stopwatch.GetElapsedTime(reading, read).TotalSeconds,
                generation.Features.Length - 1,
                Stopwatch.GetElapsedTime(read + watching).TotalSeconds
            );
        var reply = new StageReply(
            text.Text,
            tokens,
            generation.Features,
            generation.Ended || text.Stopped,
            prompt.Length,
            generation.Features.Length,
            CostOf(prompt.Length, generation.Features.Length),
            Stopwatch.GetElapsedTime(start).TotalSeconds
        )
        {
            Forwards = generation.Features.Length,
            IsWhole = generation.Ended,
        };
        return new(request.Form.Tools.Count > 0 ? WithToolCalls(request.Form, reply, watcher) : reply);
    }

    // What the model wrote as calls of tools, taken out of its text.
    private static StageReply WithToolCalls(AnswerForm form, StageReply reply, Action<StageToken>? onToken)
    {
        var (text, calls) = WrittenToolCalls.Split(reply.Text);
        if (calls.Count > 0)
            reply = reply with
            {
                Text = text,
                Tokens =
                [
                    .. text == "" ? Array.Empty<StageToken>() : [new StageToken(-1, text, double.NaN)],
                    .. calls.Select(
                        (call, i) =>
                            new StageToken(-1, "", double.NaN) { ToolCall = new ToolCallPiece(i, call.Id, call.Name, call.Arguments) }
                    ),
                ],
                ToolCalls = calls,
                IsWhole = reply.IsWhole && form.Accepts(text, calls),
            };
        foreach (StageToken token in reply.Tokens)
            onToken?.Invoke(token);
        return reply;
    }

    /// <inheritdoc/>
    public bool CanAnswer(StageRequest request) =>
        (request.Form.IsFree && !request.Prompt.UsesTools)
        || (chat != ChatMode.None && request.Form.ResponseFormat is null && request.Form.LeavesToolsToModel);

    // The tokens of the request's draft, or null where there is none to use. Alternatives and stop texts are asked for by
    // people who watch each token: their answers are decoded plainly, and are the same.
    private int[]? Draft(StageRequest request)
    {
        if (request.Draft.Count == 0 || request.Stop.Count > 0 || request.Alternatives > 0 || request.Form.Tools.Count > 0)
            return null;
        try
        {
            return tokenizer.Encode(string.Concat(request.Draft.Select(token => token.Text)));
        }
        catch (ToolkitException)
        {
            return null;
        } // another stage may write what this vocabulary does not have
    }

    /// <summary>
    /// The same answer, by verifying a draft. It is charged as an answer of as many tokens as could have been written one by
    /// one in the time that its forwards take: a forward of several tokens takes longer than one of one.
    /// </summary>
    private StageReply Verified(
        SpeculativeDecoder verifier,
        StageRequest request,
        int[] prompt,
        int[] draft,
        long start,
        Action<StageToken>? onToken,
        CancellationToken cancel
    )
    {
        var tokens = new List<StageToken>();
        var stream = new TextStream(tokenizer);
        SpeculativeGeneration result = verifier.Decode(
            prompt,
            answer: (int[])[.. draft, tokenizer.EndOfText],
            onToken: (token, logProbability) =>
            {
                var written = new StageToken(token, stream.Add(token), logProbability);
                tokens.Add(written);
                onToken?.Invoke(written);
            },
            maxTokens: request.MaxTokens,
            cancel: cancel
        );
        Generation generation = result.Generation;
        int forwards = (int)result.Metrics.Target.Forwards,
            length = generation.Features.Length;
        double charged = _reuse.Charge(forwards, result.Metrics.Target.TokensFed - prompt.Length, length);
        double[] judged = result.FirstDraft.LogProbabilities;
        return new StageReply(
            tokenizer.Decode(generation.Tokens),
            tokens,
            generation.Features,
            generation.Ended,
            prompt.Length,
            length,
            stage.Price is { } price ? price.For(prompt.Length, charged) : stage.Cost * charged / length,
            Stopwatch.GetElapsedTime(start).TotalSeconds
        )
        {
            Forwards = forwards,
            Draft = new DraftVerdict(judged[..Math.Min(judged.Length, draft.Length)], Math.Min(result.FirstDraft.Accepted, draft.Length)),
        };
    }

    /// <inheritdoc/>
    public ValueTask<DraftVerdict> VerifyAsync(StageRequest request, IReadOnlyList<StageToken> draft, CancellationToken cancel = default)
    {
        int[] prompt = Encode(request.Prompt, null, cancel),
            tokens = Tokens(string.Concat(draft.Select(token => token.Text)), "draft", cancel);
        if (tokens.Length == 0)
            return new(new DraftVerdict([], 0));
        // Behind an empty prompt the first token has no probability.
        StageToken[] first = prompt.Length == 0 ? [new StageToken(tokens[0], tokenizer.Decode([tokens[0]]), double.NaN)] : [];
        if (first.Length > 0)
            (prompt, tokens) = (tokens[..1], tokens[1..]);
        if (tokens.Length == 0)
            return new(new DraftVerdict([double.NaN], 1) { Tokens = first });
        if (prompt.Length + tokens.Length > model.MaxPositions)
            throw new ToolkitException(
                $"prompt and draft: expected at most {model.MaxPositions} tokens (the limit of {model.Name}), got {prompt.Length + tokens.Length}"
            );
        using ITokenSequence sequence = model.NewSequence(prompt.Length + tokens.Length);
        int width = model.VocabularySize;
        var logits = new float[tokens.Length * width];
        sequence.Forward(prompt, logits.AsSpan(0, width));
        // The logits after the last token of the draft judge nothing.
        if (tokens.Length > 1)
            sequence.ForwardAll(tokens.AsSpan(0, tokens.Length - 1), logits.AsSpan(width));
        var logProbabilities = new double[tokens.Length];
        var judged = new StageToken[tokens.Length];
        int accepted = 0;
        for (int i = 0; i < tokens.Length; i++)
        {
            ReadOnlySpan<float> row = logits.AsSpan(i * width, width);
            logProbabilities[i] = row[tokens[i]] - LogTotal(row);
            judged[i] = new StageToken(tokens[i], tokenizer.Decode([tokens[i]]), logProbabilities[i])
            {
                Alternatives = Likeliest(row, request.Alternatives),
            };
            if (accepted == i && TensorPrimitives.IndexOfMax(row) == tokens[i])
                accepted++;
        }
        return new(
            new DraftVerdict([.. first.Select(token => token.LogProbability), .. logProbabilities], first.Length + accepted)
            {
                Tokens = [.. first, .. judged],
            }
        );
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _reuse.Dispose();
        model.Dispose();
        return default;
    }

    /// <summary>The tokens that the model is given for a prompt.</summary>
    /// <param name="tools">Descriptions of the tools that it may call; null for none.</param>
    /// <exception cref="ToolkitException">The prompt has characters that the tokenizer does not know, or roles that the template does not.</exception>
    /// <exception cref="OperationCanceledException">Whoever asked no longer waits.</exception>
    public int[] Encode(StagePrompt prompt, IReadOnlyList<JsonElement>? tools = null, CancellationToken cancel = default)
    {
        string text =
            prompt.Text is { } plain ? plain
            : chat == ChatMode.None ? Question(prompt.Messages)
            : (template ?? ChatTemplate.Qwen3).Render([.. prompt.Messages.Select(Turn)], chat == ChatMode.Thinking, tools);
        return Tokens(text, "prompt", cancel);
    }

    // What cannot fit is refused before it is looked at; a character is a byte at least.
    private int[] Tokens(string text, string what, CancellationToken cancel)
    {
        long least = text.Length / tokenizer.LongestToken;
        if (least > model.MaxPositions)
            throw new ToolkitException(
                $"{what}: expected at most {model.MaxPositions} tokens (the limit of {model.Name}), got {text.Length} characters, at least {least} tokens"
            );
        return tokenizer.EncodeWithin(text, model.MaxPositions, cancel)
            ?? throw new ToolkitException(
                $"{what}: expected fewer than {model.MaxPositions} tokens (the limit of {model.Name}), got {text.Length} characters, which are more"
            );
    }

    private static ChatTurn Turn(StageMessage message) =>
        new(message.Role, message.Content)
        {
            Reasoning = message.Reasoning,
            ToolCalls = [.. message.ToolCalls.Select(call => new ChatToolCall(call.Name, Arguments(call.Arguments)))],
        };

    // As JSON, which the template writes in its own way; what is no JSON stays the text that it is.
    private static JsonElement Arguments(string text)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return JsonSerializer.SerializeToElement(text);
        }
    }

    // Without a chat template there is one honest reading of a conversation: a single question.
    private static string Question(IReadOnlyList<StageMessage> messages) =>
        messages is [{ Role: "user" } message]
            ? message.Content
            : throw new ToolkitException(
                $"messages: expected one message of the role 'user' (the models of this cascade have no chat template), got {string.Join(", ", messages.Select(m => m.Role))}"
            );

    private StageToken[] Likeliest(ReadOnlySpan<float> logits, int count)
    {
        if (count == 0)
            return [];
        double total = LogTotal(logits);
        var order = new int[logits.Length];
        var keys = new float[logits.Length];
        for (int i = 0; i < order.Length; i++)
            (order[i], keys[i]) = (i, -logits[i]);
        Array.Sort(keys, order);
        var likeliest = new StageToken[Math.Min(count, order.Length)];
        for (int i = 0; i < likeliest.Length; i++)
            likeliest[i] = new StageToken(order[i], tokenizer.Decode([order[i]]), -keys[i] - total);
        return likeliest;
    }

    private static double LogTotal(ReadOnlySpan<float> logits)
    {
        float top = TensorPrimitives.Max(logits);
        double total = 0;
        foreach (float logit in logits)
            total += Math.Exp((double)logit - top);
        return top + Math.Log(total);
    }
}

/// <summary>A growing text that ends before the first stop text that appears in it.</summary>
internal sealed class StopText(IReadOnlyList<string> stops)
{
    private readonly System.Text.StringBuilder _text = new();

    /// <summary>Whether a stop text has appeared.</summary>
    public bool Stopped { get; private set; }

    /// <summary>What has been written, the stop text and all after it cut off.</summary>
    public string Text => _text.ToString();

    /// <summary>Takes the next piece; true when a stop text ends the text here.</summary>
    public bool Append(string piece)
    {
        _text.Append(piece);
        if (stops.Count == 0)
            return false;
        string text = _text.ToString();
        int cut = stops.Select(stop => text.IndexOf(stop, StringComparison.Ordinal)).Where(at => at >= 0).DefaultIfEmpty(-1).Min();
        if (cut < 0)
            return false;
        _text.Length = cut;
        return Stopped = true;
    }
}

/// <summary>A backend whose models run in this process: <c>path</c> and <c>devices</c> are its keys.</summary>
/// <param name="load">Loads a stage's model; null where this program lacks the engine.</param>
/// <param name="anyDevice">Whether the layers may be spread over several devices.</param>
public sealed class LocalBackend(string name, Func<CascadeStage, ITokenModel>? load, bool anyDevice = false) : StageBackend(name)
{
    /// <inheritdoc/>
    public override CascadeStage Read(YamlMap keys, CascadeStage stage, string folder) =>
        Located(keys, stage, folder) with
        {
            Devices = Devices(keys),
            ChatTemplate = Template(keys),
        };

    /// <inheritdoc/>
    public override IStage Open(StageContext context)
    {
        CascadeStage stage = context.Stage;
        if (!Directory.Exists(stage.Path) && !File.Exists(stage.Path))
            throw new ToolkitException($"{context.File}: stage '{stage.Name}': {NotThere(context.File, stage)}");
        if (load is null)
            throw new ToolkitException(
                $"{context.File}: stage '{stage.Name}': backend '{Name}': expected a build with this engine, got one without; run with: dotnet run --project src/Cli -c Release -p:TorchBackend=cpu (or cuda) -- ..."
            );
        ITokenModel model = load(stage);
        try
        {
            ITokenizer tokenizer = TokenizerFiles.Load(stage.Path);
            ChatTemplate? template = null;
            if (context.Chat != ChatMode.None)
                (tokenizer, template) = ForChat(context, tokenizer);
            // Published models pad their vocabulary to a round number: more rows than tokens is in order.
            if (
                tokenizer.VocabularySize > model.VocabularySize
                || (tokenizer is CharacterTokenizer && tokenizer.VocabularySize != model.VocabularySize)
            )
                throw new ToolkitException(
                    $"{stage.Path}: tokenizer: expected the {model.VocabularySize} tokens of the model, got {tokenizer.VocabularySize}"
                );
            return new LocalStage(stage, model, tokenizer, context.MaxTokens, context.Chat, context.Reuse, template);
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>What to say where a stage's files are not there.</summary>
    public static string NotThere(string cascadeFile, CascadeStage stage) =>
        $"expected a model folder or a .gguf file at {stage.Path}, got none"
        + (stage.Repository is null ? "" : $"; fetch it with: toolkit pull --config {cascadeFile}");

    // A path, a repository whose files are in the hub's cache, or both: then they are fetched to the path.
    private static CascadeStage Located(YamlMap keys, CascadeStage stage, string folder)
    {
        HubRepository? repository = keys.Has("repository") ? ReadRepository(keys) : null;
        if (repository is null || keys.Has("path"))
            return stage with { Path = Path.GetFullPath(keys.Text("path"), folder), Repository = repository };
        return stage with
        {
            Path = new HubCache(HubSettings.FromEnvironment().Cache).Place(repository),
            Repository = repository,
            IsInCache = true,
        };
    }

    private static HubRepository ReadRepository(YamlMap keys)
    {
        string name = keys.Text("repository"),
            revision = keys.TextOr("revision", HubRepository.MainBranch);
        string? file = keys.Has("file") ? keys.Text("file") : null;
        if (!HubRepository.IsName(name))
            throw keys.Error("repository", "a repository of the hub, as in Qwen/Qwen3-0.6B", $"'{name}'");
        if (!HubRepository.IsRevision(revision))
            throw keys.Error("revision", "a branch, a tag or a commit", $"'{revision}'");
        if (file is not null && !HubRepository.IsFile(file))
            throw keys.Error("file", "the name of a file", $"'{file}'");
        return new HubRepository(name, revision, file);
    }

    // The template, and a tokenizer that stops at the end of a turn.
    private static (ITokenizer, ChatTemplate) ForChat(StageContext context, ITokenizer tokenizer)
    {
        string path = context.Stage.Path;
        if (tokenizer is not QwenTokenizer qwen)
            throw new ToolkitException(
                $"{path}: tokenizer: expected one with the tokens of a chat, got single characters (key chat of the cascade file)"
            );
        ChatTemplate template = context.Stage.ChatTemplate is { } name
            ? ChatTemplate.All.First(known => known.Name == name)
            : TokenizerFiles.LoadChatTemplate(path);
        if (!template.Allows(context.Chat))
            throw new ToolkitException(
                $"{path}: chat template {template.Name}: expected chat: thinking in the cascade file (the model always thinks), got direct"
            );
        return (qwen.ForChat(path), template);
    }

    private static string? Template(YamlMap keys)
    {
        if (!keys.Has("chat_template"))
            return null;
        string name = keys.Text("chat_template");
        return ChatTemplate.All.Any(template => template.Name == name)
            ? name
            : throw keys.Error("chat_template", string.Join(" or ", ChatTemplate.All.Select(template => template.Name)), $"'{name}'");
    }

    private IReadOnlyList<string> Devices(YamlMap keys)
    {
        if (!keys.Has("devices"))
            return CascadeStage.Cpu;
        IReadOnlyList<string> devices = keys.Strings("devices");
        foreach (string device in devices)
            if (
                device != "cpu"
                && !(
                    device.StartsWith("cuda:", StringComparison.Ordinal)
                    && int.TryParse(device.AsSpan(5), System.Globalization.NumberStyles.None, null, out int n)
                    && n < 64
                )
            )
                throw keys.Error("devices", "cpu or cuda:0 to cuda:63", $"'{device}'");
        if (devices.Distinct().Count() != devices.Count)
            throw keys.Error("devices", "each device once", string.Join(", ", devices));
        if (!anyDevice && !devices.SequenceEqual(CascadeStage.Cpu))
            throw keys.Error("devices", $"only cpu with backend {Name}", string.Join(", ", devices));
        return devices;
    }
}
