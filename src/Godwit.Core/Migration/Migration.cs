using System.Globalization;
using Godwit.Core.Quoting;
using Godwit.Core.Vms;

namespace Godwit.Core.Migration;

/// <summary>The durable record of one move: what was wanted, how far it came, how it ended. Changes make a new record.</summary>
public sealed record Migration
{
    public required MoveId Id { get; init; }
    public required VmId Vm { get; init; }
    public required string VmName { get; init; }
    public required HostId Source { get; init; }
    public required HostId Target { get; init; }
    public required MoveMode Mode { get; init; }
    public required MoveLimits Limits { get; init; }
    /// <summary>Owner epoch before the move; the target becomes owner with the next one.</summary>
    public required Epoch Epoch { get; init; }
    public required Phase Phase { get; init; }
    public MoveEnd? End { get; init; }
    /// <summary>One sentence for people: why it ended as it did. Set with every end but <see cref="MoveEnd.Done"/>.</summary>
    public string? Reason { get; init; }
    /// <summary>All reasons at once when the checks said no.</summary>
    public IReadOnlyList<Refusal> Refusals { get; init; } = [];
    /// <summary>Things that went wrong after the guest had moved; they never change the end.</summary>
    public IReadOnlyList<string> Warnings { get; init; } = [];
    public MoveProgress? Progress { get; init; }
    public Receipt? Receipt { get; init; }
    /// <summary>
    /// What was expected of it as it began; null where its memory was not known. A hybrid move's is of all of it, also once it goes on
    /// lazily; of a live one that does so there is none.
    /// </summary>
    public WayQuote? Quote { get; init; }
    /// <summary>A person asked for it to stop; durable. Saving the record never clears it (the journal keeps it once set).</summary>
    public bool CancelRequested { get; init; }
    /// <summary>Cold moves: whether the guest ran when the move began, and so is started at its new home. Null until known.</summary>
    public bool? WasRunning { get; init; }
    /// <summary>Refresh only: another QEMU binary, or other host processors ("0-3"), for the new process.</summary>
    public RefreshWish? Refresh { get; init; }
    /// <summary>It has all but the token: the guest goes on at the source, and the target is thrown away.</summary>
    public bool Rehearses { get; init; }
    /// <summary>How it was begun first, where it went on as a lazy move by consent; null: it is as it began.</summary>
    public MoveMode? BeganAs { get; init; }
    /// <summary>What that first beginning had sent over the wire: part of what the move cost.</summary>
    public long BytesBefore { get; init; }
    /// <summary>It may yet begin once more, lazily: the target keeps what memory it has by then.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool MayTurnLazy => Mode is MoveMode.Live or MoveMode.Hybrid && BeganAs is null && !Rehearses && Limits.MayLazy;
    /// <summary>What both hosts know this move by: the second beginning of one has a name of its own there.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public MoveId AtAgents => BeganAs is null ? Id : new MoveId($"{Id}-lazy");
    /// <summary>Why its guest crashed, where <see cref="LateMemory.Lost"/>.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public string LostWords => $"part of its memory was on {Source}, which is off";
    /// <summary>How often it was taken up again after it had ended as <see cref="MoveEnd.NeedsOperator"/>.</summary>
    public int Repairs { get; init; }
    /// <summary>Source or target that is proved to be off, by a fence or a person's word: what it held is gone.</summary>
    public HostId? Fenced { get; init; }
    /// <summary>Lazy: what became of the memory that was to follow. Null: it is all there, or is waited for.</summary>
    public LateMemory? Late { get; init; }
    /// <summary>What asked for it where that was no person: a drain's id. Null: a person.</summary>
    public string? Because { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? EndedAt { get; init; }
}

/// <summary>What is known of the memory of a lazy move that did not simply come.</summary>
public enum LateMemory
{
    /// <summary>A person had the move end before all was there: it follows unwatched, and both hosts are needed.</summary>
    Unwatched,
    /// <summary>
    /// The source is proved to be off, so the guest, which was to run, is ended as crashed. For as long as it is, under the epoch the move
    /// gave it, whoever recovers that host starts it again as one that was lost with it.
    /// </summary>
    Lost,
}

public sealed record RefreshWish(string? QemuPath, string? Cpus);

/// <summary>What a person asked of a move: what it must keep, and what it may do to end.</summary>
/// <param name="MaxPauseMs">The move does not switch over above this, STOP to RESUME, in ms, but by <see cref="MayQuick"/>.</param>
/// <param name="BandwidthBytesPerSecond">Ceiling on the link; 0 is as fast as the link goes.</param>
public sealed record MoveLimits(int MaxPauseMs = MoveLimits.DefaultMaxPauseMs, long BandwidthBytesPerSecond = 0)
{
    public const int DefaultMaxPauseMs = 300;
    public const int DeadlineSecondsMax = 7 * 86_400, SlowdownPercentMax = 99;

