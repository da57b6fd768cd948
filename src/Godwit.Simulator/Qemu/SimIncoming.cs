using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;
using System.Text.Json.Nodes;
using Godwit.Simulator.Machines;
using Godwit.Wire;

namespace Godwit.Simulator.Qemu;

/// <summary>
/// The target's side: listens once, loads, and with -S stands paused with "completed". A stream that cannot be loaded
/// ends the process (7.2 has no exit-on-error=false). Of a stream with its devices first <see cref="SimPostcopy"/> tells the rest.
/// </summary>
internal sealed class SimIncoming(SimQemu qemu)
{
    private readonly Dictionary<int, (long First, long Second)> _pages = [];
    private bool _asked, _discarded;
    private ulong? _devices;
    private SimPostcopy? _postcopy;

    public string Status { get; private set; } = "none";

    /// <summary>The first two words of a page as it came, before all had; null of one that did not come.</summary>
    public (long First, long Second)? Arrived(int page) => _pages.TryGetValue(page, out var words) ? words : null;
    /// <summary>The next load fails at its end, as with a device the other side does not have.</summary>
    public bool RefusesToLoad { get; set; }

    public void Start(string uri)
    {
        if (!qemu.Options.Incoming) throw new QemuErrorException("'-incoming' was not specified on the command line");
        if (_asked) throw new QemuErrorException("The incoming migration has already been started");
        if (!uri.StartsWith("unix:", StringComparison.Ordinal)) throw new QemuErrorException($"unknown migration protocol: {uri}");
        _asked = true;
        Say("setup");
        _ = ServeAsync(uri["unix:".Length..]);
    }

    /// <summary>A source that comes back, to a target whose memory stopped arriving.</summary>
    public void Recover(string uri)
    {
        if (Status != "postcopy-paused") throw new QemuErrorException("Migrate recover can only be run when postcopy is paused.");
        Say("setup");
        _ = RecoverAsync(uri["unix:".Length..]);
    }

    public JsonObject Query() => Status is "none" or "setup" ? [] : new JsonObject { ["status"] = Status };

    private async Task ServeAsync(string path)
    {
        var listener = await qemu.Process.Network.ListenUnixAsync(path, 0, CancellationToken.None);
        await using var stream = await listener.AcceptAsync(CancellationToken.None);
        await listener.DisposeAsync();
        Say("active");
        try
        {
            var input = new Input(stream);
            var loaded = await LoadAsync(input, stream);
            if (_postcopy is not null)
            {
                await _postcopy.FinishAsync();
                return;
            }
            qemu.IsCorrupt = !qemu.Ledger.Streams.Contains((qemu.Options.Name, input.Hash)) && !IsAsSaved(loaded.State);
            var delay = qemu.Random.NextTime(TimeSpan.FromMilliseconds(2), TimeSpan.FromMilliseconds(20));
            qemu.BusyFor(delay); // Device state loads on the main loop: the monitor waits.
            await qemu.Host.Loop.SleepAsync(delay);
            if (RefusesToLoad) throw new InvalidDataException("Unknown savevm section or instance 'extra' 0");
            Loaded(loaded);
        }
        catch (IOException) when (_postcopy is not null)
        {
            _postcopy.LoseSource();
            Say("postcopy-paused");
        }
        catch (Exception broken) when (broken is IOException or InvalidDataException)
        {
            Say("failed");
            if (broken is InvalidDataException) qemu.Log(broken.Message);
            qemu.Die($"load of migration failed: {(broken is InvalidDataException ? "Invalid argument" : "Input/output error")}");
        }
    }

    private async Task RecoverAsync(string path)
    {
        var listener = await qemu.Process.Network.ListenUnixAsync(path, 0, CancellationToken.None);
        await using var stream = await listener.AcceptAsync(CancellationToken.None);
        await listener.DisposeAsync();
        Say("postcopy-recover");
        try
        {
            await LoadAsync(new Input(stream), stream);
            await _postcopy!.FinishAsync();
        }
        catch (IOException)
        {
            _postcopy!.LoseSource();
            Say("postcopy-paused");
        }
        catch (InvalidDataException broken) { qemu.Die($"load of migration failed: {broken.Message}"); }
    }

    /// <summary>Written anew from a saved state: the devices are some that a QEMU sent, every page is as it was then.</summary>
    private bool IsAsSaved(GuestState state) => _devices is { } devices && qemu.Ledger.Devices.Contains((qemu.Options.Name, devices))
        && Enumerable.Range(0, qemu.Load.UsedPages).All(p => _pages.GetValueOrDefault(p) == SimMemoryFile.Words(qemu.Load, state, p));

