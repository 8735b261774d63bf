using System.Text;
using static OptimalStopping.Runtime.Tasks.TaskFamily;

namespace OptimalStopping.Runtime.Tasks;

/// <summary>Families that move, look up or rewrite characters.</summary>
internal static class TextTasks
{
    public static IReadOnlyList<TaskFamily> Families { get; } =
    [
        new("copy", 1.5, Copy),
        new("last", 1.5, Last),
        new("find", 1.5, Find),
        new("rev", 1.0, Reverse),
        new("zip", 1.0, Zip),
        new("uniq", 1.2, Unique),
        new("rot", 0.8, Rotate),
    ];

    // copy kqzt=  ->  #kqzt
    private static (string, string) Copy(Random random, int level)
    {
        string word = Letters(random, 2 + 2 * level);
        return ($"{word}=", $"#{word}");
    }

    // last kfa,zob=  ->  #zob
    private static (string, string) Last(Random random, int level)
    {
        string[] words = [.. Enumerable.Range(0, level + 1).Select(_ => Letters(random, 3))];
        return ($"{string.Join(',', words)}=", $"#{words[^1]}");
    }

    // find b:a7b3c9=  ->  #3   (each letter is a key, the digit after it is its value)
    private static (string, string) Find(Random random, int level)
    {
        char[] keys = "abcdefghijklmnopqrstuvwxyz".ToCharArray();
        random.Shuffle(keys);
        int pairs = 2 * level;
        var text = new StringBuilder();
        var values = new int[pairs];
        for (int i = 0; i < pairs; i++)
            text.Append(keys[i]).Append(values[i] = random.Next(10));
        int asked = random.Next(pairs);
        return ($"{keys[asked]}:{text}=", $"#{values[asked]}");
    }

    // rev kqz=  ->  #zqk
    private static (string, string) Reverse(Random random, int level)
    {
        string word = Letters(random, 2 + level);
        return ($"{word}=", $"#{new string([.. word.Reverse()])}");
    }

    // zip abc,xyz=  ->  #axbycz
    private static (string, string) Zip(Random random, int level)
    {
        string first = Letters(random, level + 1),
            second = Letters(random, level + 1);
        return ($"{first},{second}=", $"#{string.Concat(first.Zip(second, (a, b) => $"{a}{b}"))}");
    }

    // uniq abcab=  ->  a+b+c+a-b-#abc   (+ is new, - was seen before)
    private static (string, string) Unique(Random random, int level)
    {
        string word = Letters(random, 4 + 2 * level, 8);
        var working = new StringBuilder();
        var seen = new StringBuilder();
        foreach (char letter in word)
        {
            bool known = seen.ToString().Contains(letter);
            working.Append(letter).Append(known ? '-' : '+');
            if (!known)
                seen.Append(letter);
        }
        return ($"{word}=", $"{working}#{seen}");
    }

    // rot 3:abz=  ->  adbezc#dec   (each letter moved three on, in a circle)
    private static (string, string) Rotate(Random random, int level)
    {
        int shift = random.Next(1, 4);
        string word = Letters(random, level + 2);
        string moved = string.Concat(word.Select(letter => (char)('a' + (letter - 'a' + shift) % 26)));
        return ($"{shift}:{word}=", $"{string.Concat(word.Zip(moved, (a, b) => $"{a}{b}"))}#{moved}");
    }
}
