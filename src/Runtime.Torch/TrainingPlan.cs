using OptimalStopping.Runtime.Configuration;
using OptimalStopping.Runtime.Tasks;

namespace OptimalStopping.Runtime.Torch;

/// <summary>The recipes of a cascade, in the order in which they are trained.</summary>
public sealed record TrainingPlan(IReadOnlyList<TrainingRecipe> Recipes)
{
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
        file.RejectUnknown();
        return new TrainingPlan(recipes);
    }

    private static TrainingRecipe Read(YamlMap map)
    {
        string name = map.Text("name");
        if (name is "." or ".." || name.Any(c => !char.IsAsciiLetterOrDigit(c) && c is not ('-' or '_' or '.')))
            throw map.Error("name", "letters, digits, '-', '_' and '.' (it names a folder)", $"'{name}'");
        IReadOnlyList<string>? families = map.Has("families") ? map.Strings("families") : null;
        foreach (string family in families ?? [])
            if (TaskFamily.All.All(known => known.Name != family))
                throw map.Error("families", $"names out of {string.Join(", ", TaskFamily.All.Select(f => f.Name))}", $"'{family}'");
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
            map.IntegerOr("row_length", 96, ModelExport.MaxPositions, 96),
            map.IntegerOr("warm_up_steps", 1, 1_000_000, 80),
            map.NumberOr("decay_share", 0, 1, 0.4),
            families
        );
        if (recipe.Heads % recipe.KeyValueHeads != 0)
            throw map.Error("key_value_heads", $"a divisor of heads ({recipe.Heads})", $"{recipe.KeyValueHeads}");
        if (recipe.HeadDimension % 2 != 0)
            throw map.Error("head_dimension", "an even number", $"{recipe.HeadDimension}");
        map.RejectUnknown();
        return recipe;
    }
}
