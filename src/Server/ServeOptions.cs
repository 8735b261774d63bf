namespace OptimalStopping.Server;

/// <summary>How the server runs: everything that `toolkit serve` takes besides the cascade and its policy.</summary>
public sealed record ServeOptions
{
    public string Host { get; init; } = "127.0.0.1";

    /// <summary>0 for any free port.</summary>
    public int Port { get; init; } = 8080;

    /// <summary>API keys that are accepted; empty for a server that asks for none.</summary>
    public IReadOnlyList<string> Keys { get; init; } = [];

    /// <summary>Requests that are answered at once. One processor is left to the connections, which keeps their delay short.</summary>
    public int Concurrency { get; init; } = Math.Max(1, Environment.ProcessorCount - 1);

    /// <summary>Requests that may wait; one more is refused with 429.</summary>
    public int Queue { get; init; } = 256;

    /// <summary>Largest request body, in bytes.</summary>
    public long BodyLimit { get; init; } = 1 << 20;

    /// <summary>Silence after which a stream gets a comment, so that nothing on its way closes the connection.</summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Time that requests under way get when the server is told to stop.</summary>
    public TimeSpan Drain { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Where the server keeps grades: a folder (SQLite), or the connection string of a PostgreSQL database, which several servers share. Null to keep them in memory only.</summary>
    public string? State { get; init; }

    /// <summary>A file to append graded decisions to, each with the probability of what was done; null for none.</summary>
    public string? Decisions { get; init; }

    /// <summary>Whether requests without a price of cost of their own are answered by the online learner.</summary>
    public bool Learn { get; init; }

    /// <summary>The probability, in (0,1], with which the learner asks for an answer's grade and passes over other grades (Theorem 15); 1: it learns from all.</summary>
    public double AuditRate { get; init; } = 1;

    /// <summary>
    /// Mean cost of a query, in the cascade's units, that requests without a price of their own are answered within (Theorem 17); NaN for none.
    /// </summary>
    public double Budget { get; init; } = double.NaN;

    /// <summary>Queries over which the budget is to be met: the price of cost moves faster where they are fewer.</summary>
    public const long BudgetHorizon = 10_000;

    /// <summary>
    /// Conversations that stay with the stage that answered them last, or later ones; beyond this many the one unused for longest
    /// is forgotten. 0 for none: every request begins where the policy says.
    /// </summary>
    public int Sessions { get; init; }

    /// <summary>Time without a turn after which a conversation is forgotten; providers keep a prefix about as long.</summary>
    internal static readonly TimeSpan SessionIdle = TimeSpan.FromMinutes(10);

    /// <summary>Mean quality that the service guarantees; an alarm is raised when live grades contradict it. NaN for the policy's own expectation less <see cref="GuaranteeSlack"/>.</summary>
    public double Guarantee { get; init; } = double.NaN;

    /// <summary>What the default guarantee gives away of the quality that calibration expects.</summary>
    public const double GuaranteeSlack = 0.02;

    /// <summary>Chance that an interval of the monitors ever misses, and that the alarm is ever false.</summary>
    public double Delta { get; init; } = 0.05;
}
