using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Server.Identity;

namespace Godwit.Tests.Identity;

/// <summary>A host's identity as joining leaves it, without the way there.</summary>
internal static class Joined
{
    public static IdentityBundle Host(ClusterCa ca, string name) => IdentityBundle.Parse(File(ca, name), name);

    public static byte[] File(ClusterCa ca, string name)
    {
        using var key = new HostKey();
        return key.Complete(ca.SignHost(new HostId(name), key.Request), ca.CertificatePem);
    }
}
