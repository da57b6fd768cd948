using Xunit;

namespace Godwit.LabTests.Machines;

/// <summary>Needs root and qemu-system-x86_64; skipped, with the reason, where one is missing.</summary>
[AttributeUsage(AttributeTargets.Method)]
public class RealQemuFactAttribute : FactAttribute
{
    public const string Qemu = "/usr/bin/qemu-system-x86_64";

    public RealQemuFactAttribute() => Skip = WhyNot;

    internal static string? WhyNot =>
        !Environment.IsPrivilegedProcess ? "needs root: it starts QEMU as another uid and makes taps"
        : File.Exists(Qemu) ? null : $"needs {Qemu}";
}

/// <summary>The same for theories.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class RealQemuTheoryAttribute : TheoryAttribute
{
    public RealQemuTheoryAttribute() => Skip = RealQemuFactAttribute.WhyNot;
}

/// <summary>Needs a second, newer QEMU too: lab/fetch-qemu10.sh makes one, or GODWIT_QEMU10 names one.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class TwoQemusFactAttribute : RealQemuFactAttribute
{
    public TwoQemusFactAttribute()
    {
        if (Skip is null && !File.Exists(Newer)) Skip = "needs a newer QEMU beside the machine's own: lab/fetch-qemu10.sh";
    }

    public static string Newer => Environment.GetEnvironmentVariable("GODWIT_QEMU10")
        ?? Path.Combine(Root(), "lab", "cache", "qemu10", "bin", "qemu-system-x86_64");

    private static string Root()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Godwit.slnx"))) directory = directory.Parent;
        return directory?.FullName ?? "/";
    }
}
