using OptimalStopping.Runtime.Files;
using static TorchSharp.torch;

namespace OptimalStopping.Runtime.Torch;

/// <summary>The state of an interrupted training run: step, weights and optimiser moments, tied to its recipe.</summary>
internal static class TrainingCheckpoint
{
    /// <summary>Writes the whole file or leaves the previous checkpoint.</summary>
    public static void Write(string path, TrainingRecipe recipe, int step, IEnumerable<Tensor> tensors)
    {
        AtomicFile.Write(path, stream =>
        {
            using var writer = new BinaryWriter(stream, System.Text.Encoding.UTF8, leaveOpen: true);
            writer.Write(Describe(recipe));
            writer.Write(recipe.Steps);
            writer.Write(recipe.DecayStart);
            writer.Write(step);
            foreach (Tensor tensor in tensors)
            foreach (float value in tensor.detach().data<float>().ToArray())
                writer.Write(value);
        });
    }

    /// <summary>Fills the tensors and returns the step to go on with; null where there is no checkpoint.</summary>
    /// <exception cref="ToolkitException">The checkpoint is of another recipe, or cut short.</exception>
    public static int? TryRead(string path, TrainingRecipe recipe, IEnumerable<Tensor> tensors)
    {
        if (!File.Exists(path))
            return null;
        try
        {
            using var reader = new BinaryReader(new BufferedStream(File.OpenRead(path), 1 << 20));
            if (reader.ReadString() is var written && written != Describe(recipe))
                throw new ToolkitException(
                    $"{path}: expected the checkpoint of {Describe(recipe)}, got that of {written}; remove it to start again"
                );
            int steps = reader.ReadInt32(),
                decayStart = reader.ReadInt32(),
                step = reader.ReadInt32();
            // Up to the decay two plans of different length have the same rates.
            if ((steps, decayStart) != (recipe.Steps, recipe.DecayStart) && step > Math.Min(decayStart, recipe.DecayStart))
                throw new ToolkitException(
                    $"{path}: expected the checkpoint of a plan of {recipe.Steps} steps, or one taken at a flat rate, got step {step} of {steps}, whose rate fell from step {decayStart}; put checkpoint-flat.bin in its place"
                );
            using var quiet = no_grad();
            foreach (Tensor target in tensors)
            {
                var values = new float[target.numel()];
                for (int i = 0; i < values.Length; i++)
                    values[i] = reader.ReadSingle();
                using Tensor source = tensor(values, target.shape);
                target.copy_(source);
            }
            return step;
        }
        catch (EndOfStreamException error)
        {
            throw new ToolkitException($"{path}: expected a whole checkpoint, got one that is cut short; remove it to start again", error);
        }
    }

    private static string Describe(TrainingRecipe recipe) =>
        $"{recipe with { Families = null, Steps = 1, DecayShare = 0 }} families {string.Join(',', recipe.Families ?? ["all"])}";
}
