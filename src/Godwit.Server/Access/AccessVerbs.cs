using Godwit.Core;
using Godwit.Core.Access;
using Godwit.Core.Ports;
using Godwit.Server.Api;
using Godwit.Server.Store;

namespace Godwit.Server.Access;

/// <summary>Users and tokens: made, listed, taken away, and asked who somebody is.</summary>
public sealed class AccessVerbs(AccessStore store, IRandomness randomness, TimeProvider time)
{
    public static readonly TimeSpan LoginLife = TimeSpan.FromHours(8), TokenLifeDefault = TimeSpan.FromDays(90);
    public const int TokenDaysMax = 3650;
    private const string IdPrefix = "tk-";

    private readonly Passwords _passwords = new();
    private readonly LoginAttempts _attempts = new(time);

    /// <summary>The token's owner, or null where it is unknown, revoked or expired: which of them is not told.</summary>
    public async Task<Actor?> IdentifyAsync(string text, string source)
    {
        if (TokenText.HashOf(text) is not { } hash || await store.UseTokenAsync(hash) is not { } token) return null;
        return new Actor(token.User ?? token.Subject ?? token.Name!, token.Role, source, token.Id, token.User)
        {
            ExpiresAt = token.ExpiresAt,
            IsLogIn = token.Name is null,
        };
    }

    /// <summary>Asked again while a long answer goes on.</summary>
    public async Task<bool> IsStillAsync(Actor actor) =>
        actor.Token is null || await store.FindTokenAsync(actor.Token) is { } token && token.Role == actor.Role;

    public async Task<NewTokenView> CreateTokenAsync(CreateTokenRequest wish, Actor by)
    {
        if (!Names.IsValid(wish.Name) || wish.Name.StartsWith(IdPrefix, StringComparison.Ordinal))
            throw new RefusedException("bad-name", $"\"{wish.Name}\" cannot name a token",
                $"use {Names.Rule}, not beginning with {IdPrefix}");
        if (wish.Days is < 1 or > TokenDaysMax)
            throw new RefusedException("bad-expiry", $"a token cannot live {wish.Days} days", $"give 1 to {TokenDaysMax} days");
        if (wish.Never && wish.Days is not null)
            throw new RefusedException("bad-expiry", "a token either expires or never does", "give days or never, not both");
        var now = time.GetUtcNow();
        var life = wish.Days is { } days ? TimeSpan.FromDays(days) : TokenLifeDefault;
        return await InsertAsync(new ApiToken(NewId(), wish.Name, null, wish.Role, now, by.Name)
        {
            ExpiresAt = wish.Never ? null : now + life,
        });
    }

    public async Task<IReadOnlyList<TokenView>> TokensAsync() => [.. (await store.TokensAsync()).Select(View)];

    /// <param name="name">Its name, or its id.</param>
    public async Task RevokeAsync(string name)
    {
        if (!await store.RemoveTokenAsync(name))
            throw new RefusedException("token-not-found", $"there is no token {name}", "see 'godwit token list'");
    }

    public async Task<UserView> AddUserAsync(AddUserRequest wish, Actor by)
    {
        if (!Names.IsValid(wish.Name))
            throw new RefusedException("bad-name", $"\"{wish.Name}\" cannot name a user", $"use {Names.Rule}");
        var user = new User(wish.Name, wish.Role, _passwords.Hash(wish.Name, wish.Password), time.GetUtcNow(), by.Name);
        if (await store.AddUserAsync(user) is { } refusal) throw new RefusedException([refusal]);
        return View(user);
    }

    public async Task<IReadOnlyList<UserView>> UsersAsync() => [.. (await store.UsersAsync()).Select(View)];

    /// <summary>With everything that was made by logging in as this user.</summary>
    public async Task RemoveUserAsync(string name)
    {
        if (!await store.RemoveUserAsync(name)) throw NoUser(name);
    }

    /// <summary>Whoever is logged in as this user is out: a new password is how a stolen one is answered.</summary>
    public async Task SetPasswordAsync(string name, string password)
    {
        if (!await store.SetPasswordAsync(name, _passwords.Hash(name, password))) throw NoUser(name);
    }

    public async Task ChangeOwnPasswordAsync(ChangePasswordRequest wish, Actor actor)
    {
        if (actor.User is null)
            throw new RefusedException("bad-actor", $"{actor.Name} is no user and has no password",
                "an admin can set a user's: 'godwit user password NAME'");
        await CheckAsync(actor.User, wish.Current, actor.Source);
        await SetPasswordAsync(actor.User, wish.Password);
    }

    /// <param name="proved">Called once the password was right, before anything is made.</param>
    public async Task<NewTokenView> LogInAsync(LogInRequest wish, string source, Func<Task> proved)
    {
        var user = await CheckAsync(wish.Name, wish.Password, source);
        await proved();
        var now = time.GetUtcNow();
        return await InsertAsync(new ApiToken(NewId(), null, user.Name, user.Role, now, user.Name) { ExpiresAt = now + LoginLife });
    }

    /// <summary>Somebody an issuer vouches for: no user of ours, and of this role until the token expires.</summary>
    public Task<NewTokenView> LogInSubjectAsync(string subject, Role role)
    {
        var now = time.GetUtcNow();
        return InsertAsync(new ApiToken(NewId(), null, null, role, now, subject) { Subject = subject, ExpiresAt = now + LoginLife });
    }

    public async Task LogOutAsync(Actor actor)
    {
        if (!actor.IsLogIn)
            throw new RefusedException("bad-actor", $"{actor.Name} did not log in",
                "a token that was created is taken back with 'godwit token revoke'");
        await store.RemoveTokenAsync(actor.Token!);
    }

    /// <summary>Whether the audit may write this name down: what people type there by mistake is often their password.</summary>
    public async Task<bool> IsUserAsync(string name) => await store.FindUserAsync(name) is not null;

    private async Task<User> CheckAsync(string name, string password, string source)
    {
        _attempts.Enter(Names.IsValid(name) ? name : "", source);
        var user = await store.FindUserAsync(name);
        if (!_passwords.Verify(user?.PasswordHash, password))
            throw new RefusedException("login-failed", "the name or the password is wrong",
                $"try again; after {LoginAttempts.PerNameAndSourceMax} tries wait {LoginAttempts.Window.TotalMinutes} min");
        _attempts.Succeeded(name, source);
        return user!;
    }

    private async Task<NewTokenView> InsertAsync(ApiToken token)
    {
        var text = TokenText.New(randomness);
        if (await store.AddTokenAsync(token, TokenText.HashOf(text)!) is { } refusal) throw new RefusedException([refusal]);
        return new NewTokenView(View(token), text);
    }

    private string NewId() => $"{IdPrefix}{randomness.NextHex(6)}";

    private static RefusedException NoUser(string name) =>
        new("user-not-found", $"there is no user {name}", "see 'godwit user list'");

    private static TokenView View(ApiToken token) =>
        new(token.Id, token.Name, token.User ?? token.Subject, token.Role, token.CreatedAt, token.CreatedBy,
            token.ExpiresAt, token.LastUsedAt);

    private static UserView View(User user) => new(user.Name, user.Role, user.CreatedAt, user.CreatedBy);
}