    /// <summary>Seconds from the first byte to the end of patience; null: as long as passes shrink.</summary>
    public int? DeadlineSeconds { get; init; }
    /// <summary>Consent: where the limit cannot be kept, or the deadline is there, the guest is stopped and the rest crosses.</summary>
    public bool MayQuick { get; init; }
    /// <summary>
    /// Consent: a live move that ends at home for limit or deadline is begun once more as a lazy one. Not needed with
    /// <see cref="MayQuick"/>, which ends it before.
    /// </summary>
    public bool MayLazy { get; init; }
    /// <summary>Consent: percent of a guest's time QEMU may take so that memory crosses faster than it changes; 0: none.</summary>
    public int MaxSlowdownPercent { get; init; }
    /// <summary>Passes over memory after which what is left must fit, or the move ends at home; null: as long as they shrink.</summary>
    public int? PassesMax { get; init; }

    /// <summary>Of <see cref="MoveMode.Hybrid"/>, which is consent to a lazy end by itself.</summary>
    public MoveLimits ForHybrid() => this with { MayLazy = true, MayQuick = false, PassesMax = 1 };

    /// <summary>In the words they are asked for by, those that are not as usual; empty where all are.</summary>
    public string InWords()
    {
        var usual = new MoveLimits();
        List<string> words = [];
        if (MaxPauseMs != usual.MaxPauseMs) words.Add($"max-pause {MaxPauseMs} ms");
        if (DeadlineSeconds is { } deadline) words.Add($"deadline {deadline} s");
        if (MayQuick) words.Add("may-quick");
        if (MayLazy && PassesMax is null) words.Add("may-lazy"); // A hybrid move is that by its name.
        if (MaxSlowdownPercent > 0) words.Add($"max-slowdown {MaxSlowdownPercent} %");
        if (BandwidthBytesPerSecond > 0)
            words.Add(string.Create(CultureInfo.InvariantCulture, $"bwlimit {BandwidthBytesPerSecond / 1048576.0:0.##} MiB/s"));
        return string.Join(", ", words);
    }
}

/// <summary>One decision on the way, with what it was made of.</summary>
/// <param name="AtMs">Since the first byte.</param>
/// <param name="What">For people: "aim 64 ms", "guest slowed by 30 %", "stopped for the rest".</param>
public sealed record SteeringStep(double AtMs, int Pass, long RemainingBytes, long BytesPerSecond, string What);

/// <summary>What is known while memory crosses, as of the last report. Never a percentage: passes re-send.</summary>
public sealed record MoveProgress
{
    public int Pass { get; init; }
    public long RemainingBytes { get; init; }
    public long TotalBytes { get; init; }
    public long SentBytes { get; init; }
    public long BytesPerSecond { get; init; }
    public long DirtyBytesPerSecond { get; init; }
    public double ExpectedPauseMs { get; init; }
    /// <summary>Null where the move is not converging: then the words "not converging" are shown.</summary>
    public double? EtaSeconds { get; init; }
    /// <summary>How much of its time the guest is kept from running, by consent, in percent.</summary>
    public int SlowdownPercent { get; init; }
    /// <summary>What was decided so far, oldest first; the newest are kept.</summary>
    public IReadOnlyList<SteeringStep> Steps { get; init; } = [];
}

/// <summary>What a finished move cost, measured, not planned.</summary>
public sealed record Receipt
{
    public required double TotalMs { get; init; }
    /// <summary>STOP at the source to RESUME at the target by QEMU's own event times; null where the guest was not running.</summary>
    public double? PauseMs { get; init; }
    /// <summary>
    /// Rehearsals only: STOP to RESUME at the source, where the guest went on. <see cref="PauseMs"/> is then STOP to the moment the
    /// target had it loaded and would have let it run. Null where it was not running.
    /// </summary>
    public double? OwnPauseMs { get; init; }
    /// <summary>What the pause went into; null where the guest was not running, or an agent of before did not tell.</summary>
    public PauseParts? PauseParts { get; init; }
    /// <summary>Agent to agent, packed.</summary>
    public required long WireBytes { get; init; }
    /// <summary>As QEMU wrote it.</summary>
    public long StreamBytes { get; init; }
    /// <summary>From the order to send to the last byte, the guest's stop included. 0: not told.</summary>
    public double MemoryMs { get; init; }
    public required int Passes { get; init; }
    public required long NormalPages { get; init; }
    public required long ZeroPages { get; init; }
    public required Accelerator Accelerator { get; init; }
    /// <summary>As read from the connection: "TLS 1.3, TLS_AES_128_GCM_SHA256, peer host2"; "same host" for a refresh.</summary>
    public required string Transport { get; init; }
    /// <summary>What was decided on the way, oldest first.</summary>
    public IReadOnlyList<SteeringStep> Steps { get; init; } = [];
    /// <summary>Milliseconds spent in each phase, in order.</summary>
    public IReadOnlyDictionary<Phase, double> PhaseMs { get; init; } = new Dictionary<Phase, double>();
}

/// <summary>
/// STOP to RESUME in its parts, in ms, from QEMU's events and the agents' own clocks, set right by the measured difference between
/// the hosts' clocks; they add up to the pause.
/// </summary>
/// <param name="LastPassMs">STOP to the source QEMU's "completed": the last pages and the devices leave.</param>
/// <param name="DrainMs">Until the token is at the target: what was still on the way.</param>
/// <param name="LoadMs">Until the target QEMU has loaded the devices.</param>
/// <param name="StartMs">Until the guest runs: the intent durable, <c>cont</c>, RESUME.</param>
public sealed record PauseParts(double LastPassMs, double DrainMs, double LoadMs, double StartMs);
