using Godwit.Cli.Api;
using Godwit.Cli.Screens;
using Godwit.Core;
using Xunit;

namespace Godwit.Tests.Cli;

public sealed class ApiClientTests
{
    private const string Call = "GET /api/v1/thing";

    [Fact]
    public async Task A_problem_document_comes_through_whole()
    {
        await using var server = new ScriptedServer().OnProblem(Call, "409 Conflict", """
            {"type":"about:blank","title":"Conflict","status":409,"code":"plan-refused","cause":"web1 cannot move to host2",
             "phase":"checking","side":"target","vm":"web1","from":"host1","to":"host2","next":"godwit host show host2",
             "reasons":[{"code":"bridge-missing","cause":"host2 has no bridge br0","fix":"create br0 on host2"},
                        {"code":"memory-short","cause":"host2 has 100 MiB free","fix":"stop a VM there"}]}
            """);
        var error = await FailAsync(server);
        Assert.True(error.IsRefusal);
        Approval.Check(string.Join('\n', ErrorText.Lines(error).Select(line => line.Text)) + "\n");
    }

    [Fact]
    public void What_the_server_says_twice_is_shown_once()
    {
        Refusal one = new("vm-state", "web1 is stopped", "godwit vm start web1"), two = new("vm-busy", "web1 is being saved", "wait");
        Approval.Check(string.Join('\n', new[]
        {
            new ApiError(one.Code, one.Cause) { Next = one.Fix, Reasons = [one] },
            new ApiError(one.Code, $"{one.Cause}; {two.Cause}") { Next = $"{one.Fix}; {two.Fix}", Reasons = [one, two] },
            new ApiError("plan-refused", "web1: host1 → host2, live: would be refused") { Reasons = [one] },
            new ApiError("vm-not-found", "there is no VM web9") { Side = "server", Next = "godwit vm list" },
        }.SelectMany(ErrorText.Lines).Select(line => line.Text)) + "\n");
    }

    [Fact]
    public async Task A_problem_without_our_members_still_gives_a_sentence()
    {
        await using var server = new ScriptedServer().OnProblem(Call, "400 Bad Request", """{"title":"Bad Request","detail":"no body"}""");
        var error = await FailAsync(server);
        Assert.Equal(("server-error", "no body"), (error.Code, error.Cause));
        Assert.False(error.IsRefusal);
    }

    [Theory]
    [InlineData("500 Internal Server Error", "text/plain", 0, "", "server-error")]
    [InlineData("502 Bad Gateway", "text/html", 5, "<html", "server-error")]
    [InlineData("500 Internal Server Error", "application/problem+json", 3, "{\"a", "server-error")]
    [InlineData("500 Internal Server Error", "application/problem+json", 4, "null", "server-error")]
    [InlineData("200 OK", "application/json", 3, "{\"a", "server-answer-broken")]
    [InlineData("200 OK", "application/json", 4, "null", "server-answer-broken")]
    [InlineData("200 OK", "application/json", 99, "{}", "server-answer-broken")]
    public Task Whatever_the_server_answers_becomes_an_error_with_a_next_step(
        string status, string type, int length, string body, string code) =>
        BecomesAsync($"HTTP/1.1 {status}\r\nContent-Type: {type}\r\nContent-Length: {length}"
            + $"\r\nConnection: close\r\n\r\n{body}", code);

    [Theory]
    [InlineData("SSH-2.0-OpenSSH_9.2\r\n")]
    [InlineData("")]
    public Task Whoever_speaks_no_HTTP_becomes_an_error_with_a_next_step(string response) =>
        BecomesAsync(response, "server-answer-broken");

    private static async Task BecomesAsync(string response, string code)
    {
        await using var server = new ScriptedServer().OnRaw(Call, response);
        var error = await FailAsync(server);
        Assert.Equal(code, error.Code);
        Assert.False(string.IsNullOrEmpty(error.Next));
    }

    [Fact]
    public async Task A_socket_nobody_listens_at_is_told_from_one_that_is_not_there()
    {
        using var missing = ServerWay.Client(new ServerAddress("/nowhere/godwit.sock", IsChosen: true));
        var error = await Assert.ThrowsAsync<ApiException>(() => missing.GetAsync<string>("thing", default));
        Assert.Contains("there is no socket /nowhere/godwit.sock", error.Error.Cause);

        var dead = Path.GetTempFileName();
        using var refused = ServerWay.Client(new ServerAddress(dead, IsChosen: true));
        error = await Assert.ThrowsAsync<ApiException>(() => refused.GetAsync<string>("thing", default));
        Assert.Contains($"nobody listens at {dead}", error.Error.Cause);
        File.Delete(dead);
    }

    [Theory]
    [InlineData(null, false, false, ServerAddress.UpSocket)]
    [InlineData(null, false, true, ServerAddress.LabSocket)]
    [InlineData(null, true, true, ServerAddress.UpSocket)]
    [InlineData("/tmp/x.sock", true, true, "/tmp/x.sock")]
    [InlineData("unix:/tmp/x.sock", true, true, "/tmp/x.sock")]
    [InlineData("", true, false, ServerAddress.UpSocket)]
    public void The_server_is_found_where_the_user_or_the_last_start_put_it(string? chosen, bool up, bool lab, string path) =>
        Assert.Equal(path, ServerAddress.Find(chosen,
            file => (file == ServerAddress.UpSocket && up) || (file == ServerAddress.LabSocket && lab)).SocketPath);

    private static async Task<ApiError> FailAsync(ScriptedServer server)
    {
        using var client = ServerWay.Client(new ServerAddress(server.SocketPath, IsChosen: true));
        return (await Assert.ThrowsAsync<ApiException>(() => client.GetAsync<Dictionary<string, string>>("thing", default))).Error;
    }
}
