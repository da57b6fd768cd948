using System.Buffers;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Godwit.Qmp;

/// <summary>One command on its way. Its flags belong to the lock of its <see cref="QmpClient"/>.</summary>
internal sealed class QmpCall(long id, string command, bool oob, byte[] bytes)
{
    public long Id { get; } = id;
    public string Command { get; } = command;
    public bool Oob { get; } = oob;
    public byte[] Bytes { get; } = bytes;

    /// <summary>Handed to the stream; from here on only QEMU's reply frees the slot.</summary>
    public bool Sent { get; set; }

    /// <summary>Given up before it was sent: must never be.</summary>
    public bool Withdrawn { get; set; }

    /// <summary>Asynchronous, because the reading loop completes it and must not run the caller's next step itself.</summary>
    public TaskCompletionSource<JsonElement> Reply { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public static QmpCall Create(long id, string command, bool oob, JsonObject? arguments)
    {
        var bytes = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteString(oob ? "exec-oob" : "execute", command);
            if (arguments is not null)
            {
                json.WritePropertyName("arguments");
                arguments.WriteTo(json);
            }
            json.WriteNumber("id", id);
            json.WriteEndObject();
        }
        bytes.Write("\n"u8);
        return new QmpCall(id, command, oob, bytes.WrittenSpan.ToArray());
    }
}
