using System.Security.Cryptography;

namespace OptimalStopping.Runtime.Files;

/// <summary>What tells two files apart.</summary>
public static class FileDigest
{
    /// <summary>SHA-256 of a file's bytes, in lower-case hexadecimal.</summary>
    /// <exception cref="ToolkitException">It cannot be read.</exception>
    public static string Sha256(string file)
    {
        try
        {
            using FileStream stream = File.OpenRead(file);
            return Convert.ToHexStringLower(SHA256.HashData(stream));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ToolkitException($"{file}: expected a readable file, got: {error.Message.ReplaceLineEndings(" ")}", error);
        }
    }
}
