namespace OptimalStopping.Runtime.Tasks.Miniature;

/// <summary>The families of questions over a knowledge, and how often each is asked.</summary>
public sealed class QuestionMix
{
    private readonly WeightedChoice<QuestionFamily> _choice;

    /// <param name="flat">True: rare entries are asked for as often as popular ones.</param>
    public QuestionMix(Knowledge knowledge, bool flat = false)
    {
        QuestionFamily[] families =
        [
            .. KnowledgeQuestions.Families(knowledge, flat),
            .. ArithmeticQuestions.Families,
            .. LogicQuestions.Families,
            .. WordQuestions.Families(knowledge),
        ];
        _choice = new WeightedChoice<QuestionFamily>(families, family => family.Weight);
        Families = [.. families.Select(family => family.Name)];
    }

    /// <summary>Names of the families, which are unique.</summary>
    public IReadOnlyList<string> Families { get; }

    internal QuestionFamily Draw(Random random) => _choice.Draw(random);
}

/// <summary>
/// Draws questions of one split: a family by its share of the mix, an entry by its popularity, a wording, a way to type
/// it. The sequence is a function of the mix, seed and split.
/// </summary>
/// <remarks>
/// Held out are wordings and operands. A question's split is a hash of its text without case, spaces and closing marks, so
/// the same question is never both trained on and tested on; the fact that it asks for may be known from other wordings,
/// as facts are learned and cannot be derived. Small talk typed as it stands in the file is always trained on.
/// </remarks>
public sealed class MiniatureQuestions
{
    private readonly Random _random;
    private readonly QuerySplit _split;
    private readonly QuestionMix _mix;
    private int _count;

    /// <param name="seed">Decides the whole sequence.</param>
    /// <param name="split">Only questions of this split are drawn.</param>
    public MiniatureQuestions(QuestionMix mix, int seed, QuerySplit split)
    {
        _random = new Random(unchecked(seed * 31 + (int)split * 7919 + 17));
        _split = split;
        _mix = mix;
    }

    /// <summary>The next question of the sequence. Questions can repeat; <see cref="Distinct"/> draws without repeats.</summary>
    public Query Next()
    {
        while (true)
        {
            QuestionFamily family = _mix.Draw(_random);
            PosedQuestion posed = family.Pose(_random);
            string prompt = _random.Typed(posed);
            if (Split(family, posed, prompt) == _split)
                return new Query(
                    $"{_split.ToString().ToLowerInvariant()}-{_count++}-{family.Name}-{posed.Level}",
                    family.Name,
                    posed.Level,
                    prompt,
                    posed.Answer
                )
                {
                    Grader = posed.Grader,
                };
        }
    }

    /// <summary>The next questions of the sequence, none equal to another up to case, spaces and closing marks.</summary>
    /// <exception cref="ToolkitException">There are not so many.</exception>
    public Query[] Distinct(int count)
    {
        var seen = new HashSet<string>();
        var queries = new Query[count];
        for (int i = 0, repeats = 0; i < count; )
        {
            Query query = Next();
            if (seen.Add(Typing.Normalised(query.Prompt)))
                queries[i++] = query;
            else if (++repeats > 100 * count + 10_000)
                throw new ToolkitException($"questions: expected {count} distinct ones of split {_split}, got only {i}");
        }
        return queries;
    }

    private static QuerySplit Split(QuestionFamily family, PosedQuestion posed, string prompt)
    {
        string text = Typing.Normalised(prompt);
        return family.Name == "smalltalk" && !posed.Text.Contains(", ", StringComparison.Ordinal) && text == Typing.Normalised(posed.Text)
            ? QuerySplit.Train
            : QuerySplits.From(text);
    }
}
