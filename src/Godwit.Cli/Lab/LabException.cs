namespace Godwit.Cli.Lab;

/// <summary>The lab could not do something on this machine; the message says what and, where known, what helps.</summary>
public sealed class LabException(string message, Exception? inner = null) : Exception(message, inner);
