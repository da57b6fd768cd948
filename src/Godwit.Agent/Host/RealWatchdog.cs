using System.ComponentModel;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Godwit.Core.Ports;

namespace Godwit.Agent.Host;

/// <summary>
/// The kernel's watchdog device (Documentation/watchdog/watchdog-api.rst), or a named pipe to a program that does the same:
/// it is told <c>timeout SECONDS</c>, gets a line for each pet and <c>V</c> when it is let go, and must reset the host when no
/// line comes for that long. The descriptor is never given to a child, and closing it stops nothing.
/// </summary>
/// <param name="device">From the root on.</param>
public sealed class RealWatchdog(string device) : IWatchdog
{
    /// <summary>linux/watchdog.h: _IOR('W', 0, struct watchdog_info), _IOWR('W', 6, int), _IOR('W', 7, int).</summary>
    private const uint GetSupport = 0x80285700, SetTimeout = 0xC0045706, GetTimeout = 0x80045707;
    private const int OptionMagicClose = 0x0100, InfoBytes = 40, NameAt = 8;
    private static readonly byte[] pet = "1\n"u8.ToArray(), letGo = "V\n"u8.ToArray();
    private int descriptor = -1;
    private bool isPipe, hasMagicClose;

    public string Device => device;
    public string Identity { get; private set; } = "";
    public bool NoWayOut => Attribute("nowayout") == "1";
    /// <summary>Of a pipe nobody can tell.</summary>
    public bool Runs => descriptor >= 0 || Attribute("state") == "active";

    public TimeSpan Arm(TimeSpan timeout)
    {
        if (descriptor < 0) Open();
        var seconds = (int)timeout.TotalSeconds;
        if (isPipe)
        {
            Write(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"timeout {seconds}\n")));
            return timeout;
        }
        var wanted = BitConverter.GetBytes(seconds);
        if (Libc.IoControl(descriptor, SetTimeout, wanted) < 0) throw Failed("its timeout cannot be set");
        var real = new byte[sizeof(int)];
        if (Libc.IoControl(descriptor, GetTimeout, real) < 0) throw Failed("its timeout cannot be read");
        return TimeSpan.FromSeconds(BitConverter.ToInt32(real));
    }

    public void Pet() => Write(pet);

    public bool TryStop()
    {
        if (descriptor < 0) return true;
        if (!isPipe && (!hasMagicClose || NoWayOut)) return false;
        Write(letGo);
        _ = Libc.Close(descriptor);
        descriptor = -1;
        return true;
    }

    private void Open()
    {
        // A pipe without a reader is nobody who watches: it does not open like this, and that is the answer wanted.
        var opened = Libc.Open(device, Libc.OpenWriteOnly | Libc.OpenCloseOnExec | Libc.OpenNonBlock);
        if (opened < 0) throw Failed("it does not open");
        descriptor = opened;
        isPipe = IsPipe(opened);
        if (isPipe)
        {
            Identity = "named pipe";
            return;
        }
        var info = new byte[InfoBytes];
        if (Libc.IoControl(opened, GetSupport, info) < 0)
        {
            var failed = Failed("it is no watchdog");
            _ = Libc.Close(opened);
            descriptor = -1;
            throw failed;
        }
        hasMagicClose = (BitConverter.ToUInt32(info) & OptionMagicClose) != 0;
        Identity = Encoding.ASCII.GetString(info, NameAt, InfoBytes - NameAt).TrimEnd('\0');
    }

    private void Write(byte[] line)
    {
        if (descriptor < 0) throw new IOException("it is not open");
        if (Libc.Write(descriptor, line, (nuint)line.Length) != line.Length) throw Failed("it does not take a pet");
    }

    private static bool IsPipe(int descriptor)
    {
        const int fileTypeMask = 0xF000, pipe = 0x1000, emptyPath = 0x1000;
        var found = new byte[Libc.StatxBytes];
        return Libc.Statx(descriptor, "", emptyPath, Libc.StatxBasic, found) == 0
            && (BitConverter.ToUInt16(found, Libc.StatxModeAt) & fileTypeMask) == pipe;
    }

    /// <summary>What the kernel shows of it: <c>/dev/watchdog</c> is another name for the first.</summary>
    private string? Attribute(string name)
    {
        var file = Path.GetFileName(device) is "watchdog" ? "watchdog0" : Path.GetFileName(device);
        try { return File.ReadAllText($"/sys/class/watchdog/{file}/{name}").Trim(); }
        catch (Exception not) when (not is IOException or UnauthorizedAccessException) { return null; }
    }

    private static IOException Failed(string what)
    {
        var error = new Win32Exception(Marshal.GetLastPInvokeError());
        return new IOException($"{what}: {error.Message}", error);
    }
}
