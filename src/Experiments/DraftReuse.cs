using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Decoding;
using OptimalStopping.Theory;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Experiments;

/// <summary>A point of the front of the cascade with or without reuse of the earlier answer as draft.</summary>
[RunTable("speculative_reuse.csv")]
public sealed record ReusePoint(double Lambda, bool Reuse, double Cost, [Column(Unit = true)] double Quality);

/// <summary>What the verifier's opinion of the draft adds to the confidence in its own answer.</summary>
[RunTable("speculative_features.csv")]
public sealed record DraftFeatures(
    string Drafter,
    string Verifier,
    int Queries,
    [Column(Unit = true)] double AcceptedFraction,
    double ForwardsShare,
    [Column(Unit = true, Optional = true)] double AurocWithout,
    [Column(Unit = true, Optional = true)] double AurocWith,
    [Column(Optional = true)] double BrierWithout,
    [Column(Optional = true)] double BrierWith,
    long DifferentTokens
);

/// <summary>
/// The cascade whose later stage verifies the answer that is there instead of writing from nothing: what it costs, and
/// what the verifier's opinion of the draft is worth as a confidence feature.
/// </summary>
public static class DraftReuse
{
    private const int Prices = 24;

    /// <summary>Writes speculative_reuse.csv (the front with and without reuse) and speculative_features.csv.</summary>
    public static void Run(
        Cascade cascade,
        ExperimentOptions options,
        string folder,
        Action<string, double> progress,
        CancellationToken cancel
    )
    {
        CascadeFile file = cascade.File;
        string[] names = [.. file.Stages.Select(stage => stage.Name)];
        int half = options.SpeculativeQueries,
            stages = names.Length;
        var queries = CascadeQueries.Draw(file with { CalibrationQueries = half, TestQueries = half }, options.Seed);
        int[][] prompts = [.. queries.Select(q => cascade.EncodePrompt(q.Query.Prompt))];
        progress("answers of every stage", 0);
        Generation[][] answers = [.. Enumerable.Range(0, stages).Select(k => cascade.Decoder(k).DecodeAll(prompts, cancel: cancel))];
        var records = new CascadeRecords(
            names,
            [
                .. queries.Select(
                    (q, i) =>
                    {
                        string[] texts = [.. answers.Select(stage => cascade.Tokenizer.Decode(stage[i].Tokens))];
                        return new CascadeRecord(
                            q.Split,
                            q.Query.Family,
                            q.Query.Level,
                            [.. file.Stages.Select((stage, k) => stage.CostOf(prompts[i].Length, answers[k][i].Features.Length))],
                            [.. texts.Select((text, k) => answers[k][i].Ended ? q.Query.Grade(text) : 0)],
                            [.. texts.Select(text => q.Query.Grader.Extract(text) ?? "")],
                            [.. answers.Select(stage => stage[i].Features)]
                        );
                    }
                ),
            ]
        );
        var verdicts = new SpeculativeGeneration[stages, stages][];
        for (int i = 0; i < stages; i++)
        for (int j = i + 1; j < stages; j++)
        {
            progress("verifying answers", (i * stages + j) / (double)(stages * stages));
            verdicts[i, j] = Verify(cascade, j, prompts, answers[i], cancel);
        }
        var plans = new CascadePlans(file, records);
        RecordedCascade test = records.Of(CascadeRecords.Test).ToRecordedCascade(plans.Calibration.Confidence);
        ResultTable.Write(folder, Front(file, plans, test, verdicts, half));
        ResultTable.Write(folder, Features(records, plans, answers, verdicts, half));
    }

    /// <summary>A stage's answers, decoded by verifying those of another stage.</summary>
    private static SpeculativeGeneration[] Verify(
        Cascade cascade,
        int verifier,
        int[][] prompts,
        Generation[] drafts,
        CancellationToken cancel
    )
    {
        using var decoder = new SpeculativeDecoder(
            [cascade.Models[verifier]],
            cascade.Tokenizer.StopTokens,
            cascade.File.MaxTokens,
            [DraftController.Fixed(cascade.File.MaxTokens)],
            () => new AnswerDraft()
        );
        return
        [
            .. prompts.Select((prompt, i) => decoder.Decode(prompt, answer: Whole(drafts[i], cascade.Tokenizer.EndOfText), cancel: cancel)),
        ];
    }

    private static int[] Whole(Generation answer, int endOfText) => answer.Ended ? [.. answer.Tokens, endOfText] : answer.Tokens;

