namespace Godwit.Qmp;

/// <summary>A command that got no good answer. The message names the command and the words of whoever said no.</summary>
/// <param name="errorClass">QEMU's own class (GenericError, CommandNotFound, …) or one of <see cref="QmpErrors"/>.</param>
public sealed class QmpException(string errorClass, string description, Exception? inner = null)
    : Exception(description, inner)
{
    public string ErrorClass { get; } = errorClass;

    /// <summary>The command that failed; empty where the monitor as a whole did.</summary>
    public string Command { get; init; } = "";

    /// <summary>QEMU's <c>desc</c>, word for word; empty where the error is not QEMU's.</summary>
    public string QemuWords { get; init; } = "";
}

/// <summary>The error classes that are ours, not QEMU's.</summary>
public static class QmpErrors
{
    /// <summary>The monitor is gone. Nobody knows whether the command was carried out.</summary>
    public const string Closed = "Closed";
    /// <summary>No answer in time. The command may still be carried out.</summary>
    public const string Deadline = "Deadline";
    /// <summary>The peer does not speak QMP, or an answer has not the shape its command promises.</summary>
    public const string Protocol = "Protocol";
    /// <summary>Too many commands wait for answers; this one was not sent.</summary>
    public const string Busy = "Busy";
    /// <summary>This QEMU cannot take the command out of band; it was not sent.</summary>
    public const string NoOob = "NoOob";
}
