using System.Globalization;
using OptimalStopping.Runtime.Files;
using OptimalStopping.Runtime.Tasks;

namespace OptimalStopping.Runtime.Torch;

/// <summary>
/// Everything that decides a trained model: its shape, its data and its schedule. Two runs of the same recipe on the
/// same machine give the same weights.
/// </summary>
/// <param name="Name">Folder name of the model, e.g. <c>nano-1</c>.</param>
/// <param name="Hidden">Width of the residual stream.</param>
/// <param name="Layers">Number of transformer blocks.</param>
/// <param name="Heads">Query heads.</param>
/// <param name="KeyValueHeads">Key and value heads; divides <paramref name="Heads"/>.</param>
/// <param name="HeadDimension">Width of one head; even.</param>
/// <param name="Intermediate">Width of the SwiGLU layer.</param>
/// <param name="Steps">Optimiser steps; each sees <paramref name="Rows"/> x <paramref name="RowLength"/> tokens.</param>
/// <param name="LearningRate">Muon's rate; Adam's is 0.7 of it.</param>
/// <param name="Seed">Of the initial weights and of the queries.</param>
/// <param name="PromptWeight">Weight of a question's own tokens in the loss, beside its answer's; 0: answers only.</param>
public sealed record TrainingRecipe(
    string Name,
    int Hidden,
    int Layers,
    int Heads,
    int KeyValueHeads,
    int HeadDimension,
    int Intermediate,
    int Steps,
    double LearningRate,
    int Seed,
    int Rows = 21,
    int RowLength = 96,
    int WarmUpSteps = 80,
    double DecayShare = 0.4,
    IReadOnlyList<string>? Families = null,
    double PromptWeight = 0
)
{
    public const double RopeTheta = 10_000;
    public const double NormEpsilon = 1e-6;

    /// <summary>The first step at a falling rate.</summary>
    public int DecayStart => (int)Math.Ceiling(Steps * (1 - DecayShare));

    /// <summary>Linear warm-up, flat, then linear to 1 % over the last <see cref="DecayShare"/> of the steps.</summary>
    public double RateAt(int step)
    {
        double decayStart = Steps * (1 - DecayShare);
        double factor =
            step < WarmUpSteps ? (step + 1.0) / WarmUpSteps
            : step < decayStart ? 1
            : 1 - 0.99 * (step - decayStart) / (Steps - decayStart);
        return LearningRate * factor;
    }
}

