using System.Text.RegularExpressions;

namespace OptimalStopping.Runtime.Tasks.Miniature;

/// <summary>Questions about the explanations and facts of <see cref="Knowledge"/>, the popular ones more often.</summary>
internal static class KnowledgeQuestions
{
    private const string SmallTalk = "smalltalk";

    private static readonly AnswerGrader Agreement = new(Grading.Agreement);

    /// <param name="flat">True: every entry is as likely as any other of its family, so that rare ones are asked for often.</param>
    public static IEnumerable<QuestionFamily> Families(Knowledge knowledge, bool flat)
    {
        double Weight(int popularity) => flat ? 1 : Traffic(popularity);
        var terms = new WeightedChoice<Explanation>(knowledge.Explanations, entry => Weight(entry.Popularity));
        yield return new("explanation", 28, random => Explain(random, terms.Draw(random)));

        // A relation's share grows with the root of its size: a thousand translations do not crowd out twelve months.
        double Size(Relation relation) => relation.Name == SmallTalk ? 0 : Math.Sqrt(relation.Facts.Sum(fact => Traffic(fact.Popularity)));
        double total = knowledge.Relations.Sum(Size);
        foreach (Relation relation in knowledge.Relations)
        {
            var facts = new WeightedChoice<Fact>(relation.Facts, fact => Weight(fact.Popularity));
            if (relation.Name == SmallTalk)
                yield return new(SmallTalk, 3, random => Chat(random, facts.Draw(random)));
            else
            {
                var grader = new AnswerGrader(Grading.Key, KeyPattern(relation.Answer));
                yield return new(relation.Name, 42 * Size(relation) / total, random =>
                    Ask(relation, grader, random.Wording([.. relation.Questions]), facts.Draw(random))
                );
            }
        }
    }

    // Real traffic has a long tail: marks from 1 to 100 are closer to a logarithm of the demand than to the demand itself.
    // With the cube, the tenth that is best known gets four questions in ten, the rarer half one in twenty.
    private static double Traffic(int popularity) => (double)popularity * popularity * popularity;

    /// <summary>1 for popularity above 80 and so on, to 5 for 20 and less.</summary>
    internal static int Level(int popularity) => 5 - (popularity - 1) / 20;

    private static PosedQuestion Explain(Random random, Explanation entry)
    {
        string term = entry.Term,
            bare = Regex.Replace(term, "^(a|an|the) ", "", RegexOptions.IgnoreCase);
        string text;
        if (Regex.IsMatch(term, "^(why|how) "))
        {
            string direct = Regex.Replace(term, "^(why|how) (the [a-z]+) (is|are) ", "$1 $3 $2 ");
            text = random.Wording(
                $"Explain {term}",
                direct == term ? $"Tell me {term}." : $"{Draws.Capitalised(direct)}?",
                $"Can you explain {term}?",
                $"Do you know {term}?",
                $"{Draws.Capitalised(term)}?",
                $"Explain to me {term}.",
                $"I want to know {term}."
            );
        }
        else
        {
            // The explanation begins with the term, so its next word says whether the term is a plural or a person.
            string verb = Regex.Match(entry.Text, $"^{Regex.Escape(term)} (are|were|was|is)\\b", RegexOptions.IgnoreCase).Groups[1].Value;
            string be = verb is "are" or "were" or "was" ? verb : "is",
                asking = be == "is" ? "What's" : $"What {be}";
            text = random.Wording(
                $"What {be} {term}?",
                $"What {be} {term}?",
                $"Explain {term}",
                $"Explain {term}.",
                $"{asking} {term}?",
                $"Define {bare}",
                $"Can you explain {term}?",
                $"Tell me about {term}",
                $"what {be} {bare}",
                Draws.Capitalised(bare),
                $"What does {bare} mean?",
                $"{Draws.Capitalised(bare)}?",
                $"Explain {term} in simple terms.",
                $"Please explain {term}.",
                $"Describe {term}.",
                $"Explain {term} to me",
                $"What do you know about {term}?",
                $"Can you tell me what {term} {be}?",
                $"Do you know what {term} {be}?",
                $"Definition of {bare}",
                $"Give me a short explanation of {term}.",
                $"What exactly {be} {term}?",
                $"I want to know what {term} {be}.",
                $"How would you explain {term}?",
                $"Meaning of {bare}",
                $"Tell me what {term} {be}.",
                $"What is meant by {bare}?",
                $"Explain {bare} briefly"
            );
        }
        return new PosedQuestion(text, entry.Text, Level(entry.Popularity), Agreement);
    }

    private static PosedQuestion Chat(Random random, Fact entry) =>
        new(
            random.Chance(0.7) ? entry.Subject : $"{random.Pick(["ok", "well", "so", "hey", "hi", "oh"])}, {entry.Subject}",
            entry.Answer,
            Level(entry.Popularity),
            Agreement
        );

    private static PosedQuestion Ask(Relation relation, AnswerGrader grader, string wording, Fact fact)
    {
        string Fill(string template) => Draws.Capitalised(template.Replace("{0}", fact.Subject).Replace("{1}", fact.Answer));
        return new PosedQuestion(Fill(wording), Fill(relation.Answer), Level(fact.Popularity), grader, MeansCapitals(fact.Subject));
    }

    // "Au", "NaCl" and "XIV" are not to be written small; "France" and "New York" may be.
    private static bool MeansCapitals(string subject) =>
        subject.Length <= 2 || Regex.IsMatch(subject, @"[a-z0-9][A-Z]|[A-Z]{2}|[A-Z][0-9]");

    /// <summary>The pattern that finds {1} in a sentence made from a relation's answer, whatever stands for {0}.</summary>
    internal static string KeyPattern(string answer) =>
        "(?i)^" + Regex.Escape(Draws.Capitalised(answer)).Replace(@"\{0}", ".+").Replace(@"\{1}", "(.+?)") + "$";
}
