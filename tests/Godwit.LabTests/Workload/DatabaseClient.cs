using System.Diagnostics;
using System.Globalization;
using Godwit.Cli.Lab;
using Xunit.Sdk;

namespace Godwit.LabTests.Workload;

/// <summary>
/// A client of the guest's database, on the guests' LAN, as somebody's program would be one: a single connection for the whole
/// journey, one commit after the other, and a note of each that was acknowledged. It is psql, which does not connect again: an
/// error or a broken connection ends it, and is told.
/// </summary>
internal sealed class DatabaseClient : IAsyncDisposable
{
    private static readonly TimeSpan answerMax = TimeSpan.FromMinutes(3), thinking = TimeSpan.FromMilliseconds(5);

    private readonly Process _psql;
    private readonly Task _writing;
    private readonly List<double> _answersMs = [];
    private long _acknowledged;
    private volatile bool _ending;

    private DatabaseClient(Process psql, int writer)
    {
        (_psql, Writer) = (psql, writer);
        _writing = WriteAsync();
    }

    public int Writer { get; }
    /// <summary>Commits 1 to this were acknowledged to this client, without a gap.</summary>
    public long Acknowledged => Interlocked.Read(ref _acknowledged);
    /// <summary>From question to acknowledgement, one for each commit. Read it after the end.</summary>
    public IReadOnlyList<double> AnswersMs => _answersMs;

    /// <summary>Begins to write at once and goes on until <see cref="EndAsync"/>.</summary>
    public static DatabaseClient Begin(LabPlan plan, string address, int writer) =>
        new(LabShell.Start(LabNetwork.Inside(plan.LanNamespace, ["stdbuf", "-oL", .. Psql(address)])), writer);

    /// <summary>One answer over a connection of its own, its lines as psql prints them.</summary>
    public static async Task<string> AskAsync(LabPlan plan, string address, string sql) => (await LabShell.RunAsync(
        LabNetwork.Inside(plan.LanNamespace, [.. Psql(address), "-c", sql]))).Trim();

    /// <summary>The payload lets a row that is there be told from a row that is whole.</summary>
    public const string Table =
        "CREATE TABLE commits (writer int, number bigint, payload text NOT NULL, PRIMARY KEY (writer, number))";

    /// <summary>How many of the commits that were acknowledged to this client the database has, whole.</summary>
    public async Task<long> FoundAsync(LabPlan plan, string address) => long.Parse(await AskAsync(plan, address,
        $"SELECT count(*) FROM commits WHERE writer = {Writer} AND number <= {Acknowledged} AND payload = repeat(md5(number::text), 16)"),
        CultureInfo.InvariantCulture);

    /// <summary>Returns after a commit that began after this call; throws what broke the client.</summary>
    public async Task GoesOnAsync()
    {
        var mark = Acknowledged + 1; // The one under way may have been answered before.
        for (var since = Stopwatch.StartNew(); Acknowledged <= mark; await Task.Delay(20))
        {
            if (_writing.IsCompleted) await _writing;
            if (since.Elapsed > answerMax) throw new XunitException($"client {Writer} has no answer since {answerMax}");
        }
    }

    public async Task EndAsync()
    {
        _ending = true;
        await _writing;
        _psql.StandardInput.Close();
        await _psql.WaitForExitAsync();
        if (_psql.ExitCode != 0) throw Broken("its end");
    }

    private async Task WriteAsync()
    {
        for (var number = 1L; !_ending; number++)
        {
            var begun = Stopwatch.GetTimestamp();
            string? answer = null;
            try
            {
                await _psql.StandardInput.WriteLineAsync(string.Create(CultureInfo.InvariantCulture,
                    $"INSERT INTO commits VALUES ({Writer}, {number}, repeat(md5('{number}'), 16)) RETURNING number;"));
                await _psql.StandardInput.FlushAsync();
                answer = await _psql.StandardOutput.ReadLineAsync().WaitAsync(answerMax);
            }
            catch (Exception e) when (e is IOException or TimeoutException) { } // psql is gone, or silent: told below.
            if (answer != number.ToString(CultureInfo.InvariantCulture)) throw Broken($"commit {number}, answered '{answer}'");
            _answersMs.Add(Stopwatch.GetElapsedTime(begun).TotalMilliseconds);
            Interlocked.Exchange(ref _acknowledged, number);
            await Task.Delay(thinking);
        }
    }

    private XunitException Broken(string at) =>
        new($"client {Writer} broke at {at}: {(_psql.HasExited ? _psql.StandardError.ReadToEnd().Trim() : "no answer came")}");

    private static string[] Psql(string address) =>
        ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", address, "-U", "postgres", "-d", "postgres"];

    public ValueTask DisposeAsync()
    {
        if (!_psql.HasExited) _psql.Kill(entireProcessTree: true);
        _psql.Dispose();
        return ValueTask.CompletedTask;
    }
}
