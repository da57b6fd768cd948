namespace Godwit.Simulator.Machines;

/// <summary>A large file as it is read: each read takes the disk's time, however little it brings.</summary>
internal sealed class SimLargeFile(SimHost host, byte[] content) : MemoryStream(content, writable: false)
{
    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await host.Loop.SleepAsync(host.Disk.LargeReadTime);
        if (host.Disk.LargeReadsFail) throw new IOException("Input/output error");
        return await base.ReadAsync(buffer, cancellationToken);
    }
}
