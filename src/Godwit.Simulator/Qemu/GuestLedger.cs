using Godwit.Simulator.Loop;
using Godwit.Simulator.Machines;

namespace Godwit.Simulator.Qemu;

/// <summary>What truly happened to guests, seen from above: no part of the product can read or write it. Checkers do.</summary>
public sealed class GuestLedger(SimLoop loop)
{
    private readonly List<GuestFact> _facts = [];
    private readonly List<SimQemu> _copies = [];
    private readonly Dictionary<string, int> _lives = [];

    public IReadOnlyList<GuestFact> Facts => _facts;
    /// <summary>Every QEMU that lives, on whatever host.</summary>
    public IEnumerable<SimQemu> Alive => _copies.Where(c => !c.Process.HasExited);
    /// <summary>By VM name; others are as <see cref="GuestLoad"/> says by itself.</summary>
    public Dictionary<string, GuestLoad> Loads { get; } = [];

    public GuestLoad LoadOf(string vm) => Loads.GetValueOrDefault(vm) ?? new GuestLoad();

    internal void Add(SimQemu copy) => _copies.Add(copy);

    /// <summary>The life the VM lives, or lived last; 0 before the first.</summary>
    public int LifeOf(string vm) => _lives.GetValueOrDefault(vm);

    /// <summary>What a QEMU sent completely, by hash: what another loads must be one of these.</summary>
    internal HashSet<(string Vm, ulong Hash)> Streams { get; } = [];

    /// <summary>Device state that a QEMU sent, by hash: from its first section's number to its last footer.</summary>
    internal HashSet<(string Vm, ulong Hash)> Devices { get; } = [];

    internal int NextLife(string vm) => _lives[vm] = _lives.GetValueOrDefault(vm) + 1;

    internal void Record(SimQemu copy, GuestFactKind kind, GuestState state, ProcessEnd? end = null)
    {
        _facts.Add(new GuestFact(loop.Now, copy.Options.Name, copy, kind, state, end));
        loop.Trace(copy.Host.Name, $"{copy.Options.Name} pid {copy.Process.Pid}: {kind}{(end is null ? "" : $" ({end})")}, {state}");
    }
}

public enum GuestFactKind
{
    /// <summary>The vCPUs run from here on.</summary>
    Runs,
    /// <summary>They stand still; memory is kept.</summary>
    Stops,
    /// <summary>An incoming stream was loaded: a second copy of the same memory exists.</summary>
    Loaded,
    /// <summary>About to run with memory and devices of different times: shared memory, and another process ran it.</summary>
    Torn,
    /// <summary>About to run from a stream that no QEMU sent.</summary>
    Corrupt,
    /// <summary>About to boot from disks that became what they were, by a person's word: its counter is theirs.</summary>
    Reverted,
    /// <summary>The guest ended itself.</summary>
    PowersOff,
    /// <summary>The QEMU process is gone, and this copy with it.</summary>
    Gone,
}

public sealed record GuestFact(
    TimeSpan At, string Vm, SimQemu Copy, GuestFactKind Kind, GuestState State, ProcessEnd? End);
