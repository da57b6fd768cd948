using Godwit.Core;
using Godwit.Core.Identity;
using Godwit.Server.Identity;
using Xunit;

namespace Godwit.Tests.Identity;

public sealed class JoinTokenTests
{
    private static readonly DateTimeOffset Now = new(2026, 5, 1, 12, 0, 0, TimeSpan.Zero);
    private static readonly JoinToken Token = JoinToken.New("sha256:" + new string('c', 64), new SeededRandomness(1));

    [Fact]
    public void A_token_is_read_as_it_was_written()
    {
        Assert.Matches("^gwj1\\.c{64}\\.[0-9a-f]{12}\\.[0-9a-f]{64}$", Token.Text);
        Assert.Equal(Token, JoinToken.Parse($" {Token.Text}\n"));
        Assert.Equal("sha256:" + new string('c', 64), Token.CaFingerprint);
        Assert.DoesNotContain(Token.Secret, $"{Token}");
    }

    [Theory]
    [InlineData("", "does not begin with gwj1")]
    [InlineData("gwt_0000", "does not begin with gwj1")]
    [InlineData("gwj2.a.b.c", "another version")]
    [InlineData("gwj1.a.b", "3 parts")]
    [InlineData("gwj1.a.b.c.d", "5 parts")]
    [InlineData("gwj1.CA.ID.SECRET", "not the SHA-256 of a CA")]
    public void What_is_no_token_is_told_which_part_is_wrong(string text, string why) =>
        Assert.Contains(why, Assert.Throws<RefusedException>(() => JoinToken.Parse(text)).Message);

    [Fact]
    public void A_token_that_was_cut_or_changed_is_refused_and_its_secret_is_not_repeated()
    {
        var upper = Token.Text.ToUpperInvariant().Replace("GWJ", "gwj");
        foreach (var bad in new[] { Token.Text[..^1], Token.Text + "0", Token.Text[..^1] + "g", upper })
        {
            var refused = Assert.Throws<RefusedException>(() => JoinToken.Parse(bad));
            Assert.Equal("join-token-malformed", refused.Reasons[0].Code);
            Assert.DoesNotContain(Token.Secret[..20], refused.Message);
        }
        Assert.Throws<RefusedException>(() => JoinToken.Parse(Token.Text.Replace($".{Token.Id}.", ".0123456789.")));
    }

    [Fact]
    public void A_token_lets_in_whom_it_was_made_for_while_it_lives_and_once()
    {
        var kept = new JoinTokenRecord(Token.Id, Token.SecretHash, null, Now, "ann", Now.AddMinutes(15));
        Assert.Null(Why(kept, Now));
        Assert.Null(Why(kept with { Host = new HostId("h1") }, Now.AddMinutes(14.9)));
        Assert.Equal("join-token-for-other-host", Why(kept with { Host = new HostId("h2") }, Now)!.Code);
        var expired = Why(kept, Now.AddMinutes(15))!;
        Assert.Equal("join-token-expired", expired.Code);
        Assert.Contains("expired at 2026-05-01 12:15:00Z; the server's clock says 2026-05-01 12:15:00Z", expired.Cause);
        var used = Why(kept with { UsedAt = Now, UsedBy = new HostId("h7") }, Now.AddMinutes(1))!;
        Assert.Equal("join-token-used", used.Code);
        Assert.Contains("h7", used.Cause);
        // Whoever does not know the secret learns nothing, not even that it was used.
        var usedUp = kept with { UsedAt = Now };
        Assert.Equal("join-token-unknown", JoinRules.WhyNot(usedUp, JoinToken.HashOf("other"), new HostId("h1"), Now)!.Code);
        Assert.Equal("join-token-unknown", JoinRules.WhyNot(null, Token.SecretHash, new HostId("h1"), Now)!.Code);

        static Refusal? Why(JoinTokenRecord kept, DateTimeOffset now) => JoinRules.WhyNot(kept, Token.SecretHash, new HostId("h1"), now);
    }
}