    internal void Loaded(Guest stream)
    {
        var runs = stream.GlobalState == "running";
        var sharesMemory = qemu.Capabilities.GetValueOrDefault("x-ignore-shared");
        if (!sharesMemory) qemu.Ram.State = stream.State;
        qemu.DeviceRuns = stream.DeviceRuns;
        qemu.Ledger.Record(qemu, GuestFactKind.Loaded, qemu.Ram.State);
        var late = qemu.Capabilities.GetValueOrDefault("late-block-activate");
        if ((!late || (qemu.AutoStart && runs)) && qemu.ActivateDisks() is { } refused)
        {
            qemu.Log(refused);
            qemu.AutoStart = false;
        }
        if (qemu.AutoStart && runs) qemu.StartVcpus();
        else qemu.SetRunState(runs ? "paused" : stream.GlobalState); // As it was at the source.
        if (_postcopy is null) Say("completed");
    }

    private async Task<Guest> LoadAsync(Input input, Stream stream)
    {
        if (_postcopy is null && (await input.U32() != StreamHeader.Magic || await input.U32() != StreamHeader.VersionKnown))
            throw new InvalidDataException("Not a migration stream");
        Guest? guest = _postcopy?.Guest;
        while (true)
        {
            var devices = input.Mark();
            var element = (StreamElement)await input.U8();
            if (element == StreamElement.SectionFull) input.BeginMark();
            else _devices ??= devices;
            switch (element)
            {
                case StreamElement.Command: await CommandAsync(input, stream, guest); break;
                case StreamElement.Configuration: await MachineAsync(input); break;
                case StreamElement.Subsection: await CapabilitiesAsync(input); break;
                case StreamElement.SectionStart or StreamElement.SectionPart or StreamElement.SectionEnd:
                    await RamAsync(input, element);
                    break;
                case StreamElement.SectionFull: guest = await DeviceAsync(input) ?? guest; break;
                case StreamElement.Eof: return guest ?? throw new InvalidDataException("no device state");
                default: throw new InvalidDataException($"Unknown savevm section type {(byte)element}");
            }
        }
    }

    private async Task CommandAsync(Input input, Stream stream, Guest? guest)
    {
        var (command, length) = ((StreamCommand)await input.U16(), await input.U16());
        switch (command)
        {
            case StreamCommand.OpenReturnPath: break;
            case StreamCommand.PostcopyAdvise when qemu.Capabilities.GetValueOrDefault("postcopy-ram"):
                await input.SkipAsync(length);
                break;
            case StreamCommand.PostcopyRamDiscard:
                await input.SkipAsync(length);
                _discarded = true;
                break;
            case StreamCommand.Packaged: await input.U32(); break; // What is in it is read as it comes.
            case StreamCommand.PostcopyListen when _discarded: Say("postcopy-active"); break;
            case StreamCommand.Ping:
                _postcopy = new SimPostcopy(qemu, this, guest ?? throw new InvalidDataException("no device state"), await input.U32());
                _postcopy.IsCorrupt = _devices is not { } devices || !qemu.Ledger.Devices.Contains((qemu.Options.Name, devices));
                _postcopy.Begin(stream);
                break;
            case StreamCommand.PostcopyRun: break; // Once its devices are loaded.
            case StreamCommand.PostcopyResume when _postcopy is not null:
                Say("postcopy-active");
                await _postcopy.ComeBackAsync(stream);
                break;
            default: throw new InvalidDataException($"CMD {command} is unexpected");
        }
    }

    private async Task MachineAsync(Input input)
    {
        var machine = await input.Text((int)await input.U32());
        if (machine != qemu.Options.MachineType)
            throw new InvalidDataException($"Machine type received is '{machine}' and local is '{qemu.Options.MachineType}'");
    }

    private static async Task CapabilitiesAsync(Input input)
    {
        await input.Name();
        await input.SkipAsync(4);
        for (var left = await input.U32(); left > 0; left--) await input.Name();
    }

    private async Task RamAsync(Input input, StreamElement element)
    {
        await SectionAsync(input, element == StreamElement.SectionStart, SimRamStream.RamSection);
        while (true)
        {
            var word = await input.U64();
            var flags = (RamFlags)(word & 0xFFF);
            if (flags.HasFlag(RamFlags.Eos)) break;
            if (flags.HasFlag(RamFlags.MemSize)) await BlocksAsync(input);
            else await PageAsync(input, word);
        }
        await FooterAsync(input, SimRamStream.RamSection);
    }

    private async Task BlocksAsync(Input input)
    {
        var block = await input.Name();
        if (block != SimRamStream.Block || await input.U64() != qemu.Options.MemoryBytes)
            throw new InvalidDataException($"Unknown ramblock \"{block}\" or other length");
        if (qemu.Capabilities.GetValueOrDefault("x-ignore-shared")) await input.U64();
    }

