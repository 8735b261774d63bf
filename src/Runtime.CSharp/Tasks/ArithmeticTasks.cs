using System.Text;
using static OptimalStopping.Runtime.Tasks.TaskFamily;

namespace OptimalStopping.Runtime.Tasks;

/// <summary>Families of written arithmetic: the working is the schoolbook's, digit by digit.</summary>
internal static class ArithmeticTasks
{
    public static IReadOnlyList<TaskFamily> Families { get; } =
    [
        new("sum", 1.0, Sum),
        new("add", 0.9, Add),
        new("sub", 0.8, Subtract),
        new("mul", 0.6, Multiply),
        new("mod", 0.5, Modulo),
        new("var", 0.8, Variables),
    ];

    // sum 3+4+9=  ->  3,7,16#16   (running totals)
    private static (string, string) Sum(Random random, int level)
    {
        int[] terms = [.. Enumerable.Range(0, level + 3).Select(_ => random.Next(1, 10))];
        int total = 0;
        var running = terms.Select(term => total += term).ToArray();
        return ($"{string.Join('+', terms)}=", $"{string.Join(',', running)}#{total}");
    }

    // add 963+447=  ->  3+7+0=10,6+4+1=11,9+4+1=14#1410   (from the right, with the carry)
    private static (string, string) Add(Random random, int level)
    {
        int[] a = Digits(random, level + 1),
            b = Digits(random, level + 1);
        var steps = new List<string>();
        int carry = 0;
        for (int i = a.Length - 1; i >= 0; i--)
        {
            int sum = a[i] + b[i] + carry;
            steps.Add($"{a[i]}+{b[i]}+{carry}={sum}");
            carry = sum / 10;
        }
        return ($"{Value(a)}+{Value(b)}=", $"{string.Join(',', steps)}#{Value(a) + Value(b)}");
    }

    // sub 963-447=  ->  3-7-0=6!,6-4-1=1.,9-4-0=5.#516   (! borrows from the next digit)
    private static (string, string) Subtract(Random random, int level)
    {
        int[] a = Digits(random, level + 1),
            b = Digits(random, level + 1);
        if (Value(a) < Value(b))
            (a, b) = (b, a);
        var steps = new List<string>();
        int borrow = 0;
        for (int i = a.Length - 1; i >= 0; i--)
        {
            int difference = a[i] - b[i] - borrow,
                next = difference < 0 ? 1 : 0;
            steps.Add($"{a[i]}-{b[i]}-{borrow}={difference + 10 * next}{(next == 1 ? '!' : '.')}");
            borrow = next;
        }
        return ($"{Value(a)}-{Value(b)}=", $"{string.Join(',', steps)}#{Value(a) - Value(b)}");
    }

    // mul 347*6=  ->  7*6+0=42,4*6+4=28,3*6+2=20#2082
    private static (string, string) Multiply(Random random, int level)
    {
        int[] a = Digits(random, level + 1);
        int factor = random.Next(2, 10),
            carry = 0;
        var steps = new List<string>();
        for (int i = a.Length - 1; i >= 0; i--)
        {
            int product = a[i] * factor + carry;
            steps.Add($"{a[i]}*{factor}+{carry}={product}");
            carry = product / 10;
        }
        return ($"{Value(a)}*{factor}=", $"{string.Join(',', steps)}#{Value(a) * factor}");
    }

    // mod 438%7=  ->  4>4,43>1,18>4#4   (remainder so far, next digit appended)
    private static (string, string) Modulo(Random random, int level)
    {
        int[] a = Digits(random, level + 2);
        int modulus = random.Next(3, 10),
            rest = 0;
        var steps = new List<string>();
        foreach (int digit in a)
        {
            int number = rest * 10 + digit;
            rest = number % modulus;
            steps.Add($"{number}>{rest}");
        }
        return ($"{Value(a)}%{modulus}=", $"{string.Join(',', steps)}#{rest}");
    }

    // var a=3;b=a+4;c=b-1;c=  ->  a=3,b=7,c=6#6   (each variable refers to an earlier one)
    private static (string, string) Variables(Random random, int level)
    {
        int count = level + 1;
        char[] names = "abcdefghij".ToCharArray();
        random.Shuffle(names);
        var values = new int[count];
        var text = new StringBuilder();
        var steps = new List<string>();
        values[0] = random.Next(1, 10);
        text.Append($"{names[0]}={values[0]};");
        steps.Add($"{names[0]}={values[0]}");
        for (int i = 1; i < count; i++)
        {
            int source = random.Next(2) == 0 ? i - 1 : random.Next(i),
                step = random.Next(1, 10);
            bool minus = values[source] >= step && random.Next(2) == 0;
            values[i] = values[source] + (minus ? -step : step);
            text.Append($"{names[i]}={names[source]}{(minus ? '-' : '+')}{step};");
            steps.Add($"{names[i]}={values[i]}");
        }
        return ($"{text}{names[count - 1]}=", $"{string.Join(',', steps)}#{values[count - 1]}");
    }
}
