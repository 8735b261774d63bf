using System.Security.Cryptography;
using Microsoft.Extensions.AI;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Tasks;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Runtime.Chat;

/// <summary>Cascades whose stages are chat clients.</summary>
public static class ChatCascade
{
    /// <summary>The cascade alone: to record the clients' answers to graded queries (<see cref="Collector"/>) and fit a policy on them.</summary>
    /// <param name="clients">The cheapest first; 2 to 10.</param>
    /// <exception cref="ArgumentException">Clients and options do not fit one another.</exception>
    public static Cascade Create(IReadOnlyList<IChatClient> clients, ChatCascadeOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(clients);
        options ??= new ChatCascadeOptions();
        if (clients.Count is < 2 or > 10)
            throw new ArgumentException($"expected 2 to 10 clients, got {clients.Count}", nameof(clients));
        if (options.Names is { } names && (names.Count != clients.Count || names.Distinct().Count() != names.Count))
            throw new ArgumentException(
                $"expected a name of its own for each of {clients.Count} clients, got {string.Join(", ", names)}",
                nameof(options)
            );
        if (
            options.Costs is { } costs
            && (costs.Count != clients.Count || costs.Zip(costs.Skip(1)).Any(pair => !(pair.First < pair.Second)) || !(costs[0] > 0))
        )
            throw new ArgumentException(
                $"expected a growing cost for each of {clients.Count} clients, got {string.Join(", ", costs)}",
                nameof(options)
            );
        CascadeStage[] stages =
        [
            .. clients.Select((client, k) => new CascadeStage(Name(client, k), "", options.Costs?[k] ?? 1 << k) { Backend = "chat" }),
        ];
        if (stages.Select(stage => stage.Name).Distinct().Count() < stages.Length)
            stages = [.. stages.Select((stage, k) => stage with { Name = $"{stage.Name}-{k + 1}" })];
        var file = new CascadeFile("chat clients", "cascade", stages, null, Recall: true, options.MaxTokens, 100, 100)
        {
            Tasks = new TaskSource("jsonl", null, null, "prompt", "reference", options.Answers, null, null),
        };
        return new Cascade(file, [.. clients.Select((client, k) => new ChatClientStage(client, stages[k], options))]);

        string Name(IChatClient client, int k) =>
            options.Names?[k] ?? client.GetService<ChatClientMetadata>()?.DefaultModelId ?? $"stage-{k + 1}";
    }

    internal static AdaptiveCascade From(IReadOnlyList<IChatClient> clients, IStoppingPolicy policy, ChatCascadeOptions? options)
    {
        ArgumentNullException.ThrowIfNull(policy);
        Cascade cascade = Create(clients, options);
        if (policy.Stages != clients.Count)
            throw new ArgumentException($"expected a policy of {clients.Count} stages, got one of {policy.Stages}", nameof(policy));
        return new AdaptiveCascade(cascade, (_, features) => Math.Clamp(features.RawConfidence, 0, 1), policy);
    }

    internal static AdaptiveCascade From(IReadOnlyList<IChatClient> clients, PolicyFile policy, ChatCascadeOptions? options)
    {
        ArgumentNullException.ThrowIfNull(policy);
        if (policy.Models.Count != clients?.Count)
            throw new ArgumentException(
                $"expected a client for each of {string.Join(", ", policy.Models)}, got {clients?.Count ?? 0}",
                nameof(clients)
            );
        return AdaptiveCascade.From(
            Create(clients, (options ?? new ChatCascadeOptions()) with { Names = options?.Names ?? policy.Models }),
            policy
        );
    }
}

/// <summary>The cascade that is part of this assembly, as files: models are mapped into memory from them.</summary>
internal static class EmbeddedCascade
{
    private const string Prefix = "default/";

    /// <summary>Unpacks the cascade unless an earlier process did; returns its cascade file.</summary>
    /// <exception cref="ToolkitException">The place cannot be written to.</exception>
    public static string Unpack()
    {
        var assembly = typeof(EmbeddedCascade).Assembly;
        string[] names =
        [
            .. assembly
                .GetManifestResourceNames()
                .Where(name => name.StartsWith(Prefix, StringComparison.Ordinal))
                .Order(StringComparer.Ordinal),
        ];
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string name in names)
            hash.AppendData(Bytes(name));
        string place = Path.Combine(
            Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.Create)
                is { Length: > 0 } home
                ? home
                : Path.GetTempPath(),
            "optimal-stopping",
            "miniature-" + Convert.ToHexStringLower(hash.GetHashAndReset())[..16]
        );
        string file = Path.Combine(place, "configs", "miniature.yaml");
        if (File.Exists(file))
            return file;
        try
        {
            // Beside its place first: another process that starts at the same time sees all of it or nothing.
            string beside = $"{place}.{Guid.NewGuid():N}";
            foreach (string name in names)
            {
                string path = Path.Combine(beside, name[Prefix.Length..].Replace('\\', '/'));
                Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                File.WriteAllBytes(path, Bytes(name));
            }
            try
            {
                Directory.Move(beside, place);
            }
            catch (IOException) when (File.Exists(file))
            {
                Directory.Delete(beside, recursive: true);
            }
            return file;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new ToolkitException(
                $"{place}: expected a place to unpack the embedded cascade, got: {fault.Message.ReplaceLineEndings(" ")}",
                fault
            );
        }

        byte[] Bytes(string name)
        {
            using Stream stream = assembly.GetManifestResourceStream(name)!;
            var bytes = new byte[stream.Length];
            stream.ReadExactly(bytes);
            return bytes;
        }
    }
}
