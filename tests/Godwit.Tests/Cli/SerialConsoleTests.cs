using System.IO.Pipelines;
using System.Net.WebSockets;
using System.Text;
using System.Threading.Channels;
using Godwit.Cli;
using Godwit.Cli.Api;
using Godwit.Cli.Consoles;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Godwit.Tests.Cli;

public sealed class SerialConsoleTests
{
    [Fact]
    public async Task A_console_that_a_move_cuts_attaches_again_and_its_keys_go_to_the_new_connection()
    {
        await using var guest = await Guest.StartAsync(["first ", "second"]);
        var (keys, picture) = (new Pipe(), new Pipe());
        using var session = Session(guest.SocketPath);
        var run = new SerialConsole(session, "web1", keys.Reader.AsStream(), picture.Writer.AsStream()).RunAsync(default);

        var shown = await picture.Reader.ReadAtLeastAsync("first second".Length);
        Assert.Equal("first second", Encoding.ASCII.GetString(shown.Buffer));
        await keys.Writer.WriteAsync("ls\r"u8.ToArray());
        Assert.Equal("ls\r", await guest.Typed.ReadAsync());
        await keys.Writer.WriteAsync("\u001d"u8.ToArray());
        Assert.Equal(ExitCode.All, await run);
    }

    [Fact]
    public async Task A_console_of_nobody_is_an_error_and_not_a_wait()
    {
        using var session = Session("/nowhere/godwit.sock");
        var error = await Assert.ThrowsAsync<ApiException>(() =>
            new SerialConsole(session, "web1", Stream.Null, Stream.Null).RunAsync(default));
        Assert.Equal("server-not-reachable", error.Error.Code);
    }

    private static Session Session(string socket) => new(new Surroundings
    {
        Output = TextWriter.Null, Error = TextWriter.Null, IsTerminal = false, Width = 80, Time = TimeProvider.System,
        Server = new ServerAddress(socket, IsChosen: true),
    }, json: false);

    /// <summary>Says one line a connection and closes all but the last.</summary>
    private sealed class Guest(WebApplication app, string socketPath, ChannelReader<string> typed) : IAsyncDisposable
    {
        public string SocketPath => socketPath;
        public ChannelReader<string> Typed => typed;

        public static async Task<Guest> StartAsync(IReadOnlyList<string> lines)
        {
            var socketPath = Path.Combine(Path.GetTempPath(), $"godwit-{Guid.NewGuid():N}.sock");
            var (typed, count) = (Channel.CreateUnbounded<string>(), 0);
            var builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenUnixSocket(socketPath));
            var app = builder.Build();
            app.UseWebSockets();
            app.MapGet("/api/v1/vms/web1/console", async (HttpContext http) =>
            {
                var line = lines[count++];
                using var socket = await http.WebSockets.AcceptWebSocketAsync();
                await socket.SendAsync(Encoding.ASCII.GetBytes(line), WebSocketMessageType.Binary, true, default);
                if (count < lines.Count)
                {
                    await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, "moved", default);
                    return;
                }
                var chunk = new byte[64];
                while (await socket.ReceiveAsync(chunk.AsMemory(), http.RequestAborted) is { Count: > 0 } message)
                    await typed.Writer.WriteAsync(Encoding.ASCII.GetString(chunk, 0, message.Count));
            });
            await app.StartAsync();
            return new Guest(app, socketPath, typed.Reader);
        }

        public async ValueTask DisposeAsync()
        {
            await app.DisposeAsync();
            File.Delete(socketPath);
        }
    }
}
