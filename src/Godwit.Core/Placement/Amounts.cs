namespace Godwit.Core.Placement;

/// <summary>What a host has and a VM takes.</summary>
public enum Resource
{
    /// <summary>Promised to guests, with overhead: hard, it is never lent twice unless the policy says so.</summary>
    Memory,
    Vcpus,
    Cpu,
    MemoryActive,
    Network,
    Disk,
}

/// <summary>An amount of each resource; a demand is what is to be reckoned with, not the last sample.</summary>
/// <param name="MemoryBytes">Of a VM: its memory and what QEMU needs beside it.</param>
/// <param name="Vcpus">Of a host: its processors.</param>
/// <param name="CpuCores">Processors' worth of work.</param>
/// <param name="MemoryActiveBytes">Touched in the last minutes.</param>
/// <param name="NetworkBytesPerSecond">Both directions together.</param>
/// <param name="DiskBytesPerSecond">Read and written together.</param>
public readonly record struct Amounts(
    double MemoryBytes, double Vcpus, double CpuCores, double MemoryActiveBytes = 0, double NetworkBytesPerSecond = 0,
    double DiskBytesPerSecond = 0)
{
    public const int Count = 6;

    public double this[Resource resource] => resource switch
    {
        Resource.Memory => MemoryBytes,
        Resource.Vcpus => Vcpus,
        Resource.Cpu => CpuCores,
        Resource.MemoryActive => MemoryActiveBytes,
        Resource.Network => NetworkBytesPerSecond,
        _ => DiskBytesPerSecond,
    };

    public static Amounts operator +(Amounts left, Amounts right) => new(
        left.MemoryBytes + right.MemoryBytes, left.Vcpus + right.Vcpus, left.CpuCores + right.CpuCores,
        left.MemoryActiveBytes + right.MemoryActiveBytes, left.NetworkBytesPerSecond + right.NetworkBytesPerSecond,
        left.DiskBytesPerSecond + right.DiskBytesPerSecond);

    public static Amounts operator -(Amounts left, Amounts right) => new(
        left.MemoryBytes - right.MemoryBytes, left.Vcpus - right.Vcpus, left.CpuCores - right.CpuCores,
        left.MemoryActiveBytes - right.MemoryActiveBytes, left.NetworkBytesPerSecond - right.NetworkBytesPerSecond,
        left.DiskBytesPerSecond - right.DiskBytesPerSecond);
}
