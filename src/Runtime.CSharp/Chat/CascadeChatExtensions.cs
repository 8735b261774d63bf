using Microsoft.Extensions.AI;
using OptimalStopping.Runtime.Cascades;
using OptimalStopping.Runtime.Chat;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>A cascade of chat clients for dependency injection.</summary>
public static class CascadeServiceCollectionExtensions
{
    /// <summary>
    /// Registers a cascade as the <see cref="IChatClient"/> of the application, with traces and metrics after OpenTelemetry's
    /// conventions for generative AI.
    /// </summary>
    /// <param name="create">Makes the cascade.</param>
    /// <returns>The builder, for caching, function invocation and the like around it.</returns>
    public static ChatClientBuilder AddCascade(this IServiceCollection services, Func<IServiceProvider, CascadeChatClient> create)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(create);
        return services.AddChatClient(provider => create(provider)).UseOpenTelemetry();
    }

    /// <summary>As above, from clients, the cheapest first, and a policy that <c>toolkit calibrate</c> wrote for them.</summary>
    public static ChatClientBuilder AddCascade(
        this IServiceCollection services,
        Func<IServiceProvider, IReadOnlyList<IChatClient>> clients,
        PolicyFile policy,
        ChatCascadeOptions? options = null
    ) => services.AddCascade(provider => new CascadeChatClient(clients(provider), policy, options));
}
