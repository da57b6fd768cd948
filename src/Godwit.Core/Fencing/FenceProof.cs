namespace Godwit.Core.Fencing;

/// <summary>
/// Why nothing that ran on a host runs there any more. Written down before the first VM is started elsewhere because of
/// it, and in force until the host is back and knows which VMs left it.
/// </summary>
public sealed record FenceProof
{
    /// <summary><c>fp-</c> and 12 hex digits.</summary>
    public required string Id { get; init; }
    public required HostId Host { get; init; }
    public required FenceKind Kind { get; init; }
    /// <summary>Whose word it is: a user's name, or <c>ha</c> for the server's own watch.</summary>
    public required string By { get; init; }
    public required DateTimeOffset At { get; init; }
    /// <summary>The hook that ran; null for a person's word.</summary>
    public string? Hook { get; init; }
    public int? ExitCode { get; init; }
    /// <summary>What the hook printed, cut to <see cref="FenceOutcome.OutputCharsMax"/>; of a watchdog, what was waited for.</summary>
    public string Output { get; init; } = "";

    /// <summary>For people: "by hook ipmi, which ended with 0", "by the word of anna", "by its own watchdog".</summary>
    public string Sentence => Kind switch
    {
        FenceKind.Command => $"by hook {Hook}, which ended with {ExitCode}, for {By}",
        FenceKind.Watchdog => $"by its own watchdog, for {By}: {Output}",
        _ => $"by the word of {By}",
    };
}

public enum FenceKind
{
    /// <summary>A program of this server's machine ended with 0: it says that it saw the host's power off.</summary>
    Command,
    /// <summary>A person said so, twice.</summary>
    Person,
    /// <summary>Its watchdog was armed, and nobody granted it a lease for longer than the watchdog waits.</summary>
    Watchdog,
}

/// <summary>How one run of a fence hook ended.</summary>
/// <param name="ExitCode">Null where it did not end in time, or could not be started: that proves nothing.</param>
/// <param name="Output">What it printed, cut.</param>
public sealed record FenceOutcome(int? ExitCode, string Output)
{
    public const int OutputCharsMax = 2_000;

    /// <summary>Nothing but a clean exit proves that the host is off.</summary>
    public bool IsProof => ExitCode == 0;
}
