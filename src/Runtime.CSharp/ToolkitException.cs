namespace OptimalStopping.Runtime;

/// <summary>
/// A fault in what the user gave (a file, a setting, a prompt), worded for the user in one line: the place, what was
/// expected and what was got. The command line prints the message alone and exits with 1.
/// </summary>
/// <remarks>
/// A message may quote a foreign file. Control characters in it become spaces, so that it stays one line and a terminal
/// obeys nothing that the file says; of more than 1,000 characters the middle is left out.
/// </remarks>
public sealed class ToolkitException : Exception
{
    private const int Longest = 1000,
        Beginning = 700;

    public ToolkitException(string message)
        : base(Printable(message)) { }

    public ToolkitException(string message, Exception inner)
        : base(Printable(message), inner) { }

    private static string Printable(string text)
    {
        if (text.Length > Longest)
            text = $"{text.AsSpan(0, Beginning)} ... {text.AsSpan(text.Length - (Longest - Beginning - 5))}";
        return text.Any(char.IsControl) ? string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c)) : text;
    }
}
