using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Godwit.Core;

namespace Godwit.Agent.Machines;

/// <summary>
/// The paths of one VM on this host. Two of its QEMUs may be here at once (a refresh), so every path of a process
/// carries its incarnation: a number that only grows. The run directory belongs to the VM's uid, so nothing the
/// agent writes as root lies in it: QEMU could have put a symbolic link there.
/// </summary>
public sealed partial record VmHome
{
    /// <summary>sockaddr_un.sun_path on Linux, without its closing NUL.</summary>
    public const int SocketPathBytesMax = 107;
    public const int IncarnationMax = 999_999;

    private VmHome(VmId vm, string run, string state) => (Vm, Run, State) = (vm, run, state);

    public VmId Vm { get; }
    /// <summary>0700, owned by the VM's uid, on tmpfs.</summary>
    public string Run { get; }
    /// <summary>Root's own, durable.</summary>
    public string State { get; }

    /// <summary>Throws <see cref="RefusedException"/> for an id that is not one, or a run directory too long for sockets.</summary>
    public static VmHome On(HostLayout layout, VmId vm)
    {
        if (vm.Value is null || !VmIdForm().IsMatch(vm.Value))
            throw new RefusedException("vm-id-invalid", $"'{vm}' is not a VM id",
                "VM ids are vm- and 12 lower-case hex digits; take it from 'godwit vm list --json'");
        var home = new VmHome(vm, Path.Combine(VmsIn(layout.RunDirectory), vm.Value),
            Path.Combine(VmsIn(layout.StateDirectory), vm.Value));
        var longest = Encoding.UTF8.GetByteCount(home.SpareQmpSocket(IncarnationMax));
        if (longest > SocketPathBytesMax)
            throw new RefusedException("run-directory-too-long",
                $"socket paths below {layout.RunDirectory} would take {longest} bytes, Linux allows {SocketPathBytesMax}",
                "start the agent with a shorter --run-dir, for instance /run/godwit");
        return home;
    }

    /// <summary>The directory that holds all VMs' directories.</summary>
    public static string VmsIn(string directory) => Path.Combine(directory, "vms");

    /// <summary>Guest memory. Shared by incarnations that took it over from each other on this host.</summary>
    /// <param name="ramOf">The incarnation that created it.</param>
    public string Ram(int ramOf) => InRun("ram", ramOf, "");
    public string QmpSocket(int incarnation) => InRun("qmp", incarnation, ".sock");
    /// <summary>A second monitor, for a person with socat or for out-of-band commands.</summary>
    public string SpareQmpSocket(int incarnation) => InRun("qmp-spare", incarnation, ".sock");
    public string ConsoleSocket(int incarnation) => InRun("console", incarnation, ".sock");
    /// <summary>QEMU shows the guest's display here, where it has one.</summary>
    public string DisplaySocket(int incarnation) => InRun("display", incarnation, ".sock");
    /// <summary>What the guest wrote to its serial port; QEMU appends to it.</summary>
    public string ConsoleLog(int incarnation) => InRun("console", incarnation, ".log");
    /// <summary>QEMU listens here for the incoming stream (incarnation of the target).</summary>
    public string IncomingSocket(int incarnation) => InRun("in", incarnation, ".sock");
    /// <summary>The agent listens here for the outgoing stream (incarnation of the source).</summary>
    public string OutgoingSocket(int incarnation) => InRun("out", incarnation, ".sock");

    /// <summary>QEMU listens here for a source that comes back: of memory that stopped arriving.</summary>
    public string RecoverSocket(int incarnation) => InRun("re", incarnation, ".sock");

    public string OwnerRecordFile => Path.Combine(State, "owner.json");
    /// <summary>QEMU's own words (stdout and stderr), opened by the agent.</summary>
    public string QemuLog(int incarnation) => Path.Combine(State, "qemu-" + Number(incarnation) + ".log");

    /// <summary>All files QEMU leaves in the run directory for one incarnation, but its memory.</summary>
    public IReadOnlyList<string> FilesOf(int incarnation) =>
    [
        QmpSocket(incarnation), SpareQmpSocket(incarnation), ConsoleSocket(incarnation), ConsoleLog(incarnation),
        DisplaySocket(incarnation), IncomingSocket(incarnation), OutgoingSocket(incarnation), RecoverSocket(incarnation),
    ];

    private string InRun(string what, int incarnation, string extension)
    {
        Invariant.Holds(incarnation is >= 1 and <= IncarnationMax);
        return Path.Combine(Run, $"{what}-{Number(incarnation)}{extension}");
    }

    private static string Number(int incarnation) => incarnation.ToString(CultureInfo.InvariantCulture);

    [GeneratedRegex("^vm-[0-9a-f]{12}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex VmIdForm();
}
