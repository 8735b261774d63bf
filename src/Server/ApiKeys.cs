using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace OptimalStopping.Server;

/// <summary>The keys that a server accepts. They are kept and compared as hashes, each in the same time whatever it is compared with.</summary>
internal sealed class ApiKeys(IReadOnlyList<string> keys)
{
    private readonly byte[][] _hashes = [.. keys.Select(key => SHA256.HashData(Encoding.UTF8.GetBytes(key)))];

    /// <exception cref="ApiError">401: no key, or another.</exception>
    public void Check(HttpRequest request)
    {
        if (_hashes.Length == 0)
            return;
        string header = request.Headers.Authorization.ToString();
        const string scheme = "Bearer ";
        if (!header.StartsWith(scheme, StringComparison.OrdinalIgnoreCase))
            throw new ApiError(
                401,
                "invalid_request_error",
                "expected the header 'Authorization: Bearer KEY', got none",
                code: "invalid_api_key"
            );
        byte[] hash = SHA256.HashData(Encoding.UTF8.GetBytes(header[scheme.Length..].Trim()));
        bool known = false;
        foreach (byte[] own in _hashes)
            known |= CryptographicOperations.FixedTimeEquals(own, hash);
        if (!known)
            throw new ApiError(401, "invalid_request_error", "expected an API key of this server, got another", code: "invalid_api_key");
    }
}
