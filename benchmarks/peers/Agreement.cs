using OptimalStopping.Experiments;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Models;
using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Peers;

/// <summary>
/// Each model of a cascade, exported as GGUF, in both engines: are the prompts the same tokens, and after each token of this engine's
/// greedy answers, does llama.cpp choose the same next one? Both see the same tokens before it, so that one difference does not
/// count again and again.
/// </summary>
internal static class Agreement
{
    private const int MostTokens = 96;

    public static void Run(string config, int prompts, int threads)
    {
        CascadeFile cascadeFile = CascadeFile.Load(config);
        using Cascade cascade = Cascade.Load(cascadeFile);
        string[] questions =
        [
            .. CascadeQueries
                .Draw(cascadeFile, 99)
                .Where(query => query.Split == CascadeRecords.Test)
                .Take(prompts)
                .Select(query => query.Query.Prompt),
        ];
        for (int stage = 0; stage < cascadeFile.Stages.Count; stage++)
            Compare(cascade, stage, questions, threads);
    }

    private static void Compare(Cascade cascade, int stage, string[] questions, int threads)
    {
        string folder = cascade.File.Stages[stage].Path,
            file = Path.Combine(Path.GetTempPath(), $"peers-{Guid.NewGuid():N}.gguf");
        ITokenModel model = cascade.Models[stage];
        ITokenizer tokenizer = cascade.Tokenizer;
        ChatTemplate template = TokenizerFiles.LoadChatTemplate(folder);
        int vocabulary = model.VocabularySize,
            most = Math.Min(model.MaxPositions, 512);
        GgufExport.WriteModel(folder, file, GgufType.Q8_0, TokenizerFiles.GgufKeys(folder, vocabulary));
        try
        {
            var theirs = new LlamaModel(file, vocabulary, most, threads);
            using ITokenSequence ours = model.NewSequence(most);
            var logits = new float[vocabulary];
            int tokens = 0,
                same = 0,
                identical = 0,
                sameTokens = 0;
            var gaps = new List<(string Place, float Gap)>();
            double squares = 0,
                differences = 0;
            foreach (string question in questions)
            {
                ours.Truncate(0);
                theirs.Truncate(0);
                int[] feed = cascade.EncodePrompt(question);
                if (theirs.Tokenize(template.Render(question, cascade.File.Chat)).SequenceEqual(feed))
                    sameTokens++;
                bool all = true;
                for (int length = 0; length < MostTokens; length++)
                {
                    ours.Forward(feed, logits);
                    ReadOnlySpan<float> other = theirs.Forward(feed);
                    int own = Greedy.Choose(logits),
                        choice = Greedy.Choose(other);
                    tokens++;
                    for (int i = 0; i < vocabulary; i++)
                    {
                        squares += logits[i] * logits[i];
                        differences += (logits[i] - other[i]) * (logits[i] - other[i]);
                    }
                    if (own == choice)
                        same++;
                    else
                    {
                        all = false;
                        gaps.Add(($"'{question}', token {length}: {own} or {choice}", logits[own] - logits[choice]));
                    }
                    if (tokenizer.StopTokens.Contains(own) || ours.Length == most)
                        break;
                    feed = [own];
                }
                if (all)
                    identical++;
            }
            // Two engines that round differently turn two logits around when these are nearer than the rounding's error.
            double error = Math.Sqrt(differences / ((double)tokens * vocabulary)),
                within = 3 * Math.Sqrt(2) * error;
            Console.WriteLine(
                $"{cascade.File.Stages[stage].Name}: {questions.Length} prompts, {sameTokens} of them the same tokens in both; {tokens} tokens written: {100.0 * same / tokens:F2} % the same choice, {identical} answers the same throughout"
            );
            Console.WriteLine(
                $"  logits differ by {error:F4} (root mean square), {100 * Math.Sqrt(differences / squares):F2} % of their size; {gaps.Count} other choices, {gaps.Count(g => g.Gap <= within)} of them between logits within {within:F4}, three standard errors of a difference"
            );
            foreach ((string place, float gap) in gaps.OrderByDescending(g => g.Gap).Take(5))
                Console.WriteLine($"  {place}, {gap:F4} apart");
        }
        finally
        {
            File.Delete(file);
        }
    }
}
