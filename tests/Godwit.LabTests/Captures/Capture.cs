using System.Net.Sockets;
using Godwit.Qmp;

namespace Godwit.LabTests.Captures;

/// <summary>The bytes of one migration, and what QEMU said about it at its end.</summary>
internal sealed record Capture(byte[] Main, IReadOnlyList<byte[]> Channels, QmpMigration Ended)
{
    /// <summary>Accepts the main channel and then the others, in the order QEMU opens them, and keeps what comes.</summary>
    public static async Task<Capture> TakeAsync(CapturedQemu source, int channels = 0, Func<Task>? meanwhile = null)
    {
        var path = Path.Combine(source.Directory, "migration.sock");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();

        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var subscription = source.Qmp.Subscribe(e =>
        {
            if (e.MigrationStatus() is { } status && QmpMigrationStatus.IsEnded(status)) ended.TrySetResult();
        });
        var receiving = ReceiveAllAsync(listener, 1 + channels);
        await source.Qmp.MigrateAsync($"unix:{path}", CapturedQemu.Deadline, default);
        if (meanwhile is not null) await meanwhile();
        await ended.Task.WaitAsync(CapturedQemu.Deadline);
        var streams = await receiving.WaitAsync(CapturedQemu.Deadline);
        File.Delete(path);

        var main = streams.Single(s => s.AsSpan().StartsWith("QEVM"u8));
        return new Capture(
            main, [.. streams.Where(s => s != main)], await source.Qmp.QueryMigrateAsync(CapturedQemu.Deadline, default));
    }

    private static async Task<IReadOnlyList<byte[]>> ReceiveAllAsync(Socket listener, int count)
    {
        var receiving = new List<Task<byte[]>>();
        for (var i = 0; i < count; i++) receiving.Add(ReceiveAsync(await listener.AcceptAsync()));
        return await Task.WhenAll(receiving);
    }

    private static async Task<byte[]> ReceiveAsync(Socket connection)
    {
        await using var stream = new NetworkStream(connection, ownsSocket: true);
        using var kept = new MemoryStream();
        await stream.CopyToAsync(kept);
        return kept.ToArray();
    }
}
