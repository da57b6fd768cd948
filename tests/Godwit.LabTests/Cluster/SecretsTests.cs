using System.Text.RegularExpressions;
using Godwit.Core.Access;
using Godwit.Core.Migration;
using Godwit.LabTests.Machines;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.LabTests.Cluster;

/// <summary>What anybody on a host may read, and what is copied into bug reports: command lines, surroundings, logs.</summary>
[Collection(LabCollection.Name)]
public sealed partial class SecretsTests(LabFixture lab)
{
    [RealQemuFact]
    public async Task No_key_token_or_password_is_in_a_command_line_in_surroundings_or_in_a_log()
    {
        const string password = "correct-horse-battery-staple-42";
        var access = lab.Cluster.Access;
        var token = await access.CreateTokenAsync(new CreateTokenRequest("scraper", Role.Viewer, 1, Never: false), default);
        await access.AddUserAsync(new AddUserRequest("nosy", Role.Viewer, password), default);
        Assert.Equal(MoveEnd.Done, (await lab.MoveAsync(MoveMode.Live)).End);

        var secrets = PrivateKeyLines().Append(token.Text).Append(password).ToList();
        var readable = CommandLines().Concat(Logs()).ToList();

        Assert.True(secrets.Count > 6, "the keys were not found, so nothing was looked for");
        var uuid = (await lab.VmAsync()).Spec.Uuid;
        Assert.Contains(readable, r => r.Text.Contains(uuid, StringComparison.Ordinal)); // What is there is found.
        // A move's ticket is 32 random bytes; audit heads and templates are named by hashes of the same length.
        Assert.Empty(readable.Where(r => secrets.Exists(s => r.Text.Contains(s, StringComparison.Ordinal)) || Ticket().IsMatch(r.Text))
            .Select(r => r.Where));
        await access.RevokeTokenAsync("scraper", default);
        await access.RemoveUserAsync("nosy", default);
    }

    /// <summary>Every line of every private key of this cluster: a part of one is enough to worry.</summary>
    private IEnumerable<string> PrivateKeyLines() =>
        Directory.EnumerateFiles(lab.Cluster.Plan.DataDirectory, "*.pem", SearchOption.AllDirectories)
            .SelectMany(file => PrivateKeyLines(File.ReadAllText(file))).Distinct();

    internal static IEnumerable<string> PrivateKeyLines(string pem) =>
        PrivateKey().Matches(pem).SelectMany(key => key.Groups["lines"].Value.Split('\n', StringSplitOptions.RemoveEmptyEntries));

    /// <summary>Of this cluster's processes, which its directories give away.</summary>
    private IEnumerable<(string Where, string Text)> CommandLines() =>
        from process in Directory.EnumerateDirectories("/proc").Where(d => int.TryParse(Path.GetFileName(d), out _))
        let words = Read(Path.Combine(process, "cmdline"))
        where words.Contains($"/godwit-{lab.Cluster.Plan.Tag}/", StringComparison.Ordinal)
        let surroundings = Path.Combine(process, "environ")
        from part in new[] { (process, words), (surroundings, Read(surroundings)) }
        select part;

    private IEnumerable<(string Where, string Text)> Logs() =>
        from log in Directory.EnumerateFiles(lab.Cluster.Plan.DataDirectory, "*.log", SearchOption.AllDirectories)
        select (log, Read(log));

    private static string Read(string path)
    {
        try
        {
            using var file = new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
            return file.ReadToEnd();
        }
        catch (IOException) { return ""; } // Ended between the listing and the look.
    }

    [GeneratedRegex("-----BEGIN [A-Z ]*PRIVATE KEY-----\n(?<lines>[^-]+)-----END")]
    private static partial Regex PrivateKey();

    [GeneratedRegex(@"(?<!audit head \d+:|template-|[0-9a-f])[0-9a-f]{64}(?![0-9a-f])")]
    private static partial Regex Ticket();
}
