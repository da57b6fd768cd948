using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Godwit.Agent.Machines;
using Godwit.Core.Ports;
using Godwit.Qmp;

namespace Godwit.Conformance;

/// <summary>One QEMU of a scenario: what it said since somebody last looked, and how to reach it.</summary>
internal sealed partial class TalkingQemu(string name, string hostName, HostPlace host, QemuLaunch launch, ProcessHandle process)
{
    private const int LogBytesMax = 1 << 20;
    /// <summary>Where in a torn stream the load ends, and so its errno, is chance.</summary>
    private static readonly string[] Reasons =
        ["load of migration failed", "Failed to get \"write\" lock", "Unknown savevm section or instance"];
    private readonly Lock _gate = new();
    private readonly List<string> _events = [];
    private int _told, _awaited, _guestUps;

    public string Name => name;
    public string HostName => hostName;
    public HostPlace Host => host;
    public QemuLaunch Launch => launch;
    public ProcessHandle Process => process;
    public QmpClient Qmp { get; set; } = null!;
    public Stream Console { get; private set; } = null!;
    public bool IsAlive => host.Processes.IsAlive(process);
    public string IncomingSocket => launch.Home.IncomingSocket(launch.Incarnation);
    public string OutgoingSocket => launch.Home.OutgoingSocket(launch.Incarnation);
    /// <summary>How often the guest said that it is up.</summary>
    public int GuestUps => Volatile.Read(ref _guestUps);

    public void Hear(QmpEvent said)
    {
        if (said.Name == "MIGRATION_PASS") return; // How many passes it takes is a matter of speed.
        lock (_gate) _events.Add(Words(said));
    }

    /// <summary>True where it said so after what was last waited for; each saying is waited for once.</summary>
    public bool HasSaid(string words)
    {
        lock (_gate)
        {
            var at = _events.IndexOf(words, _awaited);
            if (at >= 0) _awaited = at + 1;
            return at >= 0;
        }
    }

    public int EventCount
    {
        get { lock (_gate) return _events.Count; }
    }

    public IReadOnlyList<string> TakeNews()
    {
        lock (_gate)
        {
            var news = _events.Skip(_told).ToList();
            _told = _events.Count;
            return news;
        }
    }

    public async Task WatchConsoleAsync()
    {
        Console = await host.Network.ConnectUnixAsync(launch.Home.ConsoleSocket(launch.Incarnation), CancellationToken.None);
        _ = CountUpsAsync();
    }

    /// <summary>Why it ended, in its own words; what it writes about its own start is left out.</summary>
    public async Task<IReadOnlyList<string>> LastWordsAsync()
    {
        var log = await host.Disk.ReadAsync(launch.Home.QemuLog(launch.Incarnation), LogBytesMax, CancellationToken.None) ?? [];
        return [.. Encoding.UTF8.GetString(log).Split('\n').SelectMany(l => Reasons.Where(l.Contains)).Distinct()];
    }

    /// <summary>Without the paths, which differ from world to world.</summary>
    public static string Plain(string words) => SocketWords().Replace(Paths().Replace(words.Trim(), "FILE"), "$1");

    private async Task CountUpsAsync()
    {
        var buffer = new byte[64];
        try
        {
            for (int count; (count = await Console.ReadAsync(buffer)) > 0;)
                Interlocked.Add(ref _guestUps, buffer.AsSpan(0, count).Count(TalkingGuest.Up));
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException) { } // Its QEMU is gone.
    }

    private static string Words(QmpEvent said) => said.Name switch
    {
        "MIGRATION" => $"MIGRATION {said.Data.GetProperty("status").GetString()}",
        "SHUTDOWN" or "RESET" => $"{said.Name} {said.Data.GetProperty("reason").GetString()}"
            + (said.Data.GetProperty("guest").GetBoolean() ? " by the guest" : ""),
        _ => said.Data.ValueKind == JsonValueKind.Object && said.Data.EnumerateObject().Any() ? $"{said.Name} {said.Data}" : said.Name,
    };

    /// <summary>Whether the pipe was broken or reset is a matter of what was still in it.</summary>
    [GeneratedRegex("(Unable to (?:write to|read from) socket): .*")]
    private static partial Regex SocketWords();

    [GeneratedRegex("(?<=[\\s'\\[])/[^\\s'\\]]+|^/[^\\s'\\]]+")]
    private static partial Regex Paths();
}
