using System.Globalization;

namespace OptimalStopping.Runtime.Torch;

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
    public static void Run(string configPath, string outFolder, int threads, Action<string> log, CancellationToken cancel = default)
    {
        if (threads < 1)
            throw new ToolkitException($"--threads: expected at least 1, got {threads}");
        foreach (TrainingRecipe recipe in TrainingPlan.Load(configPath).Recipes)
        {
            string folder = Path.Combine(outFolder, recipe.Name);
            using var trainer = new Trainer(recipe, threads);
            trainer.Run(folder, report => log(Line(report)), cancel);
            ModelExport.Write(trainer.Model, recipe, folder);
            log($"{recipe.Name}: exported to {folder}");
        }
    }

    private static string Line(TrainingReport report) =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"{report.Name}: step {report.Step} of {report.Steps}, loss {report.Loss:F4}, exact {100 * report.Exact:F1} %, {report.TokensPerSecond:F0} tokens/s"
        );
}
