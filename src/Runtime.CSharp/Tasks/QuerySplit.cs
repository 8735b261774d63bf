namespace OptimalStopping.Runtime.Tasks;

/// <summary>
/// The three disjoint parts of the space of prompts. A prompt belongs to exactly one of them, decided by a hash of its
/// text alone, so that no prompt trained on can be calibrated on or tested on, whatever the seeds.
/// </summary>
public enum QuerySplit
{
    Train,
    Calibration,
    Test,
}

/// <summary>Assigns prompts to splits: eight tenths train, one tenth calibration, one tenth test.</summary>
public static class QuerySplits
{
    /// <summary>The split of a prompt (FNV-1a of its characters, finished with a 64-bit mixer).</summary>
    public static QuerySplit Of(string prompt)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in prompt)
            hash = (hash ^ c) * 1099511628211;
        hash ^= hash >> 32;
        hash *= 0xD6E8FEB86659FD93;
        hash ^= hash >> 32;
        return (hash % 10) switch
        {
            8 => QuerySplit.Calibration,
            9 => QuerySplit.Test,
            _ => QuerySplit.Train,
        };
    }
}
