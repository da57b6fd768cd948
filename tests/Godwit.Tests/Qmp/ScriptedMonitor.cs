using System.Buffers;
using System.Text;
using System.Text.Json;
using Godwit.Qmp;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Godwit.Tests.Qmp;

/// <summary>The QEMU side of a monitor, told what to say line by line.</summary>
internal sealed class ScriptedMonitor
{
    public const string Greeting =
        """{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "test"}, "capabilities": ["oob"]}}""";

    private readonly Stream theirs;
    private readonly QmpFramer framer = new();
    private readonly byte[] buffer = new byte[4096];
    private ReadOnlyMemory<byte> rest;

    public ScriptedMonitor() => (Ours, theirs) = MemoryDuplex.Create();

    public Stream Ours { get; }
    public FakeTimeProvider Time { get; } = new();

    /// <summary>A client that has greeted and negotiated.</summary>
    public static async Task<(ScriptedMonitor Monitor, QmpClient Client)> ConnectedAsync()
    {
        var monitor = new ScriptedMonitor();
        var connecting = QmpClient.ConnectAsync(monitor.Ours, monitor.Time, CancellationToken.None);
        await monitor.SayAsync(Greeting);
        await monitor.AnswerNextAsync("{}");
        return (monitor, await connecting);
    }

    public async Task SayAsync(string text) => await theirs.WriteAsync(Encoding.UTF8.GetBytes(text + "\r\n"));

    public async Task SayAsync(byte[] bytes) => await theirs.WriteAsync(bytes);

    public async Task<JsonElement> HearAsync() =>
        await HearOrEndAsync() ?? throw new EndOfStreamException("the client closed the monitor");

    /// <summary>Null once the client closed.</summary>
    public async Task<JsonElement?> HearOrEndAsync()
    {
        while (true)
        {
            if (rest.IsEmpty)
            {
                var count = await theirs.ReadAsync(buffer);
                if (count == 0) return null;
                rest = buffer.AsMemory(0, count);
            }
            if (Take() is { } message) return message;
        }
    }

    public async Task<JsonElement> AnswerNextAsync(string answer)
    {
        var command = await HearAsync();
        await SayAsync($$"""{"return": {{answer}}, "id": {{Id(command)}}}""");
        return command;
    }

    public static long Id(JsonElement command) => command.GetProperty("id").GetInt64();

    public static string Name(JsonElement command) =>
        (command.TryGetProperty("execute", out var name) ? name : command.GetProperty("exec-oob")).GetString()!;

    public void HangUp() => theirs.Dispose();

    private JsonElement? Take()
    {
        var status = framer.Read(rest.Span, out var consumed, out var message);
        Assert.NotEqual(OperationStatus.InvalidData, status);
        var whole = status == OperationStatus.Done ? JsonElement.Parse(message) : (JsonElement?)null;
        rest = rest[consumed..];
        return whole;
    }
}
