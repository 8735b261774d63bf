using System.Text.Json;
using OptimalStopping.Runtime.Files;

namespace OptimalStopping.Runtime.Cascades;

/// <summary>One group of the queries that a policy's guarantee was tested on: a dataset, a tenant.</summary>
/// <param name="Name">What the column holds on its queries.</param>
/// <param name="Queries">Its queries among those tested on.</param>
/// <param name="Covered">Whether the guarantee holds in it; false where it has too few queries to show anything.</param>
/// <param name="Loss">Mean quality lost against the reference model.</param>
/// <param name="HighLoss">
/// Upper bound of the expected loss. With probability 1 - delta the bounds of all groups hold at once, whichever operating point was chosen.
/// </param>
/// <param name="Saved">Share of the reference model's cost saved.</param>
public sealed record PolicyGroup(string Name, int Queries, bool Covered, double Loss, double HighLoss, double Saved)
{
    internal void Write(Utf8JsonWriter json)
    {
        json.WriteStartObject();
        json.WriteString("name", Name);
        json.WriteNumber("queries", Queries);
        json.WriteBoolean("covered", Covered);
        json.WriteNumber("loss", Loss);
        json.WriteNumber("high_loss", HighLoss);
        json.WriteNumber("saved", Saved);
        json.WriteEndObject();
    }

    internal static PolicyGroup Read(JsonMap saved)
    {
        var read = new PolicyGroup(
            saved.Text("name"),
            saved.Integer("queries", 1, int.MaxValue),
            saved.Flag("covered"),
            saved.Number("loss", -1, 1),
            saved.Number("high_loss", -1, 1),
            saved.Number("saved", double.MinValue, 1)
        );
        saved.RejectUnknown();
        return read;
    }
}
