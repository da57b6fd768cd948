using System.Diagnostics;
using System.Net.Sockets;
using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Server.Identity;

namespace Godwit.Benchmarks;

/// <summary>A temporary cluster of two hosts: bundles on disk, sockets, child processes. Disposing leaves nothing.</summary>
internal sealed class Workplace : IAsyncDisposable
{
    private readonly List<Process> _children = [];

    public string Directory { get; } = System.IO.Directory.CreateTempSubdirectory("godwit-bench-").FullName;
    public string Path(string name) => System.IO.Path.Combine(Directory, name);

    public static async Task<Workplace> CreateAsync()
    {
        var place = new Workplace();
        var ca = await ClusterCa.OpenOrCreateAsync(
            place.Path("ca"), new RealDisk(), new RealRandomness(), TimeProvider.System, default);
        foreach (string host in new[] { "h1", "h2" })
        {
            using var key = new HostKey();
            var identity = key.Complete(ca.SignHost(new HostId(host), key.Request), ca.CertificatePem);
            await File.WriteAllBytesAsync(place.Path(host + ".pem"), identity);
        }
        return place;
    }

    /// <summary>This program again, in another process; inside a network namespace where one is named.</summary>
    public Process Start(string? networkNamespace, params string[] arguments)
    {
        string self = Environment.ProcessPath!;
        var start = new ProcessStartInfo { FileName = self, RedirectStandardOutput = true };
        if (networkNamespace is not null)
        {
            start.FileName = "ip";
            foreach (string word in new[] { "netns", "exec", networkNamespace, self }) start.ArgumentList.Add(word);
        }
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        var child = Process.Start(start) ?? throw new InvalidOperationException($"{start.FileName} does not start");
        _children.Add(child);
        return child;
    }

    public static async Task<string> LineAsync(Process child) =>
        await child.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("a child ended early");

    /// <summary>Writes this many bytes into a unix socket as QEMU does: 32 KiB at a time.</summary>
    public static void Feed(string path, long bytes, Action<int>? onFed = null)
    {
        var block = new byte[32 * 1024];
        Random.Shared.NextBytes(block);
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(path));
        for (long left = bytes; left > 0; left -= block.Length)
        {
            for (int sent = 0; sent < block.Length;) sent += socket.Send(block, sent, block.Length - sent, SocketFlags.None);
            onFed?.Invoke(block.Length);
        }
    }

    /// <summary>Accepts one connection and reads it to its end; the total.</summary>
    public static long Drain(Socket listener, Action<int>? onDrained = null)
    {
        var block = new byte[256 * 1024];
        using var socket = listener.Accept();
        long total = 0;
        for (int count; (count = socket.Receive(block)) > 0; total += count) onDrained?.Invoke(count);
        return total;
    }

    public Socket ListenUnix(string name)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(Path(name)));
        socket.Listen(1);
        return socket;
    }

    public ValueTask DisposeAsync()
    {
        foreach (var child in _children)
        {
            if (!child.HasExited) child.Kill(entireProcessTree: true);
            child.Dispose();
        }
        System.IO.Directory.Delete(Directory, recursive: true);
        return ValueTask.CompletedTask;
    }
}