    private async Task PageAsync(Input input, long word)
    {
        var (flags, page) = ((RamFlags)(word & 0xFFF), (int)(word / GuestLoad.PageBytes));
        if (!flags.HasFlag(RamFlags.Continue)) await input.Name();
        (long First, long Second) words = (0, 0);
        if (flags.HasFlag(RamFlags.Zero)) await input.U8();
        else if (flags.HasFlag(RamFlags.Page))
        {
            words = (BinaryPrimitives.ReverseEndianness(await input.U64()), BinaryPrimitives.ReverseEndianness(await input.U64()));
            await input.SkipAsync(GuestLoad.PageBytes - 16);
        }
        else throw new InvalidDataException($"Unknown combination of migration flags: {flags}");
        if (_postcopy is null) _pages[page] = words;
        else if (!_postcopy.Place(page, words)) throw new InvalidDataException("qemu_ufd_copy_ioctl: File exists");
    }

    /// <summary>The guest's own section, or null for another device's: this machine must have that one, too.</summary>
    private async Task<Guest?> DeviceAsync(Input input)
    {
        var section = await input.U32();
        var name = await input.Name();
        await input.SkipAsync(8);
        Guest? guest = null;
        if (section == SimRamStream.GuestSection)
        {
            var state = new GuestState((int)await input.U64(), await input.U64(), await input.U64());
            guest = new Guest(state, await input.U64(), (await input.Text(SimRamStream.GlobalStateBytes)).TrimEnd('\0'));
            await input.SkipAsync(SimRamStream.DeviceBytes - 32 - SimRamStream.GlobalStateBytes);
        }
        else if (!qemu.Options.DeviceIds.Contains(name))
            throw new InvalidDataException($"Unknown savevm section or instance '{name}' 0");
        else await input.SkipAsync(SimRamStream.SmallDeviceBytes);
        await FooterAsync(input, section);
        return guest;
    }

    private static async Task SectionAsync(Input input, bool named, uint section)
    {
        if (await input.U32() != section) throw new InvalidDataException("Unknown savevm section id");
        if (!named) return;
        await input.Name();
        await input.SkipAsync(8);
    }

    private static async Task FooterAsync(Input input, uint section)
    {
        if (await input.U8() != (byte)StreamElement.Footer || await input.U32() != section)
            throw new InvalidDataException("Missing section footer");
    }

    internal sealed record Guest(GuestState State, long DeviceRuns, string GlobalState);

    internal void Say(string status)
    {
        Status = status;
        qemu.Host.Loop.Trace(qemu.Host.Name, $"{qemu.Options.Name} pid {qemu.Process.Pid}: incoming migration {status}");
        if (qemu.Capabilities.GetValueOrDefault("events"))
            qemu.SendEvent("MIGRATION", new JsonObject { ["status"] = status });
    }

    /// <summary>Buffered exact reads; the end of the stream in the middle of something is an I/O error, as in QEMU.</summary>
    private sealed class Input(Stream stream)
    {
        private readonly byte[] _buffer = new byte[64 << 10];
        private readonly XxHash64 _hash = new();
        private XxHash64? _marked;
        private int _from, _to, _hashed;

        /// <summary>From here on <see cref="Mark"/> tells the hash of what was taken; once.</summary>
        public void BeginMark()
        {
            if (_marked is not null) return;
            HashTaken();
            _marked = new XxHash64();
        }

        /// <summary>Of what was taken since <see cref="BeginMark"/>; null before it.</summary>
        public ulong? Mark()
        {
            HashTaken();
            return _marked?.GetCurrentHashAsUInt64();
        }

        /// <summary>Of all that was taken so far.</summary>
        public ulong Hash
        {
            get
            {
                HashTaken();
                return _hash.GetCurrentHashAsUInt64();
            }
        }

        public async ValueTask<byte> U8()
        {
            if (_from == _to) await FillAsync();
            return _buffer[_from++];
        }

        public async ValueTask<int> U16() => (await U8() << 8) | await U8();

        public async ValueTask<uint> U32()
        {
            uint value = 0;
            for (var i = 0; i < 4; i++) value = (value << 8) | await U8();
            return value;
        }

        public async ValueTask<long> U64() => ((long)await U32() << 32) | await U32();

        public async ValueTask<string> Name() => await Text(await U8());

        public async ValueTask<string> Text(int length)
        {
            if (length > 4096) throw new InvalidDataException("a name that long");
            var text = new byte[length];
            for (var i = 0; i < length; i++) text[i] = await U8();
            return Encoding.ASCII.GetString(text);
        }

        public async ValueTask SkipAsync(int bytes)
        {
            while (bytes > 0)
            {
                if (_from == _to) await FillAsync();
                var step = Math.Min(bytes, _to - _from);
                (_from, bytes) = (_from + step, bytes - step);
            }
        }

        private async ValueTask FillAsync()
        {
            HashTaken();
            (_from, _hashed) = (0, 0);
            _to = await stream.ReadAsync(_buffer);
            if (_to == 0) throw new IOException("Input/output error");
        }

        private void HashTaken()
        {
            _hash.Append(_buffer.AsSpan(_hashed, _from - _hashed));
            _marked?.Append(_buffer.AsSpan(_hashed, _from - _hashed));
            _hashed = _from;
        }
    }
}