    // The answers of a stage are the same with and without reuse, and so are the decisions: only the costs differ. What a
    // stage costs by itself is one forward a token; by verifying, the forwards it made.
    private static IEnumerable<ReusePoint> Front(
        CascadeFile file,
        CascadePlans plans,
        RecordedCascade test,
        SpeculativeGeneration[,][] verdicts,
        int half
    )
    {
        int stages = file.Stages.Count;
        for (int p = 0; p < Prices; p++)
        {
            // From where only the cheapest model is asked to where cost hardly counts.
            double lambda = Math.Pow(10, -0.5 - 3.5 * p / (Prices - 1)) / file.Stages[^1].Cost * 3;
            IStoppingPolicy policy = plans.Plan(lambda).Policy;
            double plain = 0,
                reused = 0,
                quality = 0;
            for (int q = 0; q < test.Queries; q++)
            {
                uint ran = 0;
                int previous = -1;
                while (true)
                {
                    Decision decision = policy.Decide(
                        new Observation(ran, test.Confidence.AsSpan(q * stages, stages), test.Answer.AsSpan(q * stages, stages), [])
                    );
                    if (decision.Stop)
                    {
                        quality += test.Quality[q * stages + decision.Stage];
                        break;
                    }
                    int stage = decision.Stage;
                    double cost = file.Stages[stage].Cost;
                    plain += cost;
                    reused += previous < 0 ? cost : cost * ForwardShare(verdicts[previous, stage][half + q]);
                    ran |= 1u << stage;
                    previous = stage;
                }
            }
            yield return new(lambda, false, plain / test.Queries, quality / test.Queries);
            yield return new(lambda, true, reused / test.Queries, quality / test.Queries);
        }
    }

    private static double ForwardShare(SpeculativeGeneration verified) =>
        verified.Metrics.Target.Forwards / (double)verified.Generation.Features.Length;

    // Both calibrations know what the two stages say of their own answers; the second also what the verifier says of the draft.
    private static IEnumerable<DraftFeatures> Features(
        CascadeRecords records,
        CascadePlans plans,
        Generation[][] answers,
        SpeculativeGeneration[,][] verdicts,
        int half
    )
    {
        for (int i = 0; i < answers.Length; i++)
        for (int j = i + 1; j < answers.Length; j++)
        {
            SpeculativeGeneration[] pair = verdicts[i, j];
            double[][] without =
            [
                .. records.Records.Select(r =>
                    (double[])[Logit(plans.Calibration.Confidence(i, r.Features[i])), Logit(plans.Calibration.Confidence(j, r.Features[j]))]
                ),
            ];
            double[][] with = [.. without.Select((own, q) => (double[])[.. own, .. Opinion(pair[q])])];
            double[] labels = [.. records.Records.Select(r => r.Quality[j])];
            var (aurocWithout, brierWithout) = Judge(without, labels, half);
            var (aurocWith, brierWith) = Judge(with, labels, half);
            SpeculativeGeneration[] test = pair[half..];
            yield return new(
                records.Models[i],
                records.Models[j],
                half,
                test.Average(v => v.FirstDraft.AcceptedFraction),
                test.Average(ForwardShare),
                aurocWithout,
                aurocWith,
                brierWithout,
                brierWith,
                pair.Select((v, q) => SpeculativeRuns.Differences(v.Generation.Tokens, answers[j][q].Tokens)).Sum()
            );
        }
    }

    /// <summary>What a verifier says of a draft: the share it accepts, and how probable it finds the draft, on average and at its worst token.</summary>
    private static double[] Opinion(SpeculativeGeneration verified)
    {
        double[] logs = verified.FirstDraft.LogProbabilities;
        return logs.Length == 0
            ? [0, -10, -10]
            : [verified.FirstDraft.AcceptedFraction, Math.Max(-10, logs.Average()), Math.Max(-20, logs.Min())];
    }

    private static (double Auroc, double Brier) Judge(double[][] features, double[] labels, int half)
    {
        if (labels[..half].Distinct().Count() < 2 || labels[half..].Distinct().Count() < 2)
            return (double.NaN, double.NaN);
        LogisticCalibrator calibrator = Logistic.Fit(features[..half], labels[..half], 1);
        double[] confidence = [.. features[half..].Select(f => Math.Clamp(calibrator.Apply(f), 0, 1))];
        return (CalibrationMetrics.Auroc(confidence, labels[half..]), CalibrationMetrics.Brier(confidence, labels[half..]));
    }

    private static double Logit(double p)
    {
        p = Math.Clamp(p, 1e-9, 1 - 1e-9);
        return Math.Log(p / (1 - p));
    }
}
