using System.Text;
using Godwit.Server.Api;
using Godwit.Server.Audit;

namespace Godwit.Client;

/// <summary>The part of the REST API that is about who may use it and who did.</summary>
public sealed class AccessApi(ApiClient client)
{
    public const int AuditPageRows = 1_000;
    /// <summary>A long log is read as a whole.</summary>
    private static readonly TimeSpan verifyMax = TimeSpan.FromMinutes(10);

    public async Task<string> CaAsync(CancellationToken cancel) =>
        Encoding.ASCII.GetString(await client.DownloadAsync(HttpMethod.Get, "/ca.pem", null, cancel));

    public Task<NewTokenView> LogInAsync(string name, string password, CancellationToken cancel) =>
        client.SendAsync<NewTokenView>(HttpMethod.Post, "login", new LogInRequest(name, password), ApiClient.AnswerTimeMax, cancel);

    public Task<OidcBeginView> BeginOidcAsync(CancellationToken cancel) => client.GetAsync<OidcBeginView>("login/oidc", cancel);

    public Task<NewTokenView> LogInOidcAsync(string idToken, CancellationToken cancel) =>
        client.SendAsync<NewTokenView>(HttpMethod.Post, "login/oidc", new OidcLogInRequest(idToken), ApiClient.AnswerTimeMax, cancel);

    public Task LogOutAsync(CancellationToken cancel) =>
        client.SendAsync(HttpMethod.Post, "logout", null, ApiClient.AnswerTimeMax, cancel);

    public Task<ActorView> WhoAmIAsync(CancellationToken cancel) => client.GetAsync<ActorView>("whoami", cancel);

    public Task ChangePasswordAsync(string current, string password, CancellationToken cancel) =>
        client.SendAsync(HttpMethod.Post, "password", new ChangePasswordRequest(current, password), ApiClient.AnswerTimeMax, cancel);

    public Task<IReadOnlyList<TokenView>> TokensAsync(CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<TokenView>>("tokens", cancel);

    public Task<NewTokenView> CreateTokenAsync(CreateTokenRequest wish, CancellationToken cancel) =>
        client.SendAsync<NewTokenView>(HttpMethod.Post, "tokens", wish, ApiClient.AnswerTimeMax, cancel);

    public Task RevokeTokenAsync(string name, CancellationToken cancel) =>
        client.SendAsync(HttpMethod.Delete, $"tokens/{Uri.EscapeDataString(name)}", null, ApiClient.AnswerTimeMax, cancel);

    public Task<IReadOnlyList<UserView>> UsersAsync(CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<UserView>>("users", cancel);

    public Task<UserView> AddUserAsync(AddUserRequest wish, CancellationToken cancel) =>
        client.SendAsync<UserView>(HttpMethod.Post, "users", wish, ApiClient.AnswerTimeMax, cancel);

    public Task RemoveUserAsync(string name, CancellationToken cancel) =>
        client.SendAsync(HttpMethod.Delete, $"users/{Uri.EscapeDataString(name)}", null, ApiClient.AnswerTimeMax, cancel);

    public Task SetPasswordAsync(string name, string password, CancellationToken cancel) =>
        client.SendAsync(HttpMethod.Post, $"users/{Uri.EscapeDataString(name)}/password", new SetPasswordRequest(password),
            ApiClient.AnswerTimeMax, cancel);

    /// <summary>The newest rows, oldest of them first.</summary>
    public Task<IReadOnlyList<AuditRow>> LastAuditAsync(DateTimeOffset since, int limit, CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<AuditRow>>($"audit?limit={limit}&since={Time(since)}", cancel);

    /// <summary>One page, oldest first, after a row's number.</summary>
    public Task<IReadOnlyList<AuditRow>> AuditAfterAsync(long seq, DateTimeOffset since, CancellationToken cancel) =>
        client.GetAsync<IReadOnlyList<AuditRow>>($"audit?after={seq}&limit={AuditPageRows}&since={Time(since)}", cancel);

    public Task<AuditVerdict> VerifyAuditAsync(string? head, CancellationToken cancel) => client.SendAsync<AuditVerdict>(
        HttpMethod.Get, "audit/verify" + (head is null ? "" : $"?head={Uri.EscapeDataString(head)}"), null, verifyMax, cancel);

    private static string Time(DateTimeOffset time) =>
        Uri.EscapeDataString(time.UtcDateTime.ToString("O", System.Globalization.CultureInfo.InvariantCulture));
}
