using Godwit.Core.Ports;
using Godwit.Simulator.Loop;

namespace Godwit.Simulator.Machines;

/// <summary>
/// One host's watchdog: once armed it counts on whatever its opener does, and resets the host when it is not petted in time:
/// every process ends as in a power cut, and the host boots again after a while.
/// </summary>
public sealed class SimWatchdog(SimHost host) : IWatchdog
{
    private static readonly TimeSpan BootMin = TimeSpan.FromSeconds(15), BootMax = TimeSpan.FromSeconds(150);
    /// <summary>How much later than its timeout it strikes, at most: what the drift of clocks and a device's rounding come to.</summary>
    private const double LateMax = 0.03;
    private readonly SimRandom _random = SimRandom.Fork(host.Loop.Seed, $"watchdog {host.Name}");
    private TimeSpan _timeout;
    private long _pets;

    public string Device => "/dev/watchdog";
    public string Identity => "Simulated Watchdog";
    /// <summary>As the kernel's module option of that name.</summary>
    public bool NoWayOut { get; set; }
    public bool Runs { get; private set; }
    public int Resets { get; private set; }
    /// <summary>What the firmware does once the host is up again.</summary>
    public Action? Booted { get; set; }

    public TimeSpan Arm(TimeSpan timeout)
    {
        (Runs, _timeout) = (true, timeout);
        Pet();
        return timeout;
    }

    public void Pet()
    {
        if (!Runs || !host.IsUp) throw new IOException("the device is not open");
        var mine = ++_pets;
        host.Loop.After(_timeout * (1 + LateMax * _random.Next(1000) / 1000), () =>
        {
            if (mine == _pets && Runs) Reset();
        });
    }

    public bool TryStop()
    {
        if (NoWayOut) return false;
        Runs = false;
        return true;
    }

    internal void LosePower() => Runs = false;

    private void Reset()
    {
        host.Loop.Trace(host.Name, "the watchdog resets the host");
        Resets++;
        host.PowerOff();
        var booted = host.Boots;
        host.Loop.After(_random.NextTime(BootMin, BootMax), () =>
        {
            if (host.IsUp || host.Boots != booted) return;
            host.PowerOn();
            Booted?.Invoke();
        });
    }
}
