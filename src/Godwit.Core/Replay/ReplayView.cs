namespace Godwit.Core.Replay;

/// <summary>What a policy is shown at a tick. Valid until it has decided.</summary>
public sealed class ReplayView
{
    private readonly ReplayWorld world;

    internal ReplayView(ReplayWorld world) => this.world = world;

    public double NowSeconds => world.Now;
    public int Hosts => world.Cluster.Hosts.Count;
    public int Vms => world.Cluster.Vms.Count;
    public bool MemoryIsHard => world.Rules.MemoryIsHard;

    public ReplayHost Host(int host) => world.Cluster.Hosts[host];

    /// <summary>
    /// The VM's sizes. Its recorded load holds the future too: only <see cref="History"/> and <see cref="Request"/> tell it
    /// here.
    /// </summary>
    public (double Cpu, double MemoryBytes) Size(int vm) => (world.Cluster.Vms[vm].Cpu, world.Cluster.Vms[vm].MemoryBytes);

    /// <summary>−1 for one that is gone.</summary>
    public int HostOf(int vm) => world.HostOf[vm];

    public bool IsMoving(int vm) => world.IsMoving[vm];

    /// <summary>In the order they came: VMs that run there, and those on their way to it.</summary>
    public IReadOnlyList<int> On(int host) => world.On[host];

    /// <summary>What the VM asks for now.</summary>
    public double Request(int vm) => world.Request[vm];

    /// <summary>Loads at the ticks up to this one, newest first, as shares of the VM's processors.</summary>
    public ReadOnlySpan<double> History(int vm) => world.History(vm);

    /// <summary>What the host's processors do, in its unit: what guests are given, not what they ask for.</summary>
    public double Used(int host) => world.Used[host];

    /// <summary>What is not spoken for: 0 on an overfull host.</summary>
    public double Free(int host) => world.Free[host];
}
