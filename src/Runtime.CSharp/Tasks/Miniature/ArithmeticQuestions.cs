namespace OptimalStopping.Runtime.Tasks.Miniature;

/// <summary>
/// Arithmetic as people type it, from one digit up. What does not fit in the head is worked out in visible steps, digit
/// by digit from the right, and the answer comes last.
/// </summary>
internal static class ArithmeticQuestions
{
    private static readonly AnswerGrader LastNumber = new(Grading.Numeric);
    private static readonly string[] Names = ["Tom", "Anna", "Ben", "Sara", "Max", "Emma", "Leo", "Mia", "Sam", "Lucy"];
    private static readonly string[] Things =
    [
        "apples",
        "books",
        "coins",
        "pens",
        "cards",
        "eggs",
        "marbles",
        "stickers",
        "cookies",
        "balls",
    ];

    public static IEnumerable<QuestionFamily> Families { get; } =
    [
        new("addition", 4.5, Add),
        new("subtraction", 3, Subtract),
        new("multiplication", 3.5, Multiply),
        new("division", 1.5, Divide),
        new("remainder", 0.5, Remainder),
        new("squares", 0.8, Squares),
        new("halves", 0.8, Halves),
        new("percent", 0.7, Percent),
        new("word-problem", 1.2, WordProblem),
        new("hours-and-days", 0.5, Units),
    ];

    private static PosedQuestion Add(Random random)
    {
        int a = random.Number(0, 4, 4, 1.5, 0.4),
            b = random.Number(0, 4, 4, 1.5, 0.4);
        string text = random.Wording(
            $"What is {a} + {b}?",
            $"What is {a}+{b}?",
            $"{a}+{b}",
            $"{a} + {b}",
            $"{a}+{b}=",
            $"What is {a} plus {b}?",
            $"{a} + {b} = ?",
            $"What's {a} + {b}?",
            $"Calculate {a} + {b}",
            $"{a} plus {b}",
            $"How much is {a} + {b}?",
            $"Add {a} and {b}.",
            $"add {a}+{b}=",
            $"What is the sum of {a} and {b}?",
            $"Compute {a} + {b}.",
            $"Solve {a} + {b}",
            $"How much is {a} plus {b}?",
            $"What does {a} + {b} equal?"
        );
        return Posed(text, Sum(a, b), Math.Max(a, b));
    }

    // 47 + 38: 7+8=15, 4+3+1=8. 47 + 38 = 85.
    private static string Sum(int a, int b)
    {
        string whole = $"{a} + {b} = {a + b}.";
        if (Math.Min(a, b) < 10 && Math.Max(a, b) < 20)
            return whole;
        var steps = new List<string>();
        for (int x = a, y = b, carry = 0; x > 0 || y > 0; x /= 10, y /= 10)
        {
            int digits = x % 10 + y % 10 + carry;
            steps.Add($"{x % 10}+{y % 10}{(carry > 0 ? "+1" : "")}={digits}");
            carry = digits / 10;
        }
        return $"{string.Join(", ", steps)}. {whole}";
    }

    private static PosedQuestion Subtract(Random random)
    {
        int a = random.Number(0, 4, 4, 1.5, 0.3),
            b = random.Number(0, 4, 4, 1.5, 0.3);
        if (a < b && random.Chance(0.9))
            (a, b) = (b, a);
        string text = random.Wording(
            $"What is {a} - {b}?",
            $"{a}-{b}",
            $"{a} - {b}",
            $"What is {a}-{b}?",
            $"What is {a} minus {b}?",
            $"{a}-{b}=",
            $"What's {a} - {b}?",
            $"{a} - {b} = ?",
            $"Calculate {a} - {b}",
            $"{a} minus {b}",
            $"Subtract {b} from {a}.",
            $"How much is {a} - {b}?",
            $"What is the difference between {a} and {b}?",
            $"Take {b} away from {a}.",
            $"Compute {a} - {b}."
        );
        return text.Contains("difference") && a < b
            ? Posed(text, Difference(b, a), Math.Max(a, b))
            : Posed(text, Difference(a, b), Math.Max(a, b));
    }

