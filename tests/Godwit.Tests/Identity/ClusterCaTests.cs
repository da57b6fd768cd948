using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Godwit.Agent.Host;
using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Server.Identity;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Godwit.Tests.Identity;

public sealed class ClusterCaTests : IDisposable
{
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 10, 1, 12, 0, 0, TimeSpan.Zero));
    private readonly string _directory = Directory.CreateTempSubdirectory("godwit-ca-").FullName;

    private string CaFile => Path.Combine(_directory, "here", "cluster-ca.pem");

    [Fact]
    public async Task A_host_bundle_proves_the_host_to_the_control_plane_and_the_other_way_round()
    {
        var ca = await OpenAsync("here", seed: 1);
        var host = Joined.Host(ca, "h1");
        var plane = ca.IssueControlPlane();

        Assert.Equal(new PeerVerdict.Accepted(new CertificateRole.Host(ca.Cluster, new("h1"))), plane.Check(host.Own, Now));
        Assert.Equal(new PeerVerdict.Accepted(new CertificateRole.ControlPlane(ca.Cluster)), host.Check(plane.Own, Now));
        Assert.Matches("^cl-[0-9a-f]{12}$", ca.Cluster);
    }

    [Fact]
    public async Task The_CA_is_made_once_and_survives_a_restart()
    {
        var first = await OpenAsync("here", seed: 1);
        var second = await OpenAsync("here", seed: 2);

        Assert.Equal(first.Cluster, second.Cluster);
        var host = Joined.Host(first, "h1");
        Assert.IsType<PeerVerdict.Accepted>(second.IssueControlPlane().Check(host.Own, Now));
    }

    [Fact]
    public async Task Only_its_owner_may_read_the_CA()
    {
        await OpenAsync("here", seed: 1);

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(CaFile));
    }

    [Fact]
    public async Task A_broken_CA_file_is_refused_and_never_replaced()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(CaFile)!);
        await File.WriteAllTextAsync(CaFile, "not a key");

        var refused = await Assert.ThrowsAsync<RefusedException>(() => OpenAsync("here", seed: 1));

        Assert.Contains(CaFile, refused.Message);
        Assert.Equal("not a key", await File.ReadAllTextAsync(CaFile));
    }

    [Fact]
    public async Task A_certificate_of_another_cluster_is_refused()
    {
        var here = await OpenAsync("here", seed: 1);
        var elsewhere = await OpenAsync("elsewhere", seed: 2);
        var stranger = Joined.Host(elsewhere, "h1");

        var refused = Assert.IsType<PeerVerdict.Refused>(here.IssueControlPlane().Check(stranger.Own, Now));
        Assert.Contains("not valid in this cluster", refused.Reason);
    }

    [Fact]
    public async Task A_certificate_is_refused_after_thirty_days_and_before_it_began()
    {
        var ca = await OpenAsync("here", seed: 1);
        var host = Joined.Host(ca, "h1");
        var plane = ca.IssueControlPlane();

        Assert.IsType<PeerVerdict.Accepted>(plane.Check(host.Own, Now.AddDays(29)));
        Assert.IsType<PeerVerdict.Refused>(plane.Check(host.Own, Now.AddDays(31)));
        Assert.IsType<PeerVerdict.Refused>(plane.Check(host.Own, Now.AddDays(-1)));
        Assert.InRange(host.Life.RenewAt, Now.AddDays(19), Now.AddDays(21));
    }

    [Fact]
    public async Task No_certificate_and_the_CA_itself_are_nobody()
    {
        var plane = (await OpenAsync("here", seed: 1)).IssueControlPlane();

        Assert.IsType<PeerVerdict.Refused>(plane.Check(null, Now));
        Assert.IsType<PeerVerdict.Refused>(plane.Check(plane.Ca, Now));
    }

    [Fact]
    public async Task A_host_cannot_sign_a_certificate_for_the_control_plane()
    {
        var ca = await OpenAsync("here", seed: 1);
        var host = Joined.Host(ca, "h1");
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=control-plane", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(SubjectUri.ToExtension(new CertificateRole.ControlPlane(ca.Cluster).ToUri()));
        using var forged = request.Create(
            host.Own.SubjectName, X509SignatureGenerator.CreateForECDsa(host.Own.GetECDsaPrivateKey()!),
            Now.AddHours(-1), Now.AddDays(1), [1]);

        Assert.IsType<PeerVerdict.Refused>(host.Check(forged, Now));
    }

    [Fact]
    public async Task A_certificate_with_a_second_name_is_nobody()
    {
        var ca = await OpenAsync("here", seed: 1);
        var caPem = await File.ReadAllTextAsync(CaFile);
        using var signer = X509Certificate2.CreateFromPem(caPem, caPem);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=h1", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddUri(new("godwit://" + ca.Cluster + "/host/h1"));
        names.AddUri(new("godwit://" + ca.Cluster + "/control-plane"));
        request.CertificateExtensions.Add(names.Build());
        using var twoNames = request.Create(signer, Now.AddHours(-1), Now.AddDays(1), [1]);

        var refused = Assert.IsType<PeerVerdict.Refused>(ca.IssueControlPlane().Check(twoNames, Now));
        Assert.Contains("does not say which part", refused.Reason);
    }

    [Fact]
    public async Task A_bundle_is_one_file_of_certificate_key_and_CA()
    {
        var ca = await OpenAsync("here", seed: 1);
        byte[] pem = Joined.File(ca, "h1");
        var bundle = IdentityBundle.Parse(pem, "h1.pem");

        Assert.True(bundle.Own.HasPrivateKey);
        Assert.False(bundle.Ca.HasPrivateKey);
        Assert.Equal(ca.CertificatePem, bundle.Ca.ExportCertificatePem());
        Assert.Equal(3, Encoding.ASCII.GetString(pem).Split("-----BEGIN ").Length - 1);
    }

    [Theory]
    [InlineData("")]
    [InlineData("garbage")]
    [InlineData("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")]
    public void A_file_that_is_no_bundle_is_refused_by_its_name(string content)
    {
        var refused = Assert.Throws<RefusedException>(() => IdentityBundle.Parse(Encoding.ASCII.GetBytes(content), "/etc/h1.pem"));

        Assert.Contains("/etc/h1.pem", refused.Message);
    }

    [Fact]
    public async Task A_host_name_that_is_not_a_name_gets_no_certificate()
    {
        var ca = await OpenAsync("here", seed: 1);

        Assert.Throws<RefusedException>(() => Joined.Host(ca, "h1/../control-plane"));
    }

    private DateTimeOffset Now => _time.GetUtcNow();

    private Task<ClusterCa> OpenAsync(string place, int seed) => ClusterCa.OpenOrCreateAsync(
        Path.Combine(_directory, place), new RealDisk(), new SeededRandomness(seed), _time, CancellationToken.None);

    public void Dispose() => Directory.Delete(_directory, recursive: true);
}
