using Godwit.Cli.Lab;
using Godwit.LabTests.Machines;
using Xunit;

namespace Godwit.LabTests.Cluster;

/// <summary>As <see cref="RealQemuFactAttribute"/>, and a QEMU 10 that can be had; skipped, with the reason, offline.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class NewerQemuFactAttribute : FactAttribute
{
    /// <summary>Null where it can be had (and then it is in lab/cache), else why not. Asked once a run.</summary>
    private static readonly Lazy<string?> whyNot = new(() =>
    {
        if (new RealQemuFactAttribute().Skip is { } reason) return reason;
        try
        {
            LabFolder.Find().FetchNewerQemuAsync(default).GetAwaiter().GetResult();
            return null;
        }
        catch (LabException absent) { return absent.Message; }
    });

    public NewerQemuFactAttribute() => Skip = whyNot.Value;

    public static bool CanBeHad => whyNot.Value is null;
}
