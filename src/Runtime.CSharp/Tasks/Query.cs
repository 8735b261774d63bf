namespace OptimalStopping.Runtime.Tasks;

/// <summary>One question with its reference answer.</summary>
/// <param name="Id">Unique within its set; names the family, the level and the running number.</param>
/// <param name="Family">Task family, which is the first word of the prompt.</param>
/// <param name="Level">Difficulty, 1 (easiest) to 5.</param>
/// <param name="Prompt">What the model is given.</param>
/// <param name="Solution">What it should write: working, then <c>#</c>, then the answer.</param>
public sealed record Query(string Id, string Family, int Level, string Prompt, string Solution)
{
    /// <summary>How answers are graded; that of the nano families where nothing else is said.</summary>
    public AnswerGrader Grader { get; init; } = AnswerGrader.Marked;

    /// <summary>The part of the solution that is graded: what stands after the last <c>#</c>, or the file's reference.</summary>
    public string Answer => Grader.Reference(Solution);

    /// <summary>1 where the text's final answer is the solution's, otherwise 0; the working before it is not graded.</summary>
    public double Grade(string text) => Grader.Grade(text, Solution);
}

/// <summary>
/// The three disjoint parts of the space of prompts. A prompt belongs to exactly one of them, decided by a hash of its
/// text alone, so that no prompt trained on can be calibrated on or tested on, whatever the seeds.
/// </summary>
public enum QuerySplit
{
    Train,
    Calibration,
    Test,
}

/// <summary>Assigns prompts to splits: eight tenths train, one tenth calibration, one tenth test.</summary>
public static class QuerySplits
{
    /// <summary>The split of a prompt (FNV-1a of its characters, finished with a 64-bit mixer).</summary>
    public static QuerySplit From(string prompt)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in prompt)
            hash = (hash ^ c) * 1099511628211;
        hash ^= hash >> 32;
        hash *= 0xD6E8FEB86659FD93;
        hash ^= hash >> 32;
        return (hash % 10) switch
        {
            8 => QuerySplit.Calibration,
            9 => QuerySplit.Test,
            _ => QuerySplit.Train,
        };
    }
}
