using System.Globalization;
using System.Text.Json.Nodes;
using Godwit.Agent.Machines;
using Godwit.Core;
using Godwit.Core.Vms;
using Godwit.Qmp;

namespace Godwit.Conformance;

/// <summary>
/// A scenario's doings and what the QEMUs said to them, line by line. The same lines from a real QEMU and from the
/// simulated one: that is the test. Between two QEMUs there is no order of events but that of the scenario's steps.
/// </summary>
internal sealed class QemuTalk(IQemuWorld world)
{
    public const string Disk = "vm-0123456789ab-0.raw";
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60), Tick = TimeSpan.FromMilliseconds(20);
    /// <summary>What comes unasked after a step has come by then; what a step is for is waited for by name.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(400);

    private readonly List<string> _lines = [];
    private readonly List<TalkingQemu> _qemus = [];
    private readonly List<Stream> _sockets = [];

    public static VmSpec Spec { get; } = new()
    {
        Id = new VmId("vm-0123456789ab"), Name = "one", Uuid = "6f1c0f5e-0000-4000-8000-000000000001", Cpus = 1,
        MemoryBytes = 32 << 20, MachineType = "pc-q35-7.2", CpuModel = "Nehalem-v1", Accelerator = Accelerator.Tcg, Uid = 20_011,
        Disks = [new DiskSpec("shared", Disk, "raw", TalkingGuest.Bytes)], Nics = [],
    };

    public string Text => string.Join('\n', _lines) + "\n";

    /// <summary>Starts one, by the shipped command line; it waits for <c>cont</c> or for a stream.</summary>
    public async Task<TalkingQemu> StartAsync(
        string name, string host, bool incoming = false, VmSpec? spec = null, int incarnation = 1, int ramOf = 1)
    {
        var place = world.Host(host);
        spec ??= Spec;
        foreach (var disk in spec.Disks) await world.MakeDiskAsync(disk.File, spec.Uid, TalkingGuest.BootSector());
        var home = VmHome.On(place.Layout, spec.Id);
        place.Disk.CreateOwnedDirectory(home.Run, spec.Uid);
        place.Disk.CreateDirectory(home.State);
        var launch = new QemuLaunch
        {
            Spec = spec, Home = home, Incarnation = incarnation, RamOf = ramOf, Incoming = incoming,
            QemuPath = place.Layout.QemuPaths[0], Taps = [],
        };
        var command = QemuCommandLine.Build(launch, place.Layout);
        var process = await place.Processes.StartDetachedAsync(command, home.QemuLog(incarnation), CancellationToken.None);
        var qemu = new TalkingQemu(name, host, place, launch, process);
        _qemus.Add(qemu);
        if (!await ConnectAsync(qemu))
        {
            Write($"{name} does not start");
            foreach (var words in await qemu.LastWordsAsync()) Write($"{name}: {words}");
            return qemu;
        }
        qemu.Qmp.Subscribe(qemu.Hear);
        await qemu.Qmp.MigrateSetCapabilitiesAsync(new Dictionary<string, bool> { ["events"] = true }, Deadline, CancellationToken.None);
        await qemu.WatchConsoleAsync();
        Write($"{name} starts: {await StateAsync(qemu)}");
        return qemu;
    }

    /// <summary>One command, its answer, and what it brought about by itself.</summary>
    /// <param name="rest">False where the next step waits for what this one begins.</param>
    public async Task SayAsync(
        TalkingQemu qemu, string command, JsonObject? arguments = null, string? until = null, bool rest = true)
    {
        var words = arguments is null ? command : $"{command} {Written(arguments)}";
        string answer;
        try
        {
            await qemu.Qmp.ExecuteAsync(command, arguments, Deadline, CancellationToken.None);
            answer = "done";
        }
        catch (QmpException refused) when (refused.QemuWords is not null)
        {
            answer = $"{refused.ErrorClass}: {TalkingQemu.Plain(refused.QemuWords)}";
        }
        Write($"{qemu.Name}> {words}: {answer}");
        if (until is not null) await UntilAsync(qemu, until);
        if (rest) await RestAsync();
    }

    private static string Written(JsonObject arguments) =>
        TalkingQemu.Plain(arguments.ToJsonString().Replace('"', '\'').Replace("unix:", "", StringComparison.Ordinal));

    /// <summary>Waits until each has said its words, and a little longer; then all that was said is written down.</summary>
    public async Task UntilAsync(params (TalkingQemu Qemu, string Words)[] signs)
    {
        foreach (var (qemu, words) in signs) await UntilAsync(qemu, words);
        await RestAsync();
    }

    public async Task TellAsync(params TalkingQemu[] qemus)
    {
        foreach (var qemu in qemus) Write($"{qemu.Name} is {await StateAsync(qemu)}");
    }

    public async Task GoneAsync(TalkingQemu qemu)
    {
        if (!await WaitAsync(() => !qemu.IsAlive)) Write($"{qemu.Name} does not end");
        await RestAsync();
        Write($"{qemu.Name} has ended");
        foreach (var words in await qemu.LastWordsAsync()) Write($"{qemu.Name}: {words}");
    }

    public async Task KillAsync(TalkingQemu qemu)
    {
        Write($"{qemu.Name} is killed");
        await qemu.Host.Processes.KillAsync(qemu.Process, Deadline);
    }

    public void Stall(TalkingQemu qemu)
    {
        Write($"{qemu.Name} is stopped by a signal");
        world.Stall(qemu.HostName, qemu.Process);
    }

    /// <summary>The guest itself does something, asked over its serial port: "p" powers off, "r" resets.</summary>
    public async Task GuestAsync(TalkingQemu qemu, string letter, string until)
    {
        Write($"{qemu.Name}'s guest hears '{letter}'");
        await qemu.Console.WriteAsync(System.Text.Encoding.ASCII.GetBytes(letter));
        await UntilAsync(qemu, until);
        await RestAsync();
    }

    public async Task GuestIsUpAsync(TalkingQemu qemu, int times = 1)
    {
        var up = await WaitAsync(() => qemu.GuestUps >= times);
        await RestAsync(); // What was said on the way up is written first: when in the boot it was said differs from run to run.
        Write(up ? string.Create(CultureInfo.InvariantCulture, $"{qemu.Name}'s guest is up, boot {times}")
            : $"{qemu.Name}'s guest does not come up");
    }

    /// <summary>Listens where the source connects; whatever comes goes to <paramref name="target"/>, or into the file.</summary>
    public async Task RelayAsync(TalkingQemu source, TalkingQemu? target, MemoryStream? file = null)
    {
        var listener = await source.Host.Network.ListenUnixAsync(source.OutgoingSocket, Spec.Uid, CancellationToken.None);
        _ = RelayOneAsync();

        async Task RelayOneAsync()
        {
            var from = Keep(await listener.AcceptAsync(CancellationToken.None));
            await listener.DisposeAsync();
            var to = file ?? Keep(await target!.Host.Network.ConnectUnixAsync(target.IncomingSocket, CancellationToken.None));
            await CopyAsync(from, to);
            await from.DisposeAsync();
            if (file is null) await to.DisposeAsync();
        }
    }

    /// <summary>Feeds a saved stream.</summary>
    public async Task FeedAsync(TalkingQemu target, byte[] file)
    {
        var to = Keep(await target.Host.Network.ConnectUnixAsync(target.IncomingSocket, CancellationToken.None));
        await CopyAsync(new MemoryStream(file), to);
        await to.DisposeAsync();
    }

    /// <summary>Everything of it ends here, however far the scenario came.</summary>
    public async Task EndAsync()
    {
        foreach (var socket in _sockets) await socket.DisposeAsync();
        foreach (var qemu in _qemus)
        {
            if (qemu.IsAlive) world.Continue(qemu.HostName, qemu.Process);
            await qemu.Host.Processes.KillAsync(qemu.Process, Deadline);
            if (qemu.Qmp is not null) await qemu.Qmp.DisposeAsync();
            if (qemu.Console is not null) await qemu.Console.DisposeAsync();
        }
    }

    private async Task<bool> ConnectAsync(TalkingQemu qemu)
    {
        for (var tries = 0; tries < 3000 && qemu.IsAlive; tries++)
        {
            try
            {
                var stream = await qemu.Host.Network.ConnectUnixAsync(
                    qemu.Launch.Home.QmpSocket(qemu.Launch.Incarnation), CancellationToken.None);
                qemu.Qmp = await QmpClient.ConnectAsync(stream, world.Clock, CancellationToken.None);
                return true;
            }
            catch (Exception e) when (e is IOException or QmpException) { } // Not yet; or it ends.
            await Task.Delay(Tick, world.Clock);
        }
        return false;
    }

    /// <summary>Run state and migration status, once QEMU is through with the tail of a migration.</summary>
    private static async Task<string> StateAsync(TalkingQemu qemu)
    {
        try
        {
            var state = await qemu.Qmp.QueryStatusAsync(Deadline, CancellationToken.None);
            var migration = await qemu.Qmp.QueryMigrateAsync(Deadline, CancellationToken.None);
            var error = migration.ErrorDescription is { } words ? $" ({TalkingQemu.Plain(words)})" : "";
            return $"{state.Status}, migration {migration.Status}{error}";
        }
        catch (QmpException) { return qemu.IsAlive ? "silent" : "gone"; }
    }

    private async Task UntilAsync(TalkingQemu qemu, string words)
    {
        if (!await WaitAsync(() => qemu.HasSaid(words))) Write($"{qemu.Name} does not say {words}");
    }

    private async Task RestAsync()
    {
        int Said() => _qemus.Sum(q => q.EventCount);
        for (var (before, rounds) = (-1, 0); before != Said() && rounds < 50; rounds++)
        {
            before = Said();
            await Task.Delay(Quiet, world.Clock);
        }
        foreach (var qemu in _qemus)
            foreach (var news in qemu.TakeNews()) Write($"  {qemu.Name} {news}");
    }

    private async Task<bool> WaitAsync(Func<bool> holds)
    {
        var began = world.Clock.GetTimestamp();
        while (!holds())
        {
            if (world.Clock.GetElapsedTime(began) > Deadline) return false;
            await Task.Delay(Tick, world.Clock);
        }
        return true;
    }

    private static async Task CopyAsync(Stream from, Stream to)
    {
        var buffer = new byte[16 << 10];
        try
        {
            for (int count; (count = await from.ReadAsync(buffer)) > 0;) await to.WriteAsync(buffer.AsMemory(0, count));
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException) { } // One end is gone: so is the other.
    }

    private Stream Keep(Stream socket)
    {
        _sockets.Add(socket);
        return socket;
    }

    private void Write(string line) => _lines.Add(line);
}
