using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.AI;
using Microsoft.Extensions.DependencyInjection;
using OptimalStopping.Runtime.Chat;

namespace OptimalStopping.Samples.AspNetHost;

/// <summary>
/// A cascade as a service of an ASP.NET program of your own. Run from the root of a clone:
/// <c>dotnet run --project samples/AspNetHost</c>, then <c>curl localhost:5000/answer?prompt=add+963%2B447=</c>.
/// For the OpenAI protocol, metrics and grades take <c>src/Server</c> instead.
/// </summary>
public static class Program
{
    /// <summary>Serves until the process is told to stop.</summary>
    public static async Task Main(string[] args)
    {
        await using WebApplication app = Build(args);
        await app.RunAsync();
    }

    /// <summary>The program, not yet started.</summary>
    public static WebApplication Build(string[] args)
    {
        WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
        // One cascade for all requests: it may answer many at once, and is disposed with the program.
        builder.Services.AddSingleton<IChatClient>(_ => CascadeChatClient.Load("configs/miniature.yaml", lambda: 0.02));
        WebApplication app = builder.Build();
        app.MapGet("/answer", AnswerAsync);
        app.MapGet("/stream", (string prompt, IChatClient client, CancellationToken cancel) =>
            TypedResults.ServerSentEvents(StreamAsync(prompt, client, cancel))
        );
        return app;
    }

    private static async Task<Answer> AnswerAsync(string prompt, IChatClient client, CancellationToken cancel)
    {
        ChatResponse response = await client.GetResponseAsync(prompt, cancellationToken: cancel);
        AdditionalPropertiesDictionary properties = response.AdditionalProperties!;
        return new Answer(
            response.Text,
            (string)properties[CascadeChatClient.StageKey]!,
            (double)properties[CascadeChatClient.ConfidenceKey]!,
            (double)properties[CascadeChatClient.CostKey]!
        );
    }

    private static async IAsyncEnumerable<string> StreamAsync(
        string prompt,
        IChatClient client,
        [EnumeratorCancellation] CancellationToken cancel
    )
    {
        await foreach (ChatResponseUpdate update in client.GetStreamingResponseAsync(prompt, cancellationToken: cancel))
            if (update.Text != "")
                yield return update.Text;
    }
}

/// <summary>An answer, who gave it, how sure it is, and what it cost.</summary>
public sealed record Answer(string Text, string Stage, double Confidence, double Cost);
