using System.Text.Json.Serialization;
using Godwit.Core;
using Godwit.Core.Migration;

namespace Godwit.Agent.Moves;

/// <summary>
/// One side's durable word on one move. Written (and synced) before the act it allows; a restarted agent believes it
/// together with what QEMU says, and nothing else.
/// </summary>
internal sealed record MoveRecord
{
    public required string Move { get; init; }
    public required string Vm { get; init; }
    public required MoveRole Role { get; init; }
    public required MoveMark Mark { get; init; }
    /// <summary>The epoch the target takes on, one above the source's.</summary>
    public required long NewEpoch { get; init; }
    public required string Peer { get; init; }
    /// <summary>The guest was (source) or is to stay (target) paused.</summary>
    public bool Paused { get; init; }
    /// <summary>The QEMU this side's half is about: the one that sends (source), or the new one.</summary>
    public int Incarnation { get; init; }
    /// <summary>No token belongs to it: the source goes on whatever became of the target.</summary>
    public bool Rehearses { get; init; }
    /// <summary>The guest runs at the target before its memory is there; the source keeps that until it is.</summary>
    public bool Lazily { get; init; }
    /// <summary>Lazy moves: what the memory's link is opened with, again and again, and where (source).</summary>
    public string? Ticket { get; init; }
    public string? Endpoint { get; init; }
    public long BandwidthBytesPerSecond { get; init; }
    /// <summary>Lazy moves, target, with the intent: the number of the section that memory comes in.</summary>
    public uint? RamSection { get; init; }
    public string? Reason { get; init; }
    public Receipt? Receipt { get; init; }

    [JsonIgnore]
    public bool IsSettled => Mark is not (MoveMark.HandingOver or MoveMark.Candidate or MoveMark.Intent or MoveMark.Withdrawn);
}

internal enum MoveRole { Source, Target, Refresh }

/// <summary>Order in time on each side; only the last one counts.</summary>
internal enum MoveMark
{
    /// <summary>Source: a token may leave from now on. If QEMU is found in postmigrate, it may have left: ask the target.</summary>
    HandingOver,
    /// <summary>Source: the guest is here as before. Final.</summary>
    Kept,
    /// <summary>Source: the target proved that it runs; this copy is ended. Final.</summary>
    Released,
    /// <summary>Source: the guest powered itself off here. Final.</summary>
    Stopped,
    /// <summary>Source: its QEMU died with the guest's memory. Final.</summary>
    SourceLost,

    /// <summary>Target: waits for a token, never runs without one.</summary>
    Candidate,
    /// <summary>Target: the token came, it will run (or already does).</summary>
    Intent,
    /// <summary>
    /// Target, refresh: the intent is taken back. <c>cont</c> was never carried out and never will be; the QEMU is being
    /// ended. Without this word a crash before the tombstone would look like "may have run".
    /// </summary>
    Withdrawn,
    /// <summary>Target: it ran. The proof the source waits for. Final.</summary>
    Runs,
    /// <summary>Target: it never ran and never will. The other proof. Final: a late token finds this tombstone.</summary>
    Aborted,
    /// <summary>Target: intent was durable and QEMU is gone. It may have run; nobody resumes anything. Final.</summary>
    TargetLost,
}

[JsonSourceGenerationOptions(WriteIndented = true, UseStringEnumConverter = true)]
[JsonSerializable(typeof(MoveRecord))]
internal sealed partial class MoveRecordJson : JsonSerializerContext;
