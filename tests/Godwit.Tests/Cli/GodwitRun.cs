using Godwit.Cli;
using Godwit.Cli.Api;
using Godwit.Cli.Commands;

namespace Godwit.Tests.Cli;

/// <summary>One run of the command line inside the test's process.</summary>
internal sealed record GodwitRun(int ExitCode, string Output, string Error)
{
    public static readonly DateTimeOffset Now = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);

    public static Task<GodwitRun> OfAsync(ScriptedServer server, string line) =>
        OfAsync(new ServerAddress(server.SocketPath, IsChosen: true), line, isTerminal: false, default);

    public static Task<GodwitRun> OnTerminalAsync(ScriptedServer server, string line) =>
        OfAsync(new ServerAddress(server.SocketPath, IsChosen: true), line, isTerminal: true, default);

    public static Task<GodwitRun> WithoutServerAsync(string line) =>
        OfAsync(new ServerAddress("/nowhere/godwit.sock", IsChosen: false), line, isTerminal: false, default);

    public static async Task<GodwitRun> OfAsync(
        ServerAddress server, string line, bool isTerminal, CancellationToken cancel, RemoteSettings? remote = null, string? secret = null,
        StringWriter? error = null, Func<string, string, CancellationToken, Task<int>>? runCommand = null)
    {
        var output = new StringWriter();
        error ??= new StringWriter();
        var around = new Surroundings
        {
            Output = TextWriter.Synchronized(output), Error = TextWriter.Synchronized(error),
            IsTerminal = isTerminal, Width = 120, Server = server,
            Time = remote is null ? new StandingClock() : TimeProvider.System, // Certificates are of today.
            RunCommand = runCommand ?? ((_, _, _) => throw new InvalidOperationException("nothing is to be run")),
            Remote = remote ?? RemoteSettings.Of(_ => null), ReadSecret = _ => secret,
        };
        // A word in quotes is one word, spaces and all.
        var words = line.Split('"').SelectMany((part, n) => n % 2 == 1 ? [part] : part.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        var code = await CommandTree.RunAsync(around, [.. words], cancel);
        return new GodwitRun(code, output.ToString(), error.ToString());
    }

    /// <summary>Ages in tables never change; timers go on, so that a watch that is cut takes up again by itself.</summary>
    private sealed class StandingClock : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => Now;
    }
}
