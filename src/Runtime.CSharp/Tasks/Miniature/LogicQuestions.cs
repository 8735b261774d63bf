namespace OptimalStopping.Runtime.Tasks.Miniature;

/// <summary>Comparisons, sequences and small deductions.</summary>
internal static class LogicQuestions
{
    private static readonly AnswerGrader LastNumber = new(Grading.Numeric);
    private static readonly AnswerGrader FirstWord = new(Grading.Key, @"^([^\s,.]+)");
    private static readonly AnswerGrader LastWord = new(Grading.Key, @"([^\s,.]+)\.$");
    private static readonly string[] Days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    private static readonly string[] Names = ["Anna", "Ben", "Carl", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivan", "Jill"];

    private static readonly (string More, string Most, string Least)[] Orders =
    [
        ("taller", "tallest", "shortest"),
        ("older", "oldest", "youngest"),
        ("faster", "fastest", "slowest"),
        ("heavier", "heaviest", "lightest"),
        ("richer", "richest", "poorest"),
    ];

    public static IEnumerable<QuestionFamily> Families { get; } =
    [
        new("bigger", 1.4, Bigger),
        new("greater-than", 0.8, GreaterThan),
        new("largest", 0.8, Largest),
        new("even-or-odd", 0.6, Parity),
        new("sequence", 0.8, Sequence),
        new("tallest", 0.7, Tallest),
        new("and-or", 0.4, Boolean),
        new("weekday", 0.7, Weekday),
    ];

    private static (int, int) Different(Random random)
    {
        int a = random.Number(0, 3, 4, 2, 0.5),
            b = random.Chance(0.3) ? a + random.Next(1, 10) : random.Number(0, 3, 4, 2, 0.5);
        if (a == b)
            b++;
        return random.Chance(0.5) ? (a, b) : (b, a);
    }

    private static PosedQuestion Bigger(Random random)
    {
        var (a, b) = Different(random);
        bool bigger = random.Chance(0.65);
        string text = bigger
            ? random.Wording(
                $"Which is bigger, {a} or {b}?",
                $"Which number is larger: {a} or {b}?",
                $"What is bigger, {a} or {b}?",
                $"Which is greater, {a} or {b}?",
                $"Is {a} or {b} bigger?",
                $"Which is larger, {a} or {b}?",
                $"{a} or {b}, which is bigger?"
            )
            : random.Wording(
                $"Which is smaller, {a} or {b}?",
                $"Which number is smaller: {a} or {b}?",
                $"What is smaller, {a} or {b}?",
                $"Which is less, {a} or {b}?"
            );
        int high = Math.Max(a, b),
            low = Math.Min(a, b);
        return new(text, bigger ? $"{high} is bigger than {low}." : $"{low} is smaller than {high}.", Level(high), FirstWord);
    }

    private static PosedQuestion GreaterThan(Random random)
    {
        var (a, b) = Different(random);
        bool more = random.Chance(0.5);
        string word = more ? "greater" : "less";
        string text = random.Wording(
            $"Is {a} {word} than {b}?",
            more ? $"Is {a} > {b}?" : $"Is {a} < {b}?",
            $"Is {a} {(more ? "bigger" : "smaller")} than {b}?",
            $"Is it true that {a} is {word} than {b}?",
            $"{a} {(more ? ">" : "<")} {b}?"
        );
        return new(
            text,
            $"{(more == a > b ? "Yes" : "No")}, {a} is {(a > b ? "greater" : "less")} than {b}.",
            Level(Math.Max(a, b)),
            FirstWord
        );
    }

    private static PosedQuestion Largest(Random random)
    {
        var numbers = new HashSet<int>();
        int count = random.Next(3, 6);
        while (numbers.Count < count)
            numbers.Add(random.Number(1, 3, 3, 0.5));
        string list = string.Join(", ", numbers);
        bool most = random.Chance(0.6);
        string word = most ? "largest" : "smallest";
        string text = random.Wording(
            $"What is the {word} of {list}?",
            $"Which is the {word} number: {list}?",
            $"{(most ? "max" : "min")} of {list}",
            $"Find the {word} number in {list}.",
            $"Which of {list} is the {word}?"
        );
        int answer = most ? numbers.Max() : numbers.Min();
        return new(text, $"The {word} is {answer}.", count - 1, LastNumber);
    }

    private static PosedQuestion Parity(Random random)
    {
        int a = random.Number(0, 4, 4, 2);
        string parity = a % 2 == 0 ? "even" : "odd";
        return random.Chance(0.5)
            ? new(
                random.Wording($"Is {a} even or odd?", $"Is {a} odd or even?", $"Is the number {a} even or odd?", $"{a}: even or odd?"),
                $"{a} is {parity}.",
                Level(a),
                LastWord
            )
            : new(
                random.Wording($"Is {a} even?", $"Is {a} an even number?", $"Is the number {a} even?"),
                $"{(a % 2 == 0 ? "Yes" : "No")}, {a} is {parity}.",
                Level(a),
                FirstWord
            );
    }

    private static PosedQuestion Sequence(Random random)
    {
        int step = random.Next(1, 11),
            start = random.Next(1, 20);
        bool down = random.Chance(0.2);
        if (down)
            (start, step) = (start + 4 * step, -step);
        int last = start + 3 * step;
        string list = $"{start}, {start + step}, {start + 2 * step}, {last}";
        string text = random.Wording(
            $"What comes next: {list}?",
            $"What is the next number: {list}, ?",
            $"Continue the sequence {list}",
            $"{list}, ...?",
            $"Which number comes next in {list}?",
            $"What number follows {list}?"
        );
        string working = down ? $"{last} - {-step} = {last + step}" : $"{last} + {step} = {last + step}";
        return new(text, $"The next number is {working}.", 2, LastNumber);
    }

    private static PosedQuestion Tallest(Random random)
    {
        string[] names = [.. Names];
        random.Shuffle(names);
        var (more, most, least) = random.Pick(Orders);
        var (a, b, c) = (names[0], names[1], names[2]);
        bool top = random.Chance(0.6);
        string facts = random.Chance(0.5)
            ? $"{a} is {more} than {b} and {b} is {more} than {c}"
            : $"{b} is {more} than {c} and {a} is {more} than {b}";
        string word = top ? most : least;
        string text = random.Wording($"If {facts}, who is the {word}?", $"{facts}. Who is the {word}?", $"Who is the {word} if {facts}?");
        return new(text, $"The {word} is {(top ? a : c)}.", 3, LastWord);
    }

    private static PosedQuestion Boolean(Random random)
    {
        bool a = random.Chance(0.5),
            b = random.Chance(0.5),
            and = random.Chance(0.5),
            result = and ? a && b : a || b;
        string formula = $"{Word(a)} {(and ? "and" : "or")} {Word(b)}";
        string text = random.Wording(
            $"What is {formula}?",
            $"Evaluate: {formula}",
            $"{formula} = ?",
            $"What does {formula} give?",
            $"{formula}"
        );
        return new(text, $"{Draws.Capitalised(formula)} is {Word(result)}.", 1, LastWord);

        static string Word(bool value) => value ? "true" : "false";
    }

    private static PosedQuestion Weekday(Random random)
    {
        int today = random.Next(7),
            days = random.Next(1, 7);
        string text = random.Wording(
            $"If today is {Days[today]}, what day is it in {days} days?",
            $"Today is {Days[today]}. What day will it be in {days} days?",
            $"What day is {days} days after {Days[today]}?",
            $"Which day comes {days} days after {Days[today]}?"
        );
        if (days == 1)
            text = text.Replace("1 days", "1 day");
        string walk = string.Join(", ", Enumerable.Range(1, days).Select(day => Days[(today + day) % 7]));
        return new(text, $"{walk}. It is {Days[(today + days) % 7]}.", days <= 3 ? 2 : 3, LastWord);
    }

    private static int Level(int size) => 1 + (int)Math.Log10(Math.Max(1, size));
}
