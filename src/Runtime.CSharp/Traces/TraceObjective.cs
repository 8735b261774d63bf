namespace OptimalStopping.Runtime.Traces;

/// <summary>What a policy is to save on recorded answers.</summary>
public enum TraceObjective
{
    /// <summary>The cost that the traces record.</summary>
    Cost,

    /// <summary>The seconds that answers took (<c>seconds</c> in each stage, as `toolkit collect --times` writes them): what a user waits for, since a cascade asks in turn.</summary>
    Latency,

    /// <summary>Both alike, each in units of what an answer of its dearest stage takes on average.</summary>
    Both,
}
