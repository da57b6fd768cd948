using Godwit.Agent.Link;
using Godwit.Agent.Machines;
using Godwit.Agent.Moves;
using Godwit.Core;
using Godwit.Core.Migration;
using Godwit.Core.Ports;
using Godwit.Wire;

namespace Godwit.Agent.Saved;

/// <summary>
/// What a lazy move's target does beside what every target does: the devices are kept until the token is there, and then given to QEMU
/// as those of a post-copy migration; the memory is asked of the source. Order of calls: as they stand here.
/// </summary>
internal sealed class LazyArriving(IncomingOrder order, MoveTools tools, ArrivingMemory arriving)
{
    private readonly MemoryStream devices = new();
    private RemoteMemory? memory;
    private LazyArrival? arrival;
    private readonly CancellationTokenSource unwanted = new();
    private bool follows;

    /// <summary>The number of the section that memory comes in; 0 before the devices are there.</summary>
    public uint RamSection { get; private set; }
    /// <summary>When QEMU had loaded the devices, microseconds since 1970; 0 before.</summary>
    public long LoadedMicros { get; private set; }

    /// <summary>Durable before the source hears of it: whoever comes after this agent knows what its QEMU may wait for.</summary>
    public async Task ExpectAsync(Machine vm, string ticket)
    {
        await tools.Machines.ChangeAsync(vm, r => r with { MemoryFrom = order.Move.Value });
        memory = tools.Remote.Expect(order.Move, order.Source, ticket, order.Spec.MemoryBytes);
        memory.IsPartlyIn(tools.Kept.Take(order.Spec.Id));
    }

    public Task<Stream> TakeDevicesAsync() => Task.FromResult<Stream>(new BoundedStream(devices, SavedGuest.StateBytesMax));

    /// <summary>All of the devices are there, and the token. Null, or why they are none.</summary>
    public async Task<string?> BeginAsync(QemuInstance qemu)
    {
        var stream = devices.GetBuffer().AsMemory(0, (int)devices.Length);
        if (DetachedState.TryRead(stream, out var fault) is not { } state) return $"the source's device state is none: {fault}";
        if (state.Blocks.All(b => b.Name != ArrivingMemory.Block)) return $"the source has no memory '{ArrivingMemory.Block}'";
        (memory!.State, RamSection) = (state, state.RamSection);
        var toQemu = await tools.Network.ConnectUnixAsync(qemu.IncomingSocket, CancellationToken.None);
        var giving = new LazyMemory(memory, toQemu, ArrivingMemory.Block, tools.Time);
        arrival = new LazyArrival(giving, toQemu, giving.ServeAsync(unwanted.Token));
        return null;
    }

    public async Task<bool> IsLoadedAsync(QemuInstance qemu, TimeSpan loadMax)
    {
        using var late = new CancellationTokenSource();
        var first = await Joining.AnyAsync(arrival!.Memory.DevicesLoaded, arrival.Serving, qemu.Qmp.Closed,
            Task.Delay(loadMax, tools.Time, late.Token));
        late.Cancel();
        LoadedMicros = WallClock.Micros(tools.Time);
        return first == arrival.Memory.DevicesLoaded;
    }

    /// <summary>From now on the rest is asked for, too. The guest runs, or nobody knows that it does not.</summary>
    public void Follow(Machine vm, QemuInstance qemu)
    {
        if (arrival is null || follows) return;
        follows = true;
        _ = FollowAsync(vm, qemu, arrival);
    }

    /// <summary>Its QEMU is gone, unrun.</summary>
    public async Task EndAsync()
    {
        unwanted.Cancel(); // The source may be out of reach, and nobody waits for it any more.
        if (arrival is not null && !follows) await arrival.EndAsync();
        await tools.Remote.ForgetAsync(order.Move);
    }

    private async Task FollowAsync(Machine vm, QemuInstance qemu, LazyArrival arrival)
    {
        await tools.FailPoints.HitAsync("incoming.before-push");
        arrival.Memory.Push();
        await arriving.FollowAsync(vm, qemu, arrival);
    }

    /// <summary>What a source may send is bounded. Writing only; the content outlives it.</summary>
    private sealed class BoundedStream(MemoryStream into, long bytesMax) : Stream
    {
        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (into.Length + buffer.Length > bytesMax) throw new IOException($"the source sends more than {bytesMax} bytes of devices");
            into.Write(buffer.Span);
            return ValueTask.CompletedTask;
        }

        public override bool CanRead => false;
        public override bool CanSeek => false;
        public override bool CanWrite => true;
        public override long Length => into.Length;
        public override long Position { get => into.Length; set => throw new NotSupportedException(); }
        public override void Flush() { }
        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
        public override void SetLength(long value) => throw new NotSupportedException();
        public override void Write(byte[] buffer, int offset, int count) =>
            throw new NotSupportedException("written in whole pieces only");
    }
}
