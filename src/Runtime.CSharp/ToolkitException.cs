namespace OptimalStopping.Runtime;

/// <summary>
/// A fault in what the user gave (a file, a setting, a prompt), worded for the user in one line: the place, what was
/// expected and what was got. The command line prints the message alone and exits with 1.
/// </summary>
public sealed class ToolkitException : Exception
{
    public ToolkitException(string message) : base(message) { }
    public ToolkitException(string message, Exception inner) : base(message, inner) { }
}
