using System.Text.RegularExpressions;

namespace OptimalStopping.Runtime.Tasks.Miniature;

/// <summary>
/// Spelling, counting, reversing and sorting. The words are those of the explanations, the frequent ones more often;
/// letters are written out one by one before anything is done with them.
/// </summary>
internal static class WordQuestions
{
    private static readonly AnswerGrader LastNumber = new(Grading.Numeric);
    private static readonly AnswerGrader AfterColon = new(Grading.Key, @": ([^:]+)\.$");
    private static readonly AnswerGrader LastQuoted = new(Grading.Key, "\"([^\"]+)\"\\.$");

    public static IEnumerable<QuestionFamily> Families(Knowledge knowledge)
    {
        var counts = new SortedDictionary<string, int>(StringComparer.Ordinal);
        foreach (Explanation entry in knowledge.Explanations)
        foreach (Match word in Regex.Matches(entry.Text, @"(?<![\w'-])[a-z]{3,9}(?![\w'-])"))
            counts[word.Value] = counts.GetValueOrDefault(word.Value) + 1;
        var words = new WeightedChoice<KeyValuePair<string, int>>([.. counts], word => Math.Sqrt(word.Value));
        string Word(Random random) => words.Draw(random).Key;
        return
        [
            new("spelling", 1.5, random => Spell(random, Word(random))),
            new("reverse", 1.2, random => Reverse(random, Word(random))),
            new("count-letters", 1.2, random => CountAll(random, Word(random))),
            new("count-letter", 1.2, random => CountOne(random, Word(random))),
            new("first-letter", 0.8, random => EndLetter(random, Word(random))),
            new("sort-numbers", 0.8, SortNumbers),
            new("sort-words", 0.8, random => SortWords(random, Word)),
        ];
    }

    private static string Spelled(IEnumerable<char> letters) => string.Join('-', letters);

    private static PosedQuestion Spell(Random random, string word) =>
        new(
            random.Wording(
                $"How do you spell \"{word}\"?",
                $"Spell {word}",
                $"Spell the word {word}.",
                $"How do you spell {word}?",
                $"How is {word} spelled?",
                $"Can you spell {word}?"
            ),
            $"\"{word}\" is spelled: {Spelled(word)}.",
            Level(word),
            AfterColon
        );

    private static PosedQuestion Reverse(Random random, string word)
    {
        string back = new([.. word.Reverse()]);
        return new(
            random.Wording(
                $"Reverse {word}",
                $"reverse {word}=",
                $"Reverse the word \"{word}\".",
                $"Write {word} backwards.",
                $"What is {word} backwards?",
                $"Spell {word} backwards.",
                $"What is \"{word}\" reversed?"
            ),
            $"{Spelled(word)}, backwards {Spelled(back)}: {back}.",
            Level(word),
            AfterColon
        );
    }

    private static PosedQuestion CountAll(Random random, string word) =>
        new(
            random.Wording(
                $"How many letters are in {word}?",
                $"How many letters are in \"{word}\"?",
                $"How many letters does {word} have?",
                $"How many letters does the word \"{word}\" have?",
                $"Count the letters in {word}.",
                $"Number of letters in {word}"
            ),
            $"{string.Join(", ", word.Select((letter, i) => $"{letter} {i + 1}"))}: {word.Length}.",
            Level(word),
            LastNumber
        );

    private static PosedQuestion CountOne(Random random, string word)
    {
        char letter = random.Chance(0.85) ? random.Pick([.. word]) : (char)('a' + random.Next(26));
        int count = 0;
        string marked = string.Join('-', word.Select(c => c == letter ? $"{c}{++count}" : $"{c}"));
        return new(
            random.Wording(
                $"How many {letter}'s are in {word}?",
                $"How many times does {letter} appear in {word}?",
                $"How many {letter}s are in \"{word}\"?",
                $"How many {letter} in {word}?",
                $"Count the letter {letter} in {word}.",
                $"How often does the letter {letter} occur in {word}?"
            ),
            $"{marked}: {count}.",
            Level(word),
            LastNumber
        );
    }

    private static PosedQuestion EndLetter(Random random, string word)
    {
        bool first = random.Chance(0.5);
        string which = first ? "first" : "last";
        return new(
            random.Wording(
                $"What is the {which} letter of {word}?",
                $"What is the {which} letter of \"{word}\"?",
                $"What letter does {word} {(first ? "begin" : "end")} with?",
                $"{Draws.Capitalised(which)} letter of {word}?",
                $"Which letter comes {which} in {word}?"
            ),
            $"The {which} letter of \"{word}\" is \"{(first ? word[0] : word[^1])}\".",
            1,
            LastQuoted
        );
    }

    private static PosedQuestion SortNumbers(Random random)
    {
        int[] numbers = [.. Enumerable.Range(0, random.Next(3, 6)).Select(_ => random.Number(1, 4, 2))];
        string list = string.Join(", ", numbers);
        return new(
            random.Wording(
                $"Sort {list}",
                $"Sort these numbers: {list}",
                $"Sort the numbers {list}.",
                $"Put these numbers in order: {list}",
                $"Order {list} from small to large.",
                $"Arrange {list} in ascending order."
            ),
            $"In order: {string.Join(", ", numbers.Order())}.",
            numbers.Length - 1,
            AfterColon
        );
    }

    private static PosedQuestion SortWords(Random random, Func<Random, string> word)
    {
        var words = new HashSet<string>();
        int count = random.Next(3, 5);
        while (words.Count < count)
            words.Add(word(random));
        string list = string.Join(", ", words);
        return new(
            random.Wording(
                $"Sort these words: {list}",
                $"Sort {list}",
                $"Put these words in alphabetical order: {list}",
                $"Sort {list} alphabetically.",
                $"Arrange {list} in alphabetical order."
            ),
            $"In order: {string.Join(", ", words.Order(StringComparer.Ordinal))}.",
            count,
            AfterColon
        );
    }

    private static int Level(string word) => Math.Clamp(word.Length - 3, 1, 5);
}
