using System.Security.Cryptography;
using System.Text;
using OptimalStopping.Theory.Policies;

namespace OptimalStopping.Server;

/// <summary>
/// The stage that answered each conversation last: its server holds the conversation's prefix in its cache, so that the next
/// turn is cheap there and dear anywhere else. Keeps the conversations used latest. May be used from several threads at once.
/// </summary>
/// <param name="capacity">Conversations that are remembered; the one unused for longest gives way.</param>
/// <param name="idle">Time without a turn after which a conversation is forgotten: a server's cache holds no longer.</param>
internal sealed class SessionStages(int capacity, TimeSpan idle, TimeProvider clock)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<UInt128, LinkedListNode<Session>> _sessions = [];
    private readonly LinkedList<Session> _byUse = []; // the latest first

    public int Count
    {
        get
        {
            lock (_lock)
                return _sessions.Count;
        }
    }

    /// <summary>
    /// The key of a conversation: a digest, so that neither long names nor API keys are kept. Clients with different
    /// credentials never share a conversation.
    /// </summary>
    public static UInt128 Key(string session, string? credentials)
    {
        Span<byte> digest = stackalloc byte[32];
        SHA256.HashData(Encoding.UTF8.GetBytes($"{credentials?.Length ?? 0}:{credentials}{session}"), digest);
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(digest);
    }

    /// <summary>The stage that answered the conversation last; -1 for one that is new or was idle for too long.</summary>
    public int Find(UInt128 key)
    {
        lock (_lock)
        {
            if (!_sessions.TryGetValue(key, out LinkedListNode<Session>? node))
                return -1;
            if (clock.GetElapsedTime(node.Value.Used) < idle)
                return node.Value.Stage;
            Remove(node);
            return -1;
        }
    }

    /// <summary>Takes the stage whose answer a turn of the conversation returned.</summary>
    public void Keep(UInt128 key, int stage)
    {
        lock (_lock)
        {
            if (_sessions.TryGetValue(key, out LinkedListNode<Session>? known))
                Remove(known);
            else if (_sessions.Count == capacity)
                Remove(_byUse.Last!);
            _sessions[key] = _byUse.AddFirst(new Session(key, stage, clock.GetTimestamp()));
        }
    }

    private void Remove(LinkedListNode<Session> node)
    {
        _byUse.Remove(node);
        _sessions.Remove(node.Value.Key);
    }

    private readonly record struct Session(UInt128 Key, int Stage, long Used);
}

/// <summary>
/// A policy that begins no earlier than at one stage, and decides as another from there on; to that one the stages before look
/// like stages that failed.
/// </summary>
internal sealed class LaterStart(IStoppingPolicy policy, int stage) : IStoppingPolicy
{
    public int Stages => policy.Stages;

    public Decision Decide(Observation observation)
    {
        Decision decision = policy.Decide(observation);
        return observation.Ran == 0 && decision.Stage < stage ? Decision.GoTo(stage) : decision;
    }
}
