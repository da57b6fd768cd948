using Godwit.Client;
using Godwit.WebConsole.Serving;
using Microsoft.AspNetCore.Components.Authorization;

namespace Godwit.WebConsole.Live;

/// <summary>The API with the token of the person whose page this is. One a circuit.</summary>
public sealed class PersonsApi(AuthenticationStateProvider who, ServerSocket socket) : IDisposable
{
    private ApiClient? client;

    public GodwitApi Calls => new(Client);
    public AccessApi Access => new(Client);
    /// <summary>For what is no plain call: consoles.</summary>
    public ApiClient Client => client ??= Make();

    public void Dispose() => client?.Dispose();

    private ApiClient Make()
    {
        // Known before the first component is: the gate let the circuit in by it.
        var state = who.GetAuthenticationStateAsync();
        var claims = state.IsCompletedSuccessfully ? state.Result.User : null;
        return new ApiClient(new OwnServerWay(socket, claims?.FindFirst(SessionCookie.TokenClaim)?.Value,
            claims?.FindFirst(SessionCookie.SourceClaim)?.Value ?? "unknown"));
    }
}
