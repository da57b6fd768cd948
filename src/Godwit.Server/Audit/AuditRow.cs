namespace Godwit.Server.Audit;

/// <summary>
/// What became of what somebody asked for. Words, not an enum: also what stands in a row that was tampered with is read.
/// </summary>
public static class AuditResult
{
    /// <summary>Allowed, and about to be done: written before anything is. Another row of the same request tells the end.</summary>
    public const string Begun = "begun";
    public const string Done = "done";
    /// <summary>Allowed, and refused or failed by what it was asked of; <see cref="AuditEntry.Detail"/> has the code.</summary>
    public const string Failed = "failed";
    /// <summary>Not let in, or not allowed.</summary>
    public const string Refused = "refused";
    /// <summary>The client left before the answer; what was begun may have gone on.</summary>
    public const string Unanswered = "unanswered";
}

/// <summary>Something somebody asked for, to be recorded.</summary>
/// <param name="Request">Id of the request, as in its answer's header; the same in all its rows.</param>
/// <param name="Actor">A user's or token's name, <c>uid 0</c> on the local socket, <c>-</c> where nobody was proved.</param>
/// <param name="Role">Null with no actor.</param>
/// <param name="Source">Network address, or <c>local, pid 4711</c>.</param>
/// <param name="Token">Id of the token; never its text.</param>
/// <param name="Action">Method and route: <c>POST vms/{vm}/migrate</c>.</param>
/// <param name="Object">Path and query: <c>vms/web1</c>.</param>
/// <param name="Detail">What was asked (the request's body, no secrets), or how it ended.</param>
public sealed record AuditEntry(
    string Request, string Actor, string? Role, string Source, string? Token, string Action, string Object)
{
    public string Result { get; init; } = "";
    public string? Detail { get; init; }
}

/// <summary>An entry as it stands in the chain.</summary>
/// <param name="Prior">The hash of the row before, 64 lower-case hex digits.</param>
/// <param name="Hash">Of <paramref name="Prior"/> and everything else in this row: <see cref="AuditChain"/>.</param>
public sealed record AuditRow(long Seq, DateTimeOffset At, AuditEntry Entry, string Prior, string Hash);

/// <summary>The newest row that somebody knows of.</summary>
public sealed record AuditHead(long Seq, string Hash)
{
    public override string ToString() => $"{Seq}:{Hash}";

    /// <summary>Null where it is not <c>NUMBER:HASH</c>.</summary>
    public static AuditHead? Parse(string text)
    {
        var parts = text.Split(':');
        return parts.Length == 2 && long.TryParse(parts[0], System.Globalization.NumberStyles.None, null, out var seq) && seq > 0
            && parts[1].Length == AuditChain.HashChars && parts[1].All(char.IsAsciiHexDigitLower)
            ? new AuditHead(seq, parts[1]) : null;
    }
}
