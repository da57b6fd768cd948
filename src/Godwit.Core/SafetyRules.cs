namespace Godwit.Core;

/// <summary>
/// The rules that keep a guest from being lost, doubled or run from an old state, each named where it is kept. A rule
/// whose absence no checker notices is not checked at all: so tests leave one out and demand that the simulator finds
/// what then goes wrong. Shipped agents and servers keep every one; no setting, file or environment changes that.
/// </summary>
internal sealed record SafetyRules
{
    public static readonly SafetyRules All = new();
    private SafetyRule? leftOut;

    private SafetyRules() { }

    /// <summary>For the simulator only.</summary>
    public static SafetyRules AllBut(SafetyRule rule) => new() { leftOut = rule };

    public bool Keeps(SafetyRule rule) => rule != leftOut;
}

internal enum SafetyRule
{
    /// <summary>A target's QEMU starts -S: loaded is not running.</summary>
    TargetStartsStopped,
    /// <summary>The source's "handing over" is durable before a byte of memory leaves.</summary>
    HandingOverBeforeMemory,
    /// <summary>A live guest that stands still for 2 s before the token is set going again.</summary>
    PauseGuarded,
    /// <summary>From the token's first byte on, neither a cancel nor a broken link lets the source go on.</summary>
    TokenIsFinal,
    /// <summary>After the token no time-out lets the source go on.</summary>
    SilenceIsNoProof,
    /// <summary>A source agent that starts again and finds QEMU in postmigrate does not let it go on.</summary>
    RestartIsNoProof,
    /// <summary>The source's QEMU is ended on proof that the target runs, not on the token.</summary>
    KillOnlyOnProof,
    /// <summary>The target believes a token only if length and digest are those of what QEMU was given.</summary>
    StreamChecked,
    /// <summary>The target's "intent to run" is durable before cont.</summary>
    IntentBeforeCont,
    /// <summary>ABORTED means that the candidate was ended and that this is durable.</summary>
    TombstoneBeforeAborted,
    /// <summary>A target whose QEMU is gone after the intent never says ABORTED: it may have run.</summary>
    MayHaveRunIsLost,
    /// <summary>Orders of an older epoch are refused.</summary>
    EpochChecked,
    /// <summary>An order to start is carried out once: arriving again after that guest has ended, it boots no other.</summary>
    BootedOnce,
    /// <summary>The server orders nothing for a VM of which a host knows a newer epoch than its store.</summary>
    FrozenWhenBehind,
    /// <summary>A silent host's VM is started elsewhere on proof that the host is off, not on its silence.</summary>
    StartedOnProof,
    /// <summary>An agent's lease counts from its own question, not from the arrival of the answer.</summary>
    LeaseFromAsking,
}
