using Xunit;

namespace Godwit.LabTests.Machines;

/// <summary>Needs root and qemu-system-x86_64; skipped, with the reason, where one is missing.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class RealQemuFactAttribute : FactAttribute
{
    public const string Qemu = "/usr/bin/qemu-system-x86_64";

    public RealQemuFactAttribute()
    {
        if (!Environment.IsPrivilegedProcess) Skip = "needs root: it starts QEMU as another uid and makes taps";
        else if (!File.Exists(Qemu)) Skip = $"needs {Qemu}";
    }
}
