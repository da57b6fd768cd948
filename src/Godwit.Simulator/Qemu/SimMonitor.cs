using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Godwit.Core.Ports;

namespace Godwit.Simulator.Qemu;

/// <summary>
/// One QMP socket: one client at a time, the next waits unanswered until the first is gone; greeting, negotiation,
/// replies by id, events. Bytes as QEMU 7.2 writes them.
/// </summary>
internal sealed class SimMonitor(SimQemu qemu, QemuCommands commands)
{
    private const int LineBytesMax = 1 << 20;
    private const string Greeting =
        """{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "simulated"}, "capabilities": ["oob"]}}""";

    private Stream? _client;
    private bool _negotiated;
    private readonly Queue<string> _outbox = new();
    private bool _writing;

    public async Task ServeAsync(IListener listener)
    {
        while (true)
        {
            _client = await listener.AcceptAsync(CancellationToken.None);
            (_negotiated, _writing) = (false, false);
            _outbox.Clear();
            try
            {
                Send(Greeting);
                await ReadCommandsAsync(_client);
            }
            catch (IOException) { } // The client is gone; its commands stand.
            _client.Dispose();
            _client = null;
        }
    }

    public void SendEvent(string name, JsonObject? data)
    {
        if (_client is null || !_negotiated) return;
        var micros = (qemu.Host.Clock.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
        var said = new JsonObject
        {
            ["timestamp"] = new JsonObject { ["seconds"] = micros / 1_000_000, ["microseconds"] = micros % 1_000_000 },
            ["event"] = name,
        };
        if (data is not null) said["data"] = data.DeepClone();
        Send(said.ToJsonString());
    }

    private async Task ReadCommandsAsync(Stream client)
    {
        var line = new ArrayBufferWriter<byte>();
        var buffer = new byte[4096];
        while (true)
        {
            var count = await client.ReadAsync(buffer);
            if (count == 0) return;
            for (var i = 0; i < count; i++)
            {
                if (buffer[i] != (byte)'\n')
                {
                    line.Write([buffer[i]]);
                    if (line.WrittenCount > LineBytesMax) return;
                    continue;
                }
                var text = Encoding.UTF8.GetString(line.WrittenSpan).Trim();
                line.Clear();
                if (text.Length > 0) await AnswerAsync(text);
            }
        }
    }

    private async Task AnswerAsync(string text)
    {
        JsonObject said;
        try { said = JsonNode.Parse(text)!.AsObject(); }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            Send(Error("GenericError", "JSON parse error", null));
            return;
        }
        var (id, outOfBand) = (said["id"], said.ContainsKey("exec-oob"));
        var command = (said["execute"] ?? said["exec-oob"])?.GetValue<string>() ?? "";
        if (!outOfBand) await qemu.MainLoopAsync(); // Replies queue behind whatever QEMU's main loop is busy with.
        if (!_negotiated && command != "qmp_capabilities")
        {
            Send(Error("CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'", id));
            return;
        }
        _negotiated = true;
        try
        {
            var answer = commands.Execute(command, said["arguments"]?.AsObject() ?? []);
            var reply = new JsonObject { ["return"] = answer };
            if (id is not null) reply["id"] = id.DeepClone();
            Send(reply.ToJsonString());
        }
        catch (QemuErrorException refused)
        {
            Send(Error(refused.ErrorClass, refused.Message, id));
        }
    }

    private static string Error(string errorClass, string description, JsonNode? id)
    {
        var error = new JsonObject
        {
            ["error"] = new JsonObject { ["class"] = errorClass, ["desc"] = description },
        };
        if (id is not null) error["id"] = id.DeepClone();
        return error.ToJsonString();
    }

    private void Send(string line)
    {
        _outbox.Enqueue(line + "\r\n");
        if (_writing) return;
        _writing = true;
        _ = WriteOutAsync(_client!);
    }

    private async Task WriteOutAsync(Stream client)
    {
        try
        {
            while (client == _client && _outbox.TryDequeue(out var line)) await client.WriteAsync(Encoding.UTF8.GetBytes(line));
        }
        catch (IOException) { } // The client is gone; the reading side notices.
        if (client == _client) _writing = false;
    }
}

/// <summary>An error reply.</summary>
internal sealed class QemuErrorException(string description, string errorClass = "GenericError") : Exception(description)
{
    public string ErrorClass => errorClass;
}
