namespace OptimalStopping.Runtime.Tasks;

/// <summary>One question with its reference answer.</summary>
/// <param name="Id">Unique within its set; names the family, the level and the running number.</param>
/// <param name="Family">Task family, which is the first word of the prompt.</param>
/// <param name="Level">Difficulty, 1 (easiest) to 5.</param>
/// <param name="Prompt">What the model is given.</param>
/// <param name="Solution">What it should write: working, then <c>#</c>, then the answer.</param>
public sealed record Query(string Id, string Family, int Level, string Prompt, string Solution)
{
    /// <summary>Grades answers to a question from a file; null for the nano families, which <see cref="Tasks.Grader"/> grades.</summary>
    public AnswerGrader? Grader { get; init; }

    /// <summary>The part of the solution that is graded: what stands after the last <c>#</c>, or the file's reference.</summary>
    public string Answer => Grader is null ? Tasks.Grader.ExtractAnswer(Solution) ?? "" : Grader.Reference(Solution);
}
