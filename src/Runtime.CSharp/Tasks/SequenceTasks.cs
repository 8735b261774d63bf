using System.Text;
using static OptimalStopping.Runtime.Tasks.TaskFamily;

namespace OptimalStopping.Runtime.Tasks;

/// <summary>Families that carry a state along a sequence: counts, parities, truth values, running extremes, order.</summary>
internal static class SequenceTasks
{
    public static IReadOnlyList<TaskFamily> Families { get; } =
    [
        new("cnt", 1.2, Count),
        new("par", 1.2, Parity),
        new("bool", 1.2, Boolean),
        new("cmp", 1.2, Compare),
        new("max", 1.2, (random, level) => Extreme(random, level, Math.Max)),
        new("min", 1.2, (random, level) => Extreme(random, level, Math.Min)),
        new("sort", 0.9, Sort),
    ];

    // cnt a:abca=  ->  a1b1c1a2#2   (after each letter, how often the asked one has stood so far)
    private static (string, string) Count(Random random, int level)
    {
        string word;
        char asked = (char)('a' + random.Next(4));
        do word = Letters(random, 4 + 2 * level, 4);
        while (word.Count(letter => letter == asked) > 9);
        var working = new StringBuilder();
        int count = 0;
        foreach (char letter in word)
        {
            if (letter == asked)
                count++;
            working.Append(letter).Append(count);
        }
        return ($"{asked}:{word}=", $"{working}#{count}");
    }

    // par 1011=  ->  1101#1   (the parity of the ones so far)
    private static (string, string) Parity(Random random, int level)
    {
        int length = 9 + 2 * level;
        var bits = new StringBuilder();
        var working = new StringBuilder();
        int parity = 0;
        for (int i = 0; i < length; i++)
        {
            int bit = random.Next(2);
            parity ^= bit;
            bits.Append(bit);
            working.Append(parity);
        }
        return ($"{bits}=", $"{working}#{parity}");
    }

    // bool t&f|t=  ->  tft#t   (from left to right, no precedence)
    private static (string, string) Boolean(Random random, int level)
    {
        int terms = 5 + 2 * level;
        var text = new StringBuilder();
        var working = new StringBuilder();
        bool value = false;
        for (int i = 0; i < terms; i++)
        {
            bool term = random.Next(2) == 1;
            char operation = i == 0 ? ' ' : "&|^"[random.Next(3)];
            value = operation switch
            {
                '&' => value & term,
                '|' => value | term,
                '^' => value ^ term,
                _ => term,
            };
            if (i > 0)
                text.Append(operation);
            text.Append(term ? 't' : 'f');
            working.Append(value ? 't' : 'f');
        }
        return ($"{text}=", $"{working}#{(value ? 't' : 'f')}");
    }

    // cmp 384?391=  ->  #<   (the numbers share a prefix of random length)
    private static (string, string) Compare(Random random, int level)
    {
        int[] left = Digits(random, level + 2),
            right = (int[])left.Clone();
        for (int i = random.Next(right.Length); i < right.Length; i++)
            right[i] = i == 0 ? random.Next(1, 10) : random.Next(10);
        int order = Value(left).CompareTo(Value(right));
        return ($"{Value(left)}?{Value(right)}=", $"#{(order < 0 ? '<' : order > 0 ? '>' : '.')}");
    }

    // max 34,92,17=  ->  34,92,92#92   (the extreme so far)
    private static (string, string) Extreme(Random random, int level, Func<int, int, int> pick)
    {
        int[] numbers = [.. Enumerable.Range(0, level + 1).Select(_ => random.Next(10, 100))];
        int best = numbers[0];
        var running = numbers.Select(number => best = pick(best, number)).ToArray();
        return ($"{string.Join(',', numbers)}=", $"{string.Join(',', running)}#{best}");
    }

    // sort 7314=  ->  1:734,3:74,4:7,7#1347   (take the least, write what is left)
    private static (string, string) Sort(Random random, int level)
    {
        var left = Enumerable.Range(0, level + 2).Select(_ => random.Next(10)).ToList();
        string arguments = string.Concat(left);
        var steps = new List<string>();
        var sorted = new StringBuilder();
        while (left.Count > 0)
        {
            int least = left.Min();
            left.Remove(least);
            sorted.Append(least);
            steps.Add(left.Count > 0 ? $"{least}:{string.Concat(left)}" : $"{least}");
        }
        return ($"{arguments}=", $"{string.Join(',', steps)}#{sorted}");
    }
}
