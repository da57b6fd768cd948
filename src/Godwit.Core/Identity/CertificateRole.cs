using System.Diagnostics.CodeAnalysis;

namespace Godwit.Core.Identity;

/// <summary>
/// Who a certificate speaks for, written in its one URI name: <c>godwit://&lt;cluster&gt;/control-plane</c> or
/// <c>godwit://&lt;cluster&gt;/host/&lt;name&gt;</c>. Key usage alone is not enough: a host must never pass for the control plane.
/// </summary>
/// <param name="Cluster">The cluster's id; valid by <see cref="Names"/>.</param>
public abstract record CertificateRole(string Cluster)
{
    private const string Scheme = "godwit://", ControlPlanePath = "control-plane", HostPath = "host/";

    public sealed record ControlPlane(string Cluster) : CertificateRole(Cluster);
    public sealed record Host(string Cluster, HostId Name) : CertificateRole(Cluster);

    public string ToUri() => this switch
    {
        ControlPlane => $"{Scheme}{Cluster}/{ControlPlanePath}",
        Host host => $"{Scheme}{Cluster}/{HostPath}{host.Name}",
        _ => throw new InvariantBrokenException("a certificate role is one of two"),
    };

    /// <summary>Only the exact form that <see cref="ToUri"/> writes: no case folding, no escapes, no trailing slash.</summary>
    public static bool TryParse(string? uri, [NotNullWhen(true)] out CertificateRole? role)
    {
        role = null;
        if (uri is null || !uri.StartsWith(Scheme, StringComparison.Ordinal)) return false;
        string[] parts = uri[Scheme.Length..].Split('/', 2);
        if (parts.Length != 2 || !Names.IsValid(parts[0])) return false;

        var (cluster, path) = (parts[0], parts[1]);
        if (path == ControlPlanePath) role = new ControlPlane(cluster);
        else if (path.StartsWith(HostPath, StringComparison.Ordinal) && Names.IsValid(path[HostPath.Length..]))
            role = new Host(cluster, new(path[HostPath.Length..]));
        return role is not null;
    }

    /// <summary>For people: "host h1 of cluster cl-…".</summary>
    public sealed override string ToString() => this switch
    {
        ControlPlane => $"the control plane of cluster {Cluster}",
        Host host => $"host {host.Name} of cluster {Cluster}",
        _ => Cluster,
    };
}