    // 63 - 38: 13-8=5, 6-3-1=2. 63 - 38 = 25. A smaller number first: 38 - 63 = -25.
    private static string Difference(int a, int b)
    {
        string whole = $"{a} - {b} = {a - b}.";
        if (Math.Max(a, b) < 20)
            return whole;
        if (a < b)
            return $"{Difference(b, a)} {whole}";
        var steps = new List<string>();
        for (int x = a, y = b, borrow = 0; x > 0 || y > 0; x /= 10, y /= 10)
        {
            int top = x % 10,
                difference = top - y % 10 - borrow,
                next = difference < 0 ? 1 : 0;
            steps.Add($"{top + 10 * next}-{y % 10}{(borrow > 0 ? "-1" : "")}={difference + 10 * next}");
            borrow = next;
        }
        return $"{string.Join(", ", steps)}. {whole}";
    }

    private static PosedQuestion Multiply(Random random)
    {
        int a = random.Number(0, 5, 3, 0.7),
            b = random.Number(0, 5, 2);
        if (random.Chance(0.5))
            (a, b) = (b, a);
        string text = random.Wording(
            $"What is {a} * {b}?",
            $"{a}*{b}",
            $"What is {a} times {b}?",
            $"{a} * {b}",
            $"What is {a}*{b}?",
            $"{a} x {b}",
            $"{a} times {b}",
            $"What is {a} x {b}?",
            $"What's {a} times {b}?",
            $"{a}*{b}=",
            $"Calculate {a} * {b}",
            $"Multiply {a} by {b}.",
            $"How much is {a} times {b}?",
            $"{a} * {b} = ?",
            $"What is the product of {a} and {b}?",
            $"{a} multiplied by {b}",
            $"Compute {a} x {b}."
        );
        return Posed(text, Product(a, b), Math.Max(a, b) * Math.Max(1, Math.Min(a, b) / 9));
    }

    // 17 * 23: 17 * 20 = 340, 17 * 3 = 51, 340 + 51 = 391. 17 * 23 = 391.
    private static string Product(int a, int b)
    {
        string whole = $"{a} * {b} = {a * b}.";
        int small = Math.Min(a, b),
            large = Math.Max(a, b);
        if (small < 2 || large <= 10)
            return whole;
        (int left, int right) = small >= 10 ? (a, b) : (small, large); // right is split into its digits
        List<string> steps = [];
        List<int> parts = [];
        for (int unit = 1; unit <= right; unit *= 10)
            if (right / unit % 10 * unit is > 0 and int part)
            {
                steps.Insert(0, $"{left} * {part} = {left * part}");
                parts.Insert(0, left * part);
            }
        int running = parts[0];
        foreach (int part in parts.Skip(1))
            steps.Add($"{running} + {part} = {running += part}");
        return $"{string.Join(", ", steps)}. {whole}";
    }

    private static PosedQuestion Divide(Random random)
    {
        int b = random.Number(1, 5, 1),
            result = random.Number(1, 5, 2),
            a = b * result;
        string text = random.Wording(
            $"What is {a} / {b}?",
            $"{a}/{b}",
            $"What is {a} divided by {b}?",
            $"{a} / {b}",
            $"Divide {a} by {b}.",
            $"{a} divided by {b}",
            $"What's {a} / {b}?",
            $"{a}/{b}=",
            $"How much is {a} divided by {b}?",
            $"Calculate {a} / {b}",
            $"How many times does {b} go into {a}?"
        );
        return Posed(text, $"{result} * {b} = {a}, so {a} / {b} = {result}.", a);
    }

    private static PosedQuestion Remainder(Random random)
    {
        int b = random.Next(2, 10),
            a = random.Next(b + 1, 90),
            whole = a / b;
        string text = random.Wording(
            $"What is the remainder of {a} divided by {b}?",
            $"{a} mod {b}",
            $"What is {a} mod {b}?",
            $"What is the remainder when {a} is divided by {b}?",
            $"{a} % {b}",
            $"Remainder of {a} / {b}?"
        );
        return Posed(text, $"{whole} * {b} = {whole * b} and {a} - {whole * b} = {a % b}, so the remainder is {a % b}.", 10 * a);
    }

