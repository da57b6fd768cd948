using CsCheck;
using Godwit.Core;
using Godwit.Core.Identity;
using Xunit;

namespace Godwit.Tests.Identity;

public sealed class CertificateRoleTests
{
    [Fact]
    public void Roles_are_written_as_URIs_and_read_back()
    {
        CertificateRole host = new CertificateRole.Host("cl-0123456789ab", new("h1"));
        CertificateRole plane = new CertificateRole.ControlPlane("cl-0123456789ab");

        Assert.Equal("godwit://cl-0123456789ab/host/h1", host.ToUri());
        Assert.Equal("godwit://cl-0123456789ab/control-plane", plane.ToUri());
        Assert.True(CertificateRole.TryParse(host.ToUri(), out var first));
        Assert.True(CertificateRole.TryParse(plane.ToUri(), out var second));
        Assert.Equal(host, first);
        Assert.Equal(plane, second);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("godwit://")]
    [InlineData("godwit:///host/h1")]
    [InlineData("godwit://c1/host/")]
    [InlineData("godwit://c1/host/H1")]
    [InlineData("godwit://c1/host/h1/")]
    [InlineData("godwit://c1/host/h1/control-plane")]
    [InlineData("godwit://c1/host/h1%2fx")]
    [InlineData("godwit://c1/control-plane?x")]
    [InlineData("godwit://c1/Control-plane")]
    [InlineData("godwit://c1:80/control-plane")]
    [InlineData("GODWIT://c1/control-plane")]
    [InlineData("https://c1/control-plane")]
    public void Anything_but_the_exact_form_is_nobody(string? uri) => Assert.False(CertificateRole.TryParse(uri, out _));

    [Fact]
    public void No_text_breaks_the_parser() =>
        Gen.String.Sample(text => CertificateRole.TryParse("godwit://" + text, out var role) == (role?.ToUri() == "godwit://" + text));
}
