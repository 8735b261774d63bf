// The program of docs/tutorial-dotnet.md; a test compares the two and runs it.
using Microsoft.Extensions.AI;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Chat;
using OptimalStopping.Theory;

namespace OptimalStopping.Samples.ChatConsole;

/// <summary>Run from the root of a clone: <c>dotnet run --project samples/ChatConsole</c>.</summary>
public static class Program
{
    /// <summary>Prints a sample size, a draft length and one answer.</summary>
    public static async Task Main()
    {
        // How many graded queries until the best of 100 policies is known to within 0.05 with confidence 95 %?
        long queries = SampleComplexity.SamplesFor(range: 1.3, logPolicies: Math.Log(100), epsilon: 0.05, delta: 0.05);

        // How long should a draft be if 80 % of its tokens are accepted and one costs a tenth of a target pass?
        int length = DraftLength.Optimal(acceptance: 0.8, costRatio: 0.1);
        Console.WriteLine($"{queries} queries, drafts of {length}");

        CascadeFile file = CascadeFile.Load("configs/miniature.yaml");
        CascadeRecords records = CascadeRecords.Load(file.CalibrationTrace!);
        await using Cascade cascade = Cascade.Load(file);
        AdaptiveCascade adaptive = AdaptiveCascade.Fit(cascade, records, lambda: 0.02);

        AdaptiveAnswer answer = adaptive.Answer("What is the capital of France?");
        StageAnswer chosen = answer.Chosen;
        Console.WriteLine($"{chosen.Text} (stage {chosen.Stage + 1}, confidence {chosen.Confidence:F3}, cost {answer.Cost})");

        using IChatClient client = CascadeChatClient.Load("configs/miniature.yaml", lambda: 0.02);
        ChatResponse response = await client.GetResponseAsync("What is the capital of France?");
        Console.WriteLine($"{response.Text} from {response.ModelId}, cost {response.AdditionalProperties?[CascadeChatClient.CostKey]}");
    }
}