    private static PosedQuestion Squares(Random random)
    {
        int a = random.Next(1, 21),
            square = a * a;
        return random.Chance(0.5)
            ? Posed(
                random.Wording(
                    $"What is {a} squared?",
                    $"What is the square of {a}?",
                    $"{a}^2",
                    $"{a} squared",
                    $"Square {a}.",
                    $"What is {a}^2?",
                    $"Calculate {a}^2"
                ),
                $"{a} * {a} = {square}.",
                a
            )
            : Posed(
                random.Wording(
                    $"What is the square root of {square}?",
                    $"square root of {square}",
                    $"sqrt({square})",
                    $"What's the square root of {square}?",
                    $"What is the root of {square}?",
                    $"Calculate sqrt({square})"
                ),
                $"{a} * {a} = {square}, so the square root of {square} is {a}.",
                square
            );
    }

    private static PosedQuestion Halves(Random random)
    {
        int a = random.Number(1, 3, 4, 1);
        return random.Chance(0.5)
            ? Posed(
                random.Wording(
                    $"What is half of {2 * a}?",
                    $"half of {2 * a}",
                    $"What's half of {2 * a}?",
                    $"Halve {2 * a}.",
                    $"How much is half of {2 * a}?"
                ),
                $"Half of {2 * a} is {a}.",
                a
            )
            : Posed(
                random.Wording(
                    $"What is double {a}?",
                    $"double {a}",
                    $"What is twice {a}?",
                    $"Double the number {a}.",
                    $"What is two times {a}?"
                ),
                $"Twice {a} is {2 * a}.",
                a
            );
    }

    private static PosedQuestion Percent(Random random)
    {
        int percent = random.Pick([10, 20, 25, 50, 75, 5, 100, 30, 40]),
            whole = random.Next(1, 20) * (percent % 10 == 0 ? 10 : 20),
            result = percent * whole / 100;
        string text = random.Wording(
            $"What is {percent}% of {whole}?",
            $"{percent}% of {whole}",
            $"What is {percent} percent of {whole}?",
            $"How much is {percent}% of {whole}?",
            $"Calculate {percent}% of {whole}",
            $"{percent} percent of {whole}"
        );
        return Posed(text, $"1% of {whole} is {Hundredth(whole)}, so {percent}% of {whole} is {result}.", 5 * whole);
    }

    private static string Hundredth(int whole) =>
        ((decimal)whole / 100).ToString("0.##", System.Globalization.CultureInfo.InvariantCulture);

    private static PosedQuestion WordProblem(Random random)
    {
        int a = random.Number(2, 3, 2),
            b = random.Number(1, 3, 1);
        string name = random.Pick(Names),
            things = random.Pick(Things);
        switch (random.Next(3))
        {
            case 0:
                string more = random.Pick(["buys", "gets", "finds"]);
                return Posed(
                    $"{name} has {a} {things} and {more} {b} more. How many {things} does {name} have now?",
                    $"{Sum(a, b)} {name} has {a + b} {things}.",
                    10 * Math.Max(a, b)
                );
            case 1:
                if (a < b)
                    (a, b) = (b, a);
                string less = random.Pick(["loses", "sells", "gives away"]);
                return Posed(
                    $"{name} has {a} {things} and {less} {b}. How many {things} are left?",
                    $"{Difference(a, b)} {a - b} {things} are left.",
                    10 * Math.Max(a, b)
                );
            default:
                return Posed(
                    $"There are {a} boxes with {b} {things} in each. How many {things} are there?",
                    $"{Product(a, b)} There are {a * b} {things}.",
                    20 * Math.Max(a, b)
                );
        }
    }

    private static PosedQuestion Units(Random random)
    {
        var (large, small, factor) = random.Pick([
            ("hours", "minutes", 60),
            ("minutes", "seconds", 60),
            ("days", "hours", 24),
            ("weeks", "days", 7),
            ("years", "months", 12),
            ("dozen", "eggs", 12),
        ]);
        int count = random.Next(2, 10);
        string text = random.Wording(
            $"How many {small} are in {count} {large}?",
            $"How many {small} are there in {count} {large}?",
            $"{count} {large} in {small}",
            $"Convert {count} {large} to {small}."
        );
        return Posed(text, $"{count} * {factor} = {count * factor}, so {count} {large} are {count * factor} {small}.", 100);
    }

    // Operands below 10 are level 1, below 100 level 2 and so on.
    private static PosedQuestion Posed(string text, string answer, int size) =>
        new(text, answer, Math.Min(5, 1 + (int)Math.Log10(Math.Max(1, size))), LastNumber);
}
