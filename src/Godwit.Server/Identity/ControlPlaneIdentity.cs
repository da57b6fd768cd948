using Godwit.Core.Identity;

namespace Godwit.Server.Identity;

/// <summary>
/// What the server shows to its hosts, and which of them it trusts no longer. Its own certificate needs no file: it is
/// made at start and made anew when two thirds of its life are over, for the connections that come after.
/// </summary>
public sealed class ControlPlaneIdentity(ClusterCa ca, TimeProvider time)
{
    private readonly Lock _one = new();
    private IdentityBundle _own = ca.IssueControlPlane();
    private DenyList _denied = DenyList.Empty;

    public ClusterCa Ca => ca;
    public DenyList Denied { get { lock (_one) return _denied; } }

    /// <summary>To be asked at every connection.</summary>
    public IdentityBundle Current()
    {
        lock (_one)
        {
            if (time.GetUtcNow() >= _own.Life.RenewAt) _own = ca.IssueControlPlane().Denying(_denied);
            return _own;
        }
    }

    /// <summary>From the next connection on.</summary>
    public void Deny(DenyList denied)
    {
        lock (_one) (_denied, _own) = (denied, _own.Denying(denied));
    }
}
