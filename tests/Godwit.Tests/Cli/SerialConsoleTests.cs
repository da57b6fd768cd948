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
        var keys = new Keyboard();
        using var picture = new MemoryStream();
        using var session = Session(guest.SocketPath);
        var run = new SerialConsole(session, "web1", keys, picture).RunAsync(default);

        await guest.SecondAttached;
        keys.Type("ls\r");
        Assert.Equal("ls\r", await guest.Typed.ReadAsync());
        keys.Type("\u001d");
        Assert.Equal(ExitCode.All, await run);
        Assert.Equal("first second", Encoding.ASCII.GetString(picture.ToArray()));
    }

    [Fact]
    public async Task A_console_of_nobody_is_an_error_and_not_a_wait()
    {
        using var session = Session("/nowhere/godwit.sock");
        var error = await Assert.ThrowsAsync<ApiException>(() =>
            new SerialConsole(session, "web1", new Keyboard(), Stream.Null).RunAsync(default));
        Assert.Equal("server-not-reachable", error.Error.Code);
    }

    private static Session Session(string socket) => new(new Surroundings
    {
        Output = TextWriter.Null, Error = TextWriter.Null, IsTerminal = false, Width = 80, Time = TimeProvider.System,
        Server = new ServerAddress(socket, IsChosen: true),
    }, json: false);

    /// <summary>Says one line a connection and closes all but the last.</summary>
    private sealed class Guest(WebApplication app, string socketPath, ChannelReader<string> typed, Task secondAttached)
        : IAsyncDisposable
    {
        public string SocketPath => socketPath;
        public ChannelReader<string> Typed => typed;
        public Task SecondAttached => secondAttached;

        public static async Task<Guest> StartAsync(IReadOnlyList<string> lines)
        {
            var socketPath = Path.Combine(Path.GetTempPath(), $"godwit-{Guid.NewGuid():N}.sock");
            var (typed, last, count) = (Channel.CreateUnbounded<string>(), new TaskCompletionSource(), 0);
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
                last.SetResult();
                var chunk = new byte[64];
                while (await socket.ReceiveAsync(chunk.AsMemory(), http.RequestAborted) is { Count: > 0 } message)
                    await typed.Writer.WriteAsync(Encoding.ASCII.GetString(chunk, 0, message.Count));
            });
            await app.StartAsync();
            return new Guest(app, socketPath, typed.Reader, last.Task);
        }

        public async ValueTask DisposeAsync()
        {
            await app.DisposeAsync();
            File.Delete(socketPath);
        }
    }

    private sealed class Keyboard : Stream
    {
        private readonly Channel<byte[]> pressed = Channel.CreateUnbounded<byte[]>();

        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => false;
        public override long Length => throw new NotSupportedException();
        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public void Type(string text) => pressed.Writer.TryWrite(Encoding.ASCII.GetBytes(text));

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var keys = await pressed.Reader.ReadAsync(cancellationToken);
            keys.CopyTo(buffer);
            return keys.Length;
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override void Flush() { }
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
