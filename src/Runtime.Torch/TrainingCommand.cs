using OptimalStopping.Runtime.Tokenization;

namespace OptimalStopping.Runtime.Torch;

/// <summary>`toolkit train`: trains every model of a plan and exports it.</summary>
public static class TrainingCommand
{
    /// <summary>
    /// Trains the plan's models in order. Model number i is exported to folder OUT/i, its checkpoint is kept in
    /// OUT/.training/NAME; a run that was interrupted goes on from there, and a finished model is only exported again.
    /// </summary>
    public static void Run(string config, string outFolder, int threads, Action<string> log, CancellationToken cancel)
    {
        IReadOnlyList<TrainingRecipe> recipes = TrainingPlan.Load(config);
        for (int i = 0; i < recipes.Count; i++)
        {
            using var trainer = new Trainer(recipes[i], threads);
            trainer.Run(Path.Combine(outFolder, ".training", recipes[i].Name), report => log(FormattableString.Invariant(
                $"{report.Name} step {report.Step}/{report.Steps} loss {report.Loss:F4} exact {report.Exact:P1} ({report.TokensPerSecond:F0} tokens/s)")), cancel);
            string folder = Path.Combine(outFolder, (i + 1).ToString());
            ModelExport.Write(folder, recipes[i], trainer.Model, CharacterTokenizer.Nano);
            log($"{recipes[i].Name} exported to {folder}");
        }
    }
}
