using System.Globalization;
using System.Text.Json;
using CsvHelper;
using CsvHelper.Configuration;

namespace OptimalStopping.Runtime.Tasks;

/// <summary>
/// Queries from a user's files: GSM8K (Cobbe et al. 2021; jsonl with <c>question</c> and <c>answer</c>), MMLU (Hendrycks
/// et al. 2021; csv of question, four choices and a letter, without a header) and any jsonl of questions and answers.
/// </summary>
public static class QueryFiles
{
    private const int Choices = 4;

    /// <summary>
    /// The calibration queries, then the test queries, of a cascade file's source; each prompt once. Which ones, and in
    /// which order, the seed decides. A prompt of the test file is never a calibration query.
    /// </summary>
    /// <exception cref="ToolkitException">A file is missing or malformed, or holds too few queries.</exception>
    public static (Query[] Calibration, Query[] Test) Draw(TaskSource source, int seed, int calibration, int test)
    {
        Query[] all = Shuffled(source, source.Path!, seed);
        if (source.CalibrationPath is not { } other)
        {
            Expect(source.Path!, all.Length, calibration + test, "calibration and test queries");
            return (all[..calibration], all[calibration..(calibration + test)]);
        }
        Expect(source.Path!, all.Length, test, "test queries");
        var held = all.Select(query => query.Prompt).ToHashSet();
        Query[] rest = [.. Shuffled(source, other, seed).Where(query => !held.Contains(query.Prompt))];
        Expect(other, rest.Length, calibration, "calibration queries that are no test queries");
        return (rest[..calibration], all[..test]);
    }

    /// <summary>Every query of a file (for mmlu also of a folder of csv files), in the order of the file.</summary>
    /// <exception cref="ToolkitException">With file, line, field, what was expected and what was got.</exception>
    public static IReadOnlyList<Query> Read(TaskSource source, string path)
    {
        var grader = new AnswerGrader(source.Grading, source.Pattern);
        try
        {
            if (source.Kind != "mmlu")
                return [.. ReadLines(source, path, grader)];
            string[] files = Directory.Exists(path) ? [.. Directory.GetFiles(path, "*.csv").Order(StringComparer.Ordinal)] : [path];
            if (files.Length == 0)
                throw new ToolkitException($"{path}: expected csv files, got none");
            return [.. files.SelectMany(file => ReadChoices(source, file, grader))];
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new ToolkitException($"{path}: expected a readable file, got: {fault.Message.ReplaceLineEndings(" ")}", fault);
        }
    }

    private static Query[] Shuffled(TaskSource source, string path, int seed)
    {
        Query[] queries = [.. Read(source, path).DistinctBy(query => query.Prompt)];
        new Random(seed).Shuffle(queries);
        return queries;
    }

    private static void Expect(string path, int got, int wanted, string what)
    {
        if (got < wanted)
            throw new ToolkitException($"{path}: expected at least {wanted} {what}, got {got}");
    }

    private static IEnumerable<Query> ReadLines(TaskSource source, string path, AnswerGrader grader)
    {
        string name = Path.GetFileNameWithoutExtension(path);
        int number = 0;
        foreach (string line in File.ReadLines(path))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
                continue;
            JsonDocument document;
            try
            {
                document = JsonDocument.Parse(line);
            }
            catch (JsonException fault)
            {
                throw new ToolkitException($"{path}:{number}: expected a JSON object, got: {fault.Message.ReplaceLineEndings(" ")}", fault);
            }
            using (document)
            {
                string question = Field(path, number, document.RootElement, source.PromptField);
                string reference = Field(path, number, document.RootElement, source.ReferenceField);
                string instruction = source.Instruction
                    ?? (source.Kind == "gsm8k" ? @"Please reason step by step, and put your final answer within \boxed{}." : "");
                string prompt =
                    instruction == "" ? question
                    : source.Kind == "gsm8k" && source.Instruction is null ? $"{question}\n{instruction}"
                    : $"{instruction}\n{question}";
                yield return new Query($"{name}-{number}", source.Kind == "gsm8k" ? "gsm8k" : name, 1, prompt, reference)
                {
                    Grader = grader,
                };
            }
        }
    }

    private static string Field(string path, int line, JsonElement item, string key)
    {
        if (item.ValueKind != JsonValueKind.Object)
            throw new ToolkitException($"{path}:{line}: expected a JSON object, got {item.ValueKind.ToString().ToLowerInvariant()}");
        if (item.TryGetProperty(key, out JsonElement value))
        {
            if (value.ValueKind == JsonValueKind.String && value.GetString() is { } text && !string.IsNullOrWhiteSpace(text))
                return text;
            if (value.ValueKind == JsonValueKind.Number)
                return value.GetRawText();
        }
        throw new ToolkitException(
            $"{path}:{line}: key '{key}': expected a text that is not empty, got {(value.ValueKind == JsonValueKind.Undefined ? "nothing" : value.GetRawText())}"
        );
    }

    private static IEnumerable<Query> ReadChoices(TaskSource source, string file, AnswerGrader grader)
    {
        string subject = Path.GetFileNameWithoutExtension(file);
        using var reader = new StreamReader(file);
        using var csv = new CsvParser(reader, new CsvConfiguration(CultureInfo.InvariantCulture) { HasHeaderRecord = false });
        string instruction = source.Instruction ?? "Answer with the letter of the right choice alone.";
        while (Next(csv, file) is { } row)
        {
            int line = csv.RawRow;
            if (row.Length != Choices + 2)
                throw new ToolkitException(
                    $"{file}:{line}: expected question, {Choices} choices and the answer's letter, got {row.Length} fields"
                );
            string answer = row[^1].Trim();
            if (answer is not ("A" or "B" or "C" or "D"))
                throw new ToolkitException($"{file}:{line}: field 6: expected A, B, C or D, got '{answer}'");
            string choices = string.Join('\n', row[1..^1].Select((choice, i) => $"{(char)('A' + i)}. {choice}"));
            yield return new Query($"{subject}-{line}", subject, 1, $"{instruction}\n{row[0]}\n{choices}", answer) { Grader = grader };
        }
    }

    private static string[]? Next(CsvParser csv, string file)
    {
        try
        {
            return csv.Read() ? csv.Record : null;
        }
        catch (CsvHelperException fault)
        {
            throw new ToolkitException(
                $"{file}:{csv.RawRow}: expected comma-separated values, got: {fault.Message.ReplaceLineEndings(" ")[..Math.Min(100, fault.Message.Length)]}",
                fault
            );
        }
    }
}
