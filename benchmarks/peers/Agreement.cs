using OptimalStopping.Runtime.Models;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Peers;

/// <summary>
/// The same weights in both engines: after each token of this engine's greedy answers, does llama.cpp choose the same next
/// one? Both see the same tokens before it, so that one difference does not count again and again.
/// </summary>
internal static class Agreement
{
    public static void Run(string folder, int prompts, int threads)
    {
        string file = Path.Combine(Path.GetTempPath(), $"peers-{Guid.NewGuid():N}.gguf");
        GgufExport.Write(folder, file);
        try
        {
            using CpuModel model = CpuModel.Load(folder);
            int vocabulary = model.VocabularySize,
                most = Math.Min(model.MaxPositions, 256);
            CharacterTokenizer tokenizer = CharacterTokenizer.Load(Path.Combine(folder, "tokenizer.json"));
            var theirs = new LlamaModel(file, vocabulary, most, threads);
            using ITokenSequence ours = model.NewSequence(most);
            var logits = new float[vocabulary];
            int tokens = 0,
                same = 0,
                identical = 0;
            var gaps = new List<(string Place, float Gap)>();
            double squares = 0,
                differences = 0;
            foreach (Query query in new QueryGenerator(99, QuerySplit.Test).Distinct(prompts))
            {
                ours.Truncate(0);
                theirs.Truncate(0);
                int[] feed = tokenizer.Encode(query.Prompt);
                bool all = true;
                for (int length = 0; length < 64; length++)
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
                        gaps.Add(($"{query.Id}, token {length}: {own} or {choice}", logits[own] - logits[choice]));
                    }
                    if (own == tokenizer.EndOfText || ours.Length == most)
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
                $"{folder}: {prompts} prompts, {tokens} tokens: {100.0 * same / tokens:F2} % the same choice, {identical} answers the same throughout"
            );
            Console.WriteLine(
                $"logits differ by {error:F4} (root mean square), {100 * Math.Sqrt(differences / squares):F2} % of their size"
            );
            Console.WriteLine(
                $"{gaps.Count} other choices, {gaps.Count(g => g.Gap <= within)} of them between logits within {within:F4}, three standard errors of a difference:"
            );
            foreach ((string place, float gap) in gaps)
                Console.WriteLine($"  {place}, {gap:F4} apart");
        }
        finally
        {
            File.Delete(file);
        }
    }
}
