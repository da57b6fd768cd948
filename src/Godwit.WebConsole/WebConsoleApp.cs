using Godwit.Core.Access;
using Godwit.Server;
using Godwit.Server.Api;
using Godwit.WebConsole.Live;
using Godwit.WebConsole.Serving;
using Godwit.WebConsole.Shell;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Components.Endpoints;
using Microsoft.AspNetCore.DataProtection;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using MudBlazor.Services;

namespace Godwit.WebConsole;

/// <summary>The console, put together: pages by Blazor on the server, everything they need inside this assembly.</summary>
public sealed class WebConsoleApp : IWebConsole
{
    /// <summary>Of a person's page whose network went away: so long it is kept for them.</summary>
    private static readonly TimeSpan leftMax = TimeSpan.FromMinutes(2);
    private const int LeftCircuitsMax = 50, UnansweredRendersMax = 20, MessageBytesMax = 64 * 1024;

    private SessionCookie? _cookie;

    public void AddTo(WebApplicationBuilder builder, ServerOptions options)
    {
        var keys = Directory.CreateDirectory(Path.Combine(options.StateDirectory, "console-keys"),
            UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        var services = builder.Services;
        services.AddDataProtection().SetApplicationName("godwit console").PersistKeysToFileSystem(keys);
        // The keys lie beside the cluster's own, in a directory of the same mode: to say at each start that they could lie better is noise.
        builder.Logging.AddFilter("Microsoft.AspNetCore.DataProtection", LogLevel.Error);
        services.AddAntiforgery(anti =>
        {
            anti.Cookie.Name = "__Host-godwit-form";
            anti.Cookie.SecurePolicy = CookieSecurePolicy.Always;
            anti.Cookie.SameSite = SameSiteMode.Strict;
            anti.SuppressXFrameOptionsHeader = true; // frame-ancestors says it.
        });
        services.AddRazorComponents().AddInteractiveServerComponents(circuits =>
        {
            circuits.DisconnectedCircuitRetentionPeriod = leftMax;
            circuits.DisconnectedCircuitMaxRetained = LeftCircuitsMax;
            circuits.MaxBufferedUnacknowledgedRenderBatches = UnansweredRendersMax;
        }).AddHubOptions(hub => hub.MaximumReceiveMessageSize = MessageBytesMax);
        services.AddMudServices();
        services.AddHttpContextAccessor();
        services.AddSingleton(TimeProvider.System);
        services.AddSingleton<SessionCookie>();
        services.AddSingleton(new ServerSocket(options.Socket));
        services.AddSingleton(new LogInWays(HasIssuer: options.Oidc is not null));
        services.AddSingleton<IssuerLogIn>();
        services.AddScoped<Person>();
        services.AddScoped<PersonsApi>();
        services.AddScoped<LiveFeed>();
        services.AddScoped<Notices>();
        services.AddScoped<Selection>();
    }

    public void Use(WebApplication web)
    {
        _cookie = web.Services.GetRequiredService<SessionCookie>();
        web.UseMiddleware<PageHeaders>();
        web.UseMiddleware<SameOrigin>();
        web.UseAntiforgery();
    }

    public void MapTo(IEndpointRouteBuilder web)
    {
        PageAssets.MapTo(web);
        TerminalPage.MapTo(web);
        DisplayPage.MapTo(web);
        TemplateUpload.MapTo(web);
        web.MapPost("/logout", LogOut.RunAsync).Needs(Permission.OwnAccount, Traits.Page).ExcludeFromDescription();
        web.MapGet(IssuerLogIn.BeginPath, (HttpContext http, IssuerLogIn issuer) => issuer.BeginAsync(http))
            .Needs(Permission.Anyone, Traits.Page).ExcludeFromDescription();
        web.MapGet(IssuerLogIn.AnswerPath, (HttpContext http, IssuerLogIn issuer) => issuer.AnswerAsync(http))
            .Needs(Permission.Anyone, Traits.Page).ExcludeFromDescription();
        var pages = web.MapRazorComponents<App>();
        pages.AddInteractiveServerRenderMode(mode => mode.ContentSecurityFrameAncestorsPolicy = null).Add(endpoint =>
        {
            var page = endpoint.Metadata.OfType<ComponentTypeMetadata>().FirstOrDefault()?.Type;
            // A circuit costs memory for as long as its page is open: strangers get the log-in, which has none.
            endpoint.Metadata.Add(new EndpointNeeds(page == typeof(LogInPage) ? Permission.Anyone : Permission.OwnAccount, Traits.Page));
        });
    }

    public string? TokenOf(HttpContext http) => _cookie?.Read(http);
}

/// <param name="HasIssuer">People may log in at an issuer, too.</param>
public sealed record LogInWays(bool HasIssuer);
