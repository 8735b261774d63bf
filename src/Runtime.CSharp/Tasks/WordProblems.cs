using System.Text;
using System.Text.Json;

namespace OptimalStopping.Runtime.Tasks;

/// <summary>
/// Questions with a number as their answer, in plain words, from one step to six: enough of a spread that a small model
/// answers some and a large one more. They need no data set, so a cascade can be tried with nothing but its models.
/// </summary>
public static class WordProblems
{
    private static readonly string[] Names = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gina", "Hugo", "Iris", "Jon"];
    private static readonly string[] Things =
    [
        "apples",
        "books",
        "coins",
        "pencils",
        "cards",
        "eggs",
        "tickets",
        "stamps",
        "bottles",
        "shells",
    ];

    /// <summary>So many different questions, the same for the same seed, each with its number of steps.</summary>
    public static IReadOnlyList<(string Question, string Answer, int Steps)> Draw(int count, int seed)
    {
        var random = new Random(seed);
        var seen = new HashSet<string>();
        var all = new List<(string, string, int)>();
        while (all.Count < count)
        {
            int steps = 1 + all.Count % 6;
            (string question, long answer) = Pose(random, steps);
            if (seen.Add(question))
                all.Add((question, answer.ToString(System.Globalization.CultureInfo.InvariantCulture), steps));
        }
        return all;
    }

    /// <summary>The questions as lines <c>{"question": ..., "answer": ...}</c>, as <c>tasks: jsonl</c> reads them.</summary>
    public static string ToJsonLines(IEnumerable<(string Question, string Answer, int Steps)> questions)
    {
        var text = new StringBuilder();
        foreach (var (question, answer, steps) in questions)
            text.Append(
                    JsonSerializer.Serialize(
                        new
                        {
                            question,
                            answer,
                            steps,
                        }
                    )
                )
                .Append('\n');
        return text.ToString();
    }

    // A stock that changes step by step; it stays a whole number, and never falls below nothing.
    private static (string, long) Pose(Random random, int steps)
    {
        string name = Names[random.Next(Names.Length)],
            things = Things[random.Next(Things.Length)];
        long have = random.Next(5, 60);
        var text = new StringBuilder($"{name} has {have} {things}.");
        for (int step = 0; step < steps; step++)
        {
            string other = Names[random.Next(Names.Length)];
            while (other == name)
                other = Names[random.Next(Names.Length)];
            int n = random.Next(2, 10);
            switch (random.Next(6))
            {
                case 0:
                    have += 7 * n;
                    text.Append($" {other} gives {name} {7 * n} more {things}.");
                    break;
                case 1 when have > 3 * n:
                    have -= 3 * n;
                    text.Append($" {name} loses {3 * n} of the {things}.");
                    break;
                case 2 when have < 5000:
                    have *= n;
                    text.Append($" Then the number of {things} that {name} has becomes {n} times as large.");
                    break;
                case 3 when have % n == 0:
                    have -= have / n;
                    text.Append($" {name} gives {Part(n)} of the {things} to {other}.");
                    break;
                case 4:
                    have += n * (n + 3);
                    text.Append($" {name} buys {n} boxes with {n + 3} {things} in each.");
                    break;
                default:
                    int days = random.Next(3, 8);
                    have += (long)days * n;
                    text.Append($" On each of the next {days} days {name} finds {n} more {things}.");
                    break;
            }
        }
        text.Append($" How many {things} does {name} have now?");
        return (text.ToString(), have);
    }

    private static string Part(int n) =>
        n switch
        {
            2 => "half",
            3 => "a third",
            4 => "a quarter",
            5 => "a fifth",
            6 => "a sixth",
            7 => "a seventh",
            8 => "an eighth",
            _ => "a ninth",
        };
}
