using System.Text.RegularExpressions;
using Godwit.Core;
using Godwit.Core.Vms;

namespace Godwit.Agent.Machines;

/// <summary>
/// What an agent accepts of a spec before any of it reaches a path, a command line or a process: it does not trust
/// the server to have looked. All reasons at once.
/// </summary>
public static partial class VmSpecRules
{
    public const int UidMin = 1000;
    private const int FileNameMax = 128;

    /// <summary>Throws <see cref="RefusedException"/> with every broken rule.</summary>
    public static void Check(VmSpec spec)
    {
        var reasons = Broken(spec).Select(b => new Refusal("vm-spec-invalid", $"VM '{spec.Name}': {b}",
            "correct the VM's description; 'godwit vm show' prints it")).ToList();
        if (reasons.Count > 0) throw new RefusedException(reasons);
    }

    public static bool IsQ35(VmSpec spec) => spec.MachineType.StartsWith("pc-q35-", StringComparison.Ordinal);

    /// <summary>Template files carry their format as extension: it was checked when they were imported.</summary>
    public static string FormatOf(string templateFile) =>
        templateFile.EndsWith(".raw", StringComparison.Ordinal) ? "raw" : "qcow2";

    /// <summary>A plain name that is a path component of its own, never hidden, never an option.</summary>
    public static bool IsFileName(string? name) =>
        name is { Length: > 0 and <= FileNameMax } && FileName().IsMatch(name);

    private static IEnumerable<string> Broken(VmSpec spec)
    {
        if (!Names.IsValid(spec.Name)) yield return $"its name must be {Names.Rule}";
        if (!Guid.TryParseExact(spec.Uuid, "D", out _)) yield return $"uuid '{spec.Uuid}' is not in RFC 4122 form";
        if (spec.Cpus is < 1 or > VmRules.CpusMax) yield return $"{spec.Cpus} vCPUs; 1 to {VmRules.CpusMax} are possible";
        if (!VmRules.IsMemory(spec.MemoryBytes))
            yield return $"{spec.MemoryBytes} bytes of memory; whole MiB from {VmRules.MemoryBytesMin >> 20} MiB to 16 TiB";
        if (!MachineType().IsMatch(spec.MachineType))
            yield return $"machine type '{spec.MachineType}' is not versioned (pc-q35-7.2, pc-i440fx-7.2)";
        if (!CpuModel().IsMatch(spec.CpuModel) || spec.CpuModel is "host" or "max")
            yield return $"CPU model '{spec.CpuModel}' is not a named model (Nehalem-v1)";
        if (spec.Uid < UidMin) yield return $"uid {spec.Uid}; QEMU runs as an unprivileged uid, {UidMin} or more";
        if (spec.Disks.Count > VmRules.DisksMax) yield return $"{spec.Disks.Count} disks; at most {VmRules.DisksMax}";
        if (spec.Nics.Count > VmRules.NicsMax) yield return $"{spec.Nics.Count} NICs; at most {VmRules.NicsMax}";
        if (spec.Template is not null
            && !Names.IsValid(spec.Template)) yield return $"template name '{spec.Template}' must be {Names.Rule}";
        if (!Enum.IsDefined(spec.Display)) yield return $"display {(int)spec.Display} is none that this agent knows";
        if (spec.TemplateVersion is < 1) yield return $"template version {spec.TemplateVersion} must be 1 or more";
        foreach (var broken in spec.Disks.Take(VmRules.DisksMax).SelectMany(BrokenIn)) yield return broken;
        foreach (var broken in spec.Nics.Take(VmRules.NicsMax).SelectMany(BrokenIn)) yield return broken;
        if (spec.Disks.Select(d => (d.Pool, d.File)).Distinct().Count() != spec.Disks.Count)
            yield return "two of its disks are the same file";
    }

    internal static IEnumerable<string> BrokenIn(DiskSpec disk)
    {
        if (!Names.IsValid(disk.Pool)) yield return $"pool name '{disk.Pool}' must be {Names.Rule}";
        if (!IsFileName(disk.File)) yield return $"disk file '{disk.File}' is not a plain file name";
        if (disk.Format is not ("qcow2" or "raw")) yield return $"disk format '{disk.Format}' is neither qcow2 nor raw";
        if (!VmRules.IsDisk(disk.SizeBytes))
            yield return $"disk {disk.File} has {disk.SizeBytes} bytes; multiples of 512 up to 64 TiB";
        if (disk.BackingFile is null) yield break;
        if (disk.Format != "qcow2") yield return $"disk {disk.File} is {disk.Format}; only qcow2 can be a linked clone";
        if (!IsFileName(disk.BackingFile) || !TemplateFile().IsMatch(disk.BackingFile))
            yield return $"backing file '{disk.BackingFile}' is not a template of the pool";
    }

    private static IEnumerable<string> BrokenIn(NicSpec nic)
    {
        if (!VmRules.IsBridge(nic.Bridge)) yield return $"bridge '{nic.Bridge}' is not an interface name";
        if (!VmRules.IsMac(nic.Mac)) yield return $"MAC '{nic.Mac}' is not lower-case, locally administered, unicast";
    }

    [GeneratedRegex("^[A-Za-z0-9][A-Za-z0-9._-]*\\z", RegexOptions.CultureInvariant)]
    private static partial Regex FileName();
    [GeneratedRegex("^template-[0-9a-f]{64}\\.(qcow2|raw)\\z", RegexOptions.CultureInvariant)]
    private static partial Regex TemplateFile();
    [GeneratedRegex("^pc-(q35|i440fx)-[0-9]{1,3}\\.[0-9]{1,3}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex MachineType();
    [GeneratedRegex("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\\z", RegexOptions.CultureInvariant)]
    private static partial Regex CpuModel();
}
