namespace Godwit.Simulator.Stories;

/// <summary>What bad luck can do. How often each is drawn is in <see cref="Nemesis"/>.</summary>
public enum Fault
{
    /// <summary>kill -9; the service manager starts it again.</summary>
    AgentCrash,
    /// <summary>SIGSTOP, a long page-in, a paused virtual host: it stands still and goes on later as if nothing were.</summary>
    AgentHang,
    ServerCrash,
    ServerHang,
    /// <summary>kill -9 of the server in the middle of a commit, or between a commit and what it would do because of it.</summary>
    ServerCrashAtCommit,
    /// <summary>The server's machine loses power: of its store only what was synced comes back for certain.</summary>
    ServerPowerCut,
    /// <summary>Writes or syncs of the store fail with EIO: the server ends itself and is started again.</summary>
    StoreErrors,
    /// <summary>No room for the store: the same.</summary>
    StoreFull,
    QemuDeath,
    QemuHang,
    /// <summary>The next incoming stream does not load: a device only the source has.</summary>
    QemuWillNotLoad,
    /// <summary>Its kill has no proof for a while: an uninterruptible wait in the kernel.</summary>
    QemuWillNotDie,
    /// <summary>All processes end at once; only what was synced comes back.</summary>
    PowerCut,
    Cut,
    OneWayCut,
    Reset,
    SlowLink,
    /// <summary>Lost packets: TCP sends them again, late.</summary>
    LossyLink,
    DiskErrors,
    DiskFull,
    DiskReadOnly,
    /// <summary>A sync takes seconds.</summary>
    SlowDisk,
    /// <summary>Writes do not come back for a while, and then they do: a path of a storage network that fails over.</summary>
    DiskHang,
    /// <summary>A byte of a stream between two agents is not what it was: memory, or a bug of ours; TLS sees nothing.</summary>
    BitFlip,
    /// <summary>The host's wall clock jumps by up to a year; monotonic time does not.</summary>
    ClockJump,
    GuestPowersOff,
    /// <summary>Off for long; nobody outside can see it.</summary>
    HostDark,
    /// <summary>Everything runs there, and the server does not reach it.</summary>
    HostCutOff,
    /// <summary>Nobody reaches it, and it reaches nobody.</summary>
    HostAlone,
    /// <summary>Its agent is gone for long; its QEMUs run.</summary>
    AgentGone,
    /// <summary>What the server sends arrives, what the host answers does not.</summary>
    HostUnheard,
    /// <summary>What the host sends would arrive, but no question reaches it.</summary>
    HostDeaf,
    /// <summary>Its agent stands still for long, and goes on as if nothing were.</summary>
    AgentFrozen,
}
