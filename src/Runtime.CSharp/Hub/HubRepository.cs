using System.Text.RegularExpressions;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Hub;

/// <summary>A model on the hub, at a revision.</summary>
/// <param name="Name">As in <c>Qwen/Qwen3-0.6B</c>.</param>
/// <param name="Revision">A branch, a tag or a commit.</param>
/// <param name="File">The one file that is wanted, of a repository with several <c>.gguf</c> files; null for a model's folder.</param>
public sealed partial record HubRepository(string Name, string Revision = HubRepository.MainBranch, string? File = null)
{
    /// <summary>The branch that is taken where none is named.</summary>
    public const string MainBranch = "main";

    /// <summary>Whether a text can be the name of a repository.</summary>
    public static bool IsName(string text) => NamePattern().IsMatch(text) && !text.Contains("..") && !text.Contains("--");

    /// <summary>Whether a text can be a revision.</summary>
    public static bool IsRevision(string text) => RevisionPattern().IsMatch(text) && !text.Contains("..");

    /// <summary>Whether a text can be a file of a model: a name without folders.</summary>
    public static bool IsFile(string text) => FilePattern().IsMatch(text) && text is not ("." or "..");

    /// <summary>The command that fetches it.</summary>
    public string PullCommand =>
        $"toolkit pull {Name}{(Revision == MainBranch ? "" : $" --revision {Revision}")}{(File is null ? "" : $" --file {File}")}";

    // \z: a line break at the end is no part of a name.
    [GeneratedRegex(@"\A[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?\z")]
    private static partial Regex NamePattern();

    [GeneratedRegex(@"\A[A-Za-z0-9][A-Za-z0-9._/-]*\z")]
    private static partial Regex RevisionPattern();

    [GeneratedRegex(@"\A[A-Za-z0-9._-]+\z")]
    private static partial Regex FilePattern();
}

/// <summary>A file of a repository as the hub lists it.</summary>
/// <param name="Name">Its path in the repository.</param>
/// <param name="Size">Bytes.</param>
/// <param name="Tag">What it is kept under: the SHA-256 of a file in Git LFS, else the SHA-1 of the git blob; hexadecimal.</param>
/// <param name="IsLarge">Whether it is kept in Git LFS.</param>
public sealed record HubFile(string Name, long Size, string Tag, bool IsLarge);

/// <summary>A repository at one commit.</summary>
public sealed record HubListing(string Commit, IReadOnlyList<HubFile> Files)
{
    // Everything that a loader reads beside the weights; each may be missing.
    private static readonly string[] Companions =
    [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        "model.safetensors.index.json",
    ];

    /// <summary>
    /// The files that loading the model needs: the weights in safetensors with what stands beside them, or one <c>.gguf</c>
    /// file, or all parts of one that was split. Weights in other forms, pictures and texts are left out.
    /// </summary>
    /// <exception cref="ToolkitException">There are no such weights, or several <c>.gguf</c> files and none is named.</exception>
    public IReadOnlyList<HubFile> Needed(HubRepository repository)
    {
        if (repository.File is { } name)
            return
            [
                .. GgufParts
                    .Files(name)
                    .Select(part => Files.FirstOrDefault(file => file.Name == part) ?? throw NoFile(repository.Name, part)),
            ];
        HubFile[] weights = [.. Files.Where(file => IsAtTop(file, ".safetensors"))],
            gguf = [.. Files.Where(file => IsAtTop(file, ".gguf"))];
        string[] models = [.. gguf.Select(file => GgufParts.Files(file.Name)[0]).Distinct()];
        // Some repositories hold the weights a second time under another name.
        if (weights.Any(file => file.Name.StartsWith("model", StringComparison.Ordinal)))
            weights = [.. weights.Where(file => file.Name.StartsWith("model", StringComparison.Ordinal))];
        if (weights.Length > 0)
            return [.. Files.Where(file => Companions.Contains(file.Name)), .. weights];
        return models.Length switch
        {
            1 => Needed(repository with { File = models[0] }),
            0 => throw new ToolkitException($"{repository.Name}: expected weights in safetensors or a .gguf file, got neither"),
            _ => throw new ToolkitException(
                $"{repository.Name}: expected --file (key file of a stage) with one of {string.Join(", ", models)}, got none"
            ),
        };
    }

    private ToolkitException NoFile(string repository, string name) =>
        new($"{repository}: expected a file '{name}', got {string.Join(", ", Files.Select(file => file.Name).Take(20))}");

    private static bool IsAtTop(HubFile file, string ending) =>
        file.Name.EndsWith(ending, StringComparison.Ordinal) && HubRepository.IsFile(file.Name);
}
