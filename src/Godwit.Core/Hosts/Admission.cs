namespace Godwit.Core.Hosts;

/// <summary>Is there room for a guest's memory? Counted by what is promised, not by what happens to be free. Pure.</summary>
public static class Admission
{
    private const long HostReserveMaxBytes = 1L << 30;

    /// <summary>What may be promised to guests: the host's memory less a tenth, at most 1 GiB, for the host itself.</summary>
    public static long OfferedBytes(long hostMemoryBytes) =>
        hostMemoryBytes - Math.Min(HostReserveMaxBytes, hostMemoryBytes / 10);

    /// <param name="promisedBytes">Guests that run there and reservations, each with its overhead.</param>
    /// <param name="wantedBytes">The guest's memory with overhead.</param>
    /// <param name="overcommit">Bytes that may be promised for each byte that is offered: the placement policy's.</param>
    public static Refusal? Check(HostId host, long hostMemoryBytes, long promisedBytes, long wantedBytes, double overcommit = 1)
    {
        var offered = (long)(OfferedBytes(hostMemoryBytes) * overcommit);
        if (wantedBytes >= 0 && promisedBytes <= offered - wantedBytes) return null;
        return new Refusal("memory-short",
            $"{host} has no room: {wantedBytes >> 20} MiB are needed (with overhead), {promisedBytes >> 20} of "
            + $"{offered >> 20} MiB are promised to other VMs and moves",
            $"move something away from {host} first, or choose another host: 'godwit host list'");
    }
}
