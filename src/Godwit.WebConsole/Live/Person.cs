using Godwit.Core.Access;
using Godwit.Server.Api;

namespace Godwit.WebConsole.Live;

/// <summary>Who is logged in, and what they may do: pages offer nothing that would be refused. The API decides all the same.</summary>
public sealed class Person(PersonsApi api)
{
    private ActorView? known;

    public string Name => known?.Name ?? "";
    public Role? Role => known?.Role;

    public bool May(Permission permission) => known is not null && Policy.Allows(known.Role, permission);

    /// <summary>Asks once.</summary>
    public async Task KnowAsync(CancellationToken cancel) => known ??= await api.Access.WhoAmIAsync(cancel);
}