/// <summary>The recipes of a cascade, in the order in which they are trained.</summary>
/// <param name="Knowledge">Folder of what the models are taught; null for the nano families, which are generated.</param>
/// <param name="ChatTemplate">File of the chat template, with a knowledge.</param>
/// <param name="Vocabulary">Size of the vocabulary, with a knowledge.</param>
public sealed record TrainingPlan(
    IReadOnlyList<TrainingRecipe> Recipes,
    string? Knowledge = null,
    string ChatTemplate = "",
    int Vocabulary = 0
)
{
    /// <summary>The texts of a recipe. A tokenizer that is trained for them is kept in <c>outFolder/tokenizer</c>.</summary>
    /// <exception cref="ToolkitException">A file of the knowledge is missing or malformed.</exception>
    public TrainingTexts Texts(TrainingRecipe recipe, string outFolder) =>
        Knowledge is null
            ? new NanoTexts(recipe.Families)
            : new ChatTexts(
                Tasks.Miniature.Knowledge.Load(Knowledge),
                Path.Combine(outFolder, "tokenizer"),
                Vocabulary,
                File.Exists(ChatTemplate)
                    ? File.ReadAllText(ChatTemplate)
                    : throw new ToolkitException($"{ChatTemplate}: expected the chat template, got no such file")
            );

    /// <summary>Reads a training file such as <c>configs/nano_training.yaml</c>.</summary>
    /// <exception cref="ToolkitException">A key is missing, unknown or out of range, or two models share a name.</exception>
    public static TrainingPlan Load(string path)
    {
        YamlMap file = YamlMap.Load(path);
        var recipes = new List<TrainingRecipe>();
        foreach (YamlMap map in file.List("models"))
        {
            TrainingRecipe recipe = Read(map);
            if (recipes.Any(other => other.Name == recipe.Name))
                throw map.Error("name", "a name of its own", $"'{recipe.Name}' again");
            recipes.Add(recipe);
        }
        TrainingPlan plan = new(recipes);
        if (file.Has("knowledge"))
        {
            string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
            plan = plan with
            {
                Knowledge = Path.GetFullPath(file.Text("knowledge"), folder),
                ChatTemplate = Path.GetFullPath(file.Text("chat_template"), folder),
                Vocabulary = file.Integer("vocabulary", 300, 65536),
            };
        }
        file.RejectUnknown();
        return plan;
    }

    private static TrainingRecipe Read(YamlMap map)
    {
        string name = map.Text("name");
        if (name is "." or ".." || name.Any(c => !char.IsAsciiLetterOrDigit(c) && c is not ('-' or '_' or '.')))
            throw map.Error("name", "letters, digits, '-', '_' and '.' (it names a folder)", $"'{name}'");
        IReadOnlyList<string>? families = map.Has("families") ? map.Strings("families") : null;
        foreach (string family in families ?? [])
            if (QueryGenerator.Families.All(known => known.Name != family))
                throw map.Error(
                    "families",
                    $"names out of {string.Join(", ", QueryGenerator.Families.Select(f => f.Name))}",
                    $"'{family}'"
                );
        var recipe = new TrainingRecipe(
            name,
            map.Integer("hidden", 8, 4096),
            map.Integer("layers", 1, 256),
            map.Integer("heads", 1, 256),
            map.Integer("key_value_heads", 1, 256),
            map.Integer("head_dimension", 2, 512),
            map.Integer("intermediate", 8, 16384),
            map.Integer("steps", 1, 10_000_000),
            map.Number("learning_rate", 1e-6, 1),
            map.Integer("seed", 0, int.MaxValue),
            map.IntegerOr("rows", 1, 4096, 21),
            map.IntegerOr("row_length", 96, 1024, 96),
            map.IntegerOr("warm_up_steps", 1, 1_000_000, 80),
            map.NumberOr("decay_share", 0, 1, 0.4),
            families,
            map.NumberOr("prompt_weight", 0, 1, 0)
        );
        if (recipe.Heads % recipe.KeyValueHeads != 0)
            throw map.Error("key_value_heads", $"a divisor of heads ({recipe.Heads})", $"{recipe.KeyValueHeads}");
        if (recipe.HeadDimension % 2 != 0)
            throw map.Error("head_dimension", "an even number", $"{recipe.HeadDimension}");
        map.RejectUnknown();
        return recipe;
    }
}

/// <summary>What <c>toolkit train</c> runs: every model of a plan, one after the other, then its export.</summary>
public static class TrainingCommand
{
    /// <summary>
    /// Trains into <c>outFolder/NAME</c>, which then holds the exported model and its <c>checkpoint.bin</c>. A run that was
    /// stopped goes on from its checkpoints; a model whose checkpoint has all its steps is only exported again.
    /// </summary>
    /// <param name="threads">Threads of the matrix products, at least 1.</param>
    /// <param name="log">Takes one line of progress at a time.</param>
    /// <exception cref="ToolkitException">The plan is faulty, or a checkpoint belongs to another recipe.</exception>
    /// <exception cref="OperationCanceledException">Cancelled, after the checkpoint was written.</exception>
    /// <param name="only">The one model of the plan to train; null for all.</param>
    public static void Run(
        string configPath,
        string outFolder,
        int threads,
        Action<string> log,
        string? only = null,
        CancellationToken cancel = default
    )
    {
        if (threads < 1)
            throw new ToolkitException($"--threads: expected at least 1, got {threads}");
        TrainingPlan plan = TrainingPlan.Load(configPath);
        if (only is not null && plan.Recipes.All(recipe => recipe.Name != only))
            throw new ToolkitException($"--model: expected one of {string.Join(", ", plan.Recipes.Select(r => r.Name))}, got '{only}'");
        foreach (TrainingRecipe recipe in plan.Recipes.Where(recipe => only is null || recipe.Name == only))
        {
            string folder = Path.Combine(outFolder, recipe.Name);
            TrainingTexts texts = plan.Texts(recipe, outFolder);
            using var trainer = new Trainer(recipe, texts, threads);
            trainer.Run(folder, report => log(Line(report)), cancel);
            ModelExport.Write(trainer.Model, recipe, texts, folder);
            log($"{recipe.Name}: exported to {folder}");
        }
    }

    private static string Line(TrainingReport report) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"{report.Name}: step {report.Step} of {report.Steps}, loss {report.Loss:F4}, exact {100 * report.Exact:F1} %, {report.TokensPerSecond:F0} tokens/s"
        );
}
