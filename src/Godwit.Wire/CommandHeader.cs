using System.Buffers;

namespace Godwit.Wire;

/// <summary>A command's fixed part; <see cref="PayloadBytes"/> bytes follow it.</summary>
/// <param name="PayloadBytes">What the command's own length says; for PACKAGED the length of the nested stream.</param>
public readonly record struct CommandHeader(StreamCommand Command, uint PayloadBytes)
{
    private const uint PackagedBytesMax = 1 << 30; // QEMU itself refuses to build one over 16 MiB (32 in newer ones).

    /// <summary>InvalidData also for a command not known here: it might carry bytes outside of its length.</summary>
    public static OperationStatus TryRead(ReadOnlySpan<byte> source, out CommandHeader header, out int consumed)
    {
        (header, consumed) = (default, 0);
        var cursor = new WireCursor(source);
        if (!cursor.TryByte(out var element)) return OperationStatus.NeedMoreData;
        if (element != (byte)StreamElement.Command) return OperationStatus.InvalidData;
        if (!cursor.TryUInt16(out var code) || !cursor.TryUInt16(out var length)) return OperationStatus.NeedMoreData;
        var command = (StreamCommand)code;
        if (command is < StreamCommand.OpenReturnPath or > StreamCommand.SwitchoverStart) return OperationStatus.InvalidData;

        uint payload = length;
        if (command == StreamCommand.Packaged)
        {
            if (length != sizeof(uint)) return OperationStatus.InvalidData;
            if (!cursor.TryUInt32(out payload)) return OperationStatus.NeedMoreData;
            if (payload > PackagedBytesMax) return OperationStatus.InvalidData;
        }

        (header, consumed) = (new CommandHeader(command, payload), cursor.At);
        return OperationStatus.Done;
    }
}
