using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Tasks.Miniature;
using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Runtime.Torch;

/// <summary>A question with its answer as tokens.</summary>
/// <param name="Tokens">The prompt, the answer, and the token that ends it.</param>
/// <param name="PromptLength">How many of them are the prompt.</param>
public readonly record struct TrainingText(Query Query, int[] Tokens, int PromptLength);

/// <summary>Where a model's training texts come from, and the tokenizer that they are written in.</summary>
public abstract class TrainingTexts
{
    public abstract ITokenizer Tokenizer { get; }

    /// <summary>The most tokens that a sequence of a model trained on these may hold.</summary>
    public abstract int MaxPositions { get; }

    /// <summary>An endless sequence of texts, a function of split and seed.</summary>
    public abstract Func<TrainingText> Open(QuerySplit split, int seed);

    /// <summary>Writes the tokenizer's files into a model's folder.</summary>
    public abstract void WriteTokenizer(string folder);

    protected TrainingText Text(Query query, string prompt)
    {
        int[] asked = Tokenizer.Encode(prompt);
        return new TrainingText(query, [.. asked, .. Tokenizer.Encode(query.Solution), Tokenizer.EndOfText], asked.Length);
    }
}

/// <summary>The nano families, over single characters; the question itself is the prompt.</summary>
public sealed class NanoTexts(IReadOnlyList<string>? families) : TrainingTexts
{
    private readonly CharacterTokenizer _tokenizer = CharacterTokenizer.Nano;

    public override ITokenizer Tokenizer => _tokenizer;

    public override int MaxPositions => 256;

    public override Func<TrainingText> Open(QuerySplit split, int seed)
    {
        var queries = new QueryGenerator(seed, split, families);
        return () => queries.Next() is var query ? Text(query, query.Prompt) : default;
    }

    public override void WriteTokenizer(string folder) => File.WriteAllText(Path.Combine(folder, "tokenizer.json"), _tokenizer.ToJson());
}

/// <summary>
/// The miniature's questions in Qwen3's chat template with thinking off: most as one turn, some behind a system message,
/// some behind an earlier turn. Only the last answer is learned.
/// </summary>
public sealed class ChatTexts : TrainingTexts
{
    private const double SystemShare = 0.12,
        SecondTurnShare = 0.08;
    private const int VocabularyTexts = 40_000;

    private static readonly string[] TokenizerFiles = ["tokenizer.json", "tokenizer_config.json", "generation_config.json"];

    private static readonly string[] SystemMessages =
    [
        "You are a helpful assistant.",
        "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
        "Answer briefly.",
        "You answer questions in one or two sentences.",
        "You are a helpful assistant. Be brief and correct.",
        "Be concise.",
    ];

    private readonly QuestionMix _mix;
    private readonly string _tokenizerFolder;

    /// <summary>
    /// Reads the knowledge and the tokenizer; a tokenizer that is not there yet is trained on the knowledge and on questions
    /// of the training split.
    /// </summary>
    /// <param name="vocabulary">Size of the vocabulary, the added tokens included.</param>
    /// <exception cref="ToolkitException">A file is missing or malformed.</exception>
    public ChatTexts(Knowledge knowledge, string tokenizerFolder, int vocabulary, string chatTemplate)
    {
        _mix = new QuestionMix(knowledge);
        _tokenizerFolder = tokenizerFolder;
        if (!File.Exists(Path.Combine(tokenizerFolder, TokenizerFiles[0])))
        {
            var (tokens, merges) = BpeTrainer.Train(VocabularyOf(knowledge, _mix), vocabulary - QwenTokenizerWriter.AddedTokens.Count);
            QwenTokenizerWriter.Write(tokenizerFolder, tokens, merges, chatTemplate, MaxPositions);
        }
        Tokenizer = Tokenization.TokenizerFiles.Load(tokenizerFolder);
        if (Tokenizer.VocabularySize != vocabulary)
            throw new ToolkitException(
                $"{tokenizerFolder}: expected a tokenizer of {vocabulary} tokens, got {Tokenizer.VocabularySize}; remove it to train another"
            );
    }

    public override ITokenizer Tokenizer { get; }

    public override int MaxPositions => 1024;

    public override Func<TrainingText> Open(QuerySplit split, int seed)
    {
        var questions = new MiniatureQuestions(_mix, seed, split);
        var random = new Random(seed);
        return () =>
        {
            Query query = questions.Next();
            var turns = new List<ChatTurn>();
            if (random.NextDouble() < SystemShare)
                turns.Add(new ChatTurn("system", SystemMessages[random.Next(SystemMessages.Length)]));
            if (random.NextDouble() < SecondTurnShare)
            {
                Query earlier = questions.Next();
                turns.Add(new ChatTurn("user", earlier.Prompt));
                turns.Add(new ChatTurn("assistant", earlier.Solution));
            }
            turns.Add(new ChatTurn("user", query.Prompt));
            return Text(query, ChatTemplate.Qwen3.Render(turns, thinking: false));
        };
    }

    public override void WriteTokenizer(string folder)
    {
        foreach (string name in TokenizerFiles)
            File.Copy(Path.Combine(_tokenizerFolder, name), Path.Combine(folder, name), overwrite: true);
    }

    // Questions and answers as they are drawn, and every explanation and fact, however rare, once more.
    private static IEnumerable<string> VocabularyOf(Knowledge knowledge, QuestionMix mix)
    {
        var questions = new MiniatureQuestions(mix, 0, QuerySplit.Train);
        for (int i = 0; i < VocabularyTexts; i++)
        {
            Query query = questions.Next();
            yield return query.Prompt;
            yield return query.Solution;
        }
        foreach (Explanation entry in knowledge.Explanations)
            yield return entry.Text;
        foreach (Relation relation in knowledge.Relations)
        foreach (Fact fact in relation.Facts)
            yield return " " + fact.Subject + " " + fact.Answer;
    }
}
