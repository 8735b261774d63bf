using OptimalStopping.Runtime.Configuration;
using OptimalStopping.Runtime.Tasks;

namespace OptimalStopping.Runtime.Torch;

/// <summary>The YAML file that `toolkit train` follows: the recipes of a ladder's models, trained one after the other.</summary>
public static class TrainingPlan
{
    /// <exception cref="ToolkitException">With file, line, key, what was expected and what was got.</exception>
    public static IReadOnlyList<TrainingRecipe> Load(string file)
    {
        YamlMap root = YamlMap.Load(file);
        IReadOnlyList<string>? families = root.Has("families") ? root.Strings("families") : null;
        foreach (string name in families ?? [])
            if (TaskFamily.All.All(family => family.Name != name))
                throw root.Fault("families", $"names among {string.Join(", ", TaskFamily.All.Select(f => f.Name))}", $"'{name}'");
        int rows = root.Integer("rows", 1, 4096), length = root.Integer("row_length", 96, 4096);
        int warmUp = root.Integer("warm_up_steps", 0, 100_000);
        var recipes = new List<TrainingRecipe>();
        foreach (YamlMap model in root.List("models"))
        {
            var recipe = new TrainingRecipe(
                model.Text("name"), model.Integer("hidden", 8, 8192), model.Integer("layers", 1, 128),
                model.Integer("heads", 1, 128), model.Integer("kv_heads", 1, 128), model.Integer("head_dim", 4, 256),
                model.Integer("intermediate", 8, 65536), model.Integer("steps", 1, 10_000_000),
                model.Number("learning_rate", 1e-7, 1), model.Integer("seed", 0, int.MaxValue / 2_000_000),
                rows, length, warmUp, model.Number("decay_share", 0, 1), families);
            if (recipe.Heads % recipe.KeyValueHeads != 0) throw model.Fault("kv_heads", $"a divisor of heads ({recipe.Heads})", $"{recipe.KeyValueHeads}");
            if (recipe.HeadDimension % 2 != 0) throw model.Fault("head_dim", "an even number", $"{recipe.HeadDimension}");
            if (recipes.Any(other => other.Name == recipe.Name)) throw model.Fault("name", "a name that no other model has", $"'{recipe.Name}' again");
            model.RejectUnknown();
            recipes.Add(recipe);
        }
        root.RejectUnknown();
        return recipes;
    }
}
