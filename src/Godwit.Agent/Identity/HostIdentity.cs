using System.Text;
using Godwit.Core;
using Godwit.Core.Hosts;
using Godwit.Core.Identity;
using Godwit.Core.Ports;

namespace Godwit.Agent.Identity;

/// <summary>
/// Who this host is and whom it trusts, while it runs: certificate and key in one file (0600), the hosts denied by the
/// server in another. Both are replaced whole and durably before they count, and asked for at every connection: a
/// new certificate cuts nothing that is open.
/// </summary>
public sealed class HostIdentity
{
    public const string FileName = "identity.pem";
    private const string DeniedFileName = "denied-hosts";
    private const int DeniedBytesMax = DenyList.HostsMax * 100;

    private readonly string _file, _deniedFile;
    private readonly IDisk _disk;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _changing = new(1, 1);
    private readonly Lock _one = new();
    private IdentityBundle _bundle;
    private DenyList _denied;
    private HostKey? _next;

    private HostIdentity(string file, string deniedFile, IdentityBundle bundle, DenyList denied, IDisk disk, TimeProvider time) =>
        (_file, _deniedFile, _bundle, _denied, _disk, _time) = (file, deniedFile, bundle.Denying(denied), denied, disk, time);

    /// <exception cref="RefusedException">There is none, or it is no host's.</exception>
    public static async Task<HostIdentity> OpenAsync(
        string file, string stateDirectory, IDisk disk, TimeProvider time, CancellationToken cancel)
    {
        var pem = await disk.ReadAsync(file, IdentityBundle.FileBytesMax, cancel)
            ?? throw new RefusedException("identity-missing", $"there is no {file}: this machine has not joined a cluster",
                "on the server: godwit host token; then here: godwit agent join TOKEN --server https://SERVER");
        var bundle = IdentityBundle.Parse(pem, file);
        if (bundle.Role is not CertificateRole.Host)
            throw new RefusedException("identity-unusable", $"{file} is of {bundle.Role}, not of a host",
                "let this machine join as a host");
        var deniedFile = Path.Combine(stateDirectory, DeniedFileName);
        var denied = DenyList.Parse(await disk.ReadAsync(deniedFile, DeniedBytesMax, cancel) ?? [], deniedFile);
        return new HostIdentity(file, deniedFile, bundle, denied, disk, time);
    }

    /// <summary>To be asked at every connection.</summary>
    public IdentityBundle Current { get { lock (_one) return _bundle; } }

    public DenyList Denied { get { lock (_one) return _denied; } }

    public CertificateFacts Facts
    {
        get
        {
            lock (_one) return new(_bundle.Life.NotBefore, _bundle.Life.NotAfter, _denied.Digest);
        }
    }

    /// <summary>The same request until its certificate is here: the server may ask twice.</summary>
    public string NewKey()
    {
        lock (_one) return (_next ??= new HostKey()).Request;
    }

    public async Task InstallAsync(string certificatePem, DateTimeOffset serverClock, CancellationToken cancel)
    {
        await _changing.WaitAsync();
        try
        {
            var (now, bundle, key) = (_time.GetUtcNow(), Current, _next);
            if (key is null)
            {
                if (bundle.Own.ExportCertificatePem() == certificatePem) return; // Said twice.
                throw new RefusedException("no-key-waits", "this agent asked for no certificate since it was started",
                    "ask it for a request first");
            }
            var pem = key.Complete(certificatePem, bundle.Ca.ExportCertificatePem());
            var renewed = IdentityBundle.Parse(pem, "from the server");
            if (renewed.Role != bundle.Role)
                throw new RefusedException("certificate-for-other-host",
                    $"the certificate is {renewed.Role}'s, this is {bundle.Role}", "sign it for this host");
            if (renewed.Check(renewed.Own, now) is PeerVerdict.Refused refused)
                throw new RefusedException("certificate-refused",
                    $"{refused.Reason} (the server's clock says {CertificateLife.Text(serverClock)})",
                    "let both machines follow the same time server");
            await _disk.WriteDurablyAsync(_file, pem, cancel);
            lock (_one) (_bundle, _next) = (renewed.Denying(_denied), null);
            key.Dispose();
        }
        finally { _changing.Release(); }
    }

    public async Task DenyAsync(DenyList denied, CancellationToken cancel)
    {
        await _changing.WaitAsync();
        try
        {
            await _disk.WriteDurablyAsync(_deniedFile, Encoding.UTF8.GetBytes(denied.Text), cancel);
            lock (_one) (_denied, _bundle) = (denied, _bundle.Denying(denied));
        }
        finally { _changing.Release(); }
    }
}
