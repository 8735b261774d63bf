using System.Text;

namespace OptimalStopping.Runtime.Tasks;

/// <summary>
/// A family of questions that a program can pose and answer at five levels of difficulty. <see cref="Pose"/> draws
/// the arguments and writes the solution step by step, so that a model can learn the working and not only the answer.
/// </summary>
/// <param name="Name">First word of every prompt of the family.</param>
/// <param name="Weight">Share of the query mix, relative to the other families.</param>
/// <param name="Pose">Draws one question at a level (1 to 5): its arguments and its solution.</param>
public sealed record TaskFamily(string Name, double Weight, Func<Random, int, (string Arguments, string Solution)> Pose)
{
    internal static string Letters(Random random, int length, int alphabet = 26)
    {
        var text = new StringBuilder(length);
        for (int i = 0; i < length; i++)
            text.Append((char)('a' + random.Next(alphabet)));
        return text.ToString();
    }

    /// <summary>A number with exactly the given count of digits, the first not zero.</summary>
    internal static int[] Digits(Random random, int count)
    {
        var digits = new int[count];
        for (int i = 0; i < count; i++)
            digits[i] = i == 0 ? random.Next(1, 10) : random.Next(10);
        return digits;
    }

    internal static long Value(int[] digits) => digits.Aggregate(0L, (value, digit) => value * 10 + digit);
}
