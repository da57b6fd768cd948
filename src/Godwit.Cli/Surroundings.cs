using Godwit.Cli.Api;
using Godwit.Cli.Screens;

namespace Godwit.Cli;

/// <summary>All that a command takes from the process it runs in, so that a test can be its process.</summary>
internal sealed record Surroundings
{
    public required TextWriter Output { get; init; }
    public required TextWriter Error { get; init; }
    public required bool IsTerminal { get; init; }
    public required int Width { get; init; }
    public required TimeProvider Time { get; init; }
    public required ServerAddress Server { get; init; }
    public RemoteSettings Remote { get; init; } = RemoteSettings.Of(_ => null);
    /// <summary>Asks for a password; null where there is no more input.</summary>
    public Func<string, string?> ReadSecret { get; init; } = Consoles.SecretPrompt.Read;

    /// <summary>Asks for a line; null where there is no more input.</summary>
    public Func<string, string?> ReadLine { get; init; } = prompt =>
    {
        Console.Error.Write(prompt);
        return Console.In.ReadLine();
    };

    /// <summary>Runs a person's line for a host, and returns its exit code.</summary>
    public Func<string, string, CancellationToken, Task<int>> RunCommand { get; init; } = Upgrade.PersonsCommand.RunAsync;

    public static Surroundings OfThisProcess()
    {
        var isTerminal = !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") is not (null or "dumb");
        return new()
        {
            Output = Console.Out, Error = Console.Error, IsTerminal = isTerminal,
            Width = isTerminal ? Math.Clamp(Console.WindowWidth, 40, 400) : int.MaxValue,
            Time = TimeProvider.System,
            Server = ServerAddress.Find(Environment.GetEnvironmentVariable(ServerAddress.Variable), File.Exists),
            Remote = RemoteSettings.Of(Environment.GetEnvironmentVariable),
        };
    }
}

/// <summary>One run of one command: its screen, and the server it talks to.</summary>
internal sealed class Session(Surroundings around, bool json) : IDisposable
{
    private readonly Lazy<ApiClient> client = new(() => ServerWay.Client(around.Server, around.Remote, around.Time));

    public Screen Screen { get; } = new(around.Output, around.Error, around.IsTerminal, around.Width, json);
    public TimeProvider Time => around.Time;
    public ServerAddress Server => around.Server;
    public ApiClient Client => client.Value;
    public GodwitApi Api => new(Client);
    public AccessApi Access => new(Client);
    public RemoteSettings Remote => around.Remote;
    public Func<string, string?> ReadSecret => around.ReadSecret;
    public Func<string, string?> ReadLine => around.ReadLine;
    public Func<string, string, CancellationToken, Task<int>> RunCommand => around.RunCommand;

    /// <summary>The same screen, another server.</summary>
    public Session At(ServerAddress server) => new(around with { Server = server }, json);

    public void Report(ApiError error)
    {
        if (Screen.IsJson) Screen.Error.WriteLine(System.Text.Json.JsonSerializer.Serialize(new { error }, ApiJson.Indented));
        else foreach (var (text, _) in ErrorText.Lines(error)) Screen.Error.WriteLine(text);
    }

    public void Dispose()
    {
        if (client.IsValueCreated) client.Value.Dispose();
    }
}
