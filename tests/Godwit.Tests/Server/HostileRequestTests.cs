using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Godwit.Core;
using Godwit.Server.Api;
using Xunit;

namespace Godwit.Tests.Control;

/// <summary>Requests made to hurt, against the real server: each gets a small problem document, and the server goes on.</summary>
public sealed class HostileRequestTests
{
    private const int AnswerBytesMax = 256 << 10;

    public static TheoryData<string, string> Bodies => new()
    {
        { "nested 100,000 deep", Nested("[", "]", 100_000) },
        { "objects nested 100,000 deep", Nested("{\"a\":", "}", 100_000) },
        { "never closed", $"{{\"name\":\"w\",\"bridges\":{new string('[', 200_000)}" },
        { "a key twice", """{"name":"w","cpus":1,"cpus":2}""" },
        { "a key twice, once escaped", """{"name":"w","\u0063pus":1,"cpus":2}""" },
        { "a key 10,000 times", $"{{\"name\":\"w\"{string.Concat(Enumerable.Repeat(",\"cpus\":1", 10_000))}}}" },
        { "50,000 unknown keys", $"{{\"name\":\"w\"{string.Concat(Enumerable.Range(0, 50_000).Select(i => $",\"k{i}\":1"))}}}" },
        { "NaN", """{"name":"w","cpus":NaN}""" },
        { "Infinity", """{"name":"w","memoryBytes":-Infinity}""" },
        { "NaN in quotes", """{"name":"w","cpus":"NaN"}""" },
        { "1e999999999", """{"name":"w","memoryBytes":1e999999999}""" },
        { "500,000 digits", $"{{\"name\":\"w\",\"memoryBytes\":{new string('9', 500_000)}}}" },
        { "2^63", """{"name":"w","memoryBytes":9223372036854775808}""" },
        { "-2^63-1", """{"name":"w","diskBytes":-9223372036854775809}""" },
        { "a fraction", """{"name":"w","cpus":1.5}""" },
        { "2^32 CPUs", """{"name":"w","cpus":4294967297}""" },
        { "a control character", "{\"name\":\"w\u0001\"}" },
        { "a NUL", "{\"name\":\"w\u0000\"}" },
        { "an escaped NUL", """{"name":"w\u0000"}""" },
        { "a screen eraser", """{"name":"\u001b[2J\u001b[H"}""" },
        { "writing turned round", """{"name":"w\u202egnp.exe"}""" },
        { "half a character", """{"name":"\ud800"}""" },
        { "look-alikes", """{"name":"wеb1"}""" },
        { "a name of 900 kB", $"{{\"name\":\"{new string('a', 900_000)}\"}}" },
        { "a pool of 900 kB", $"{{\"name\":\"w\",\"pool\":\"{new string('a', 900_000)}\"}}" },
        { "a template of 900 kB", $"{{\"name\":\"w\",\"template\":\"{new string('a', 900_000)}\"}}" },
        { "a host of 900 kB", $"{{\"name\":\"w\",\"host\":\"{new string('a', 900_000)}\"}}" },
        { "200,000 bridges", $"{{\"name\":\"w\",\"bridges\":[{string.Join(',', Enumerable.Repeat("\"!\"", 200_000))}]}}" },
        { "a bridge that is null", """{"name":"w","bridges":[null]}""" },
        { "bridges that are numbers", """{"name":"w","bridges":[1,2]}""" },
        { "a comment", """{"name":"w"/*x*/}""" },
        { "a comma too many", """{"name":"w",}""" },
        { "two documents", """{"name":"w"}{"name":"x"}""" },
        { "prototype pollution", """{"name":"w","__proto__":{"x":1}}""" },
        { "a type hint", """{"$type":"System.IO.FileInfo","name":"w"}""" },
        { "true for a name", """{"name":true}""" },
        { "only white space", new string(' ', 500_000) },
        { "null", "null" },
        { "a string", "\"w\"" },
    };

    private static string Nested(string open, string close, int depth) =>
        $"{{\"name\":{string.Concat(Enumerable.Repeat(open, depth))}1{string.Concat(Enumerable.Repeat(close, depth))}}}";

    [Fact]
    public async Task A_hostile_body_gets_a_short_plain_no_and_makes_nothing()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        foreach (var row in Bodies)
        {
            var (what, body) = ((string)row[0], (string)row[1]);
            using var answer = await server.SendAsync("POST", "vms", body);
            var text = await answer.Content.ReadAsStringAsync();
            BadInputFigures.Tried(wasRefused: (int)answer.StatusCode is >= 400 and < 500);
            Assert.True((int)answer.StatusCode is >= 400 and < 500, $"{what}: {answer.StatusCode} {text[..Math.Min(text.Length, 300)]}");
            Assert.True(text.Length < AnswerBytesMax, $"{what}: the answer has {text.Length} characters");
            var problem = await ServerUnderTest.ReadProblemAsync(answer);
            Assert.DoesNotContain(problem.Cause, c => char.IsControl(c) || c is '\u202e');
            Assert.InRange(problem.Reasons.Count, 0, ApiLimits.ReasonsMax);
        }
        Assert.Empty(await server.OkAsync<VmView[]>("GET", "vms"));
        Assert.Equal(0, server.Cluster["h1"].Count("CreateDisk"));
    }

    [Fact]
    public async Task Bodies_of_bytes_that_are_no_text_are_refused()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var body = Encoding.UTF8.GetBytes("""{"name":"web","cpus":2,"memoryBytes":536870912,"bridges":["br0"]}""");
            for (var i = 0; i < 3; i++) body[random.Next(1, body.Length)] = (byte)(random.Next(128) + 128); // No such byte is right here.
            using var content = new ByteArrayContent(body);
            content.Headers.ContentType = new("application/json");
            using var answer = await server.Http.PostAsync("vms", content);
            BadInputFigures.Tried(wasRefused: (int)answer.StatusCode is 400 or 422);
            Assert.True((int)answer.StatusCode is 400 or 422, $"seed {seed}: {answer.StatusCode}");
            await ServerUnderTest.ReadProblemAsync(answer);
        }
    }

    [Fact]
    public async Task Ten_megabytes_are_refused_without_being_read_whether_their_length_is_told_or_not()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        foreach (var header in (string[])["Content-Length: 10485760", "Transfer-Encoding: chunked"])
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(server.SocketPath));
            await using var stream = new NetworkStream(socket);
            await stream.WriteAsync(Encoding.ASCII.GetBytes(
                $"POST /api/v1/vms HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{header}\r\n\r\n"));
            try
            {
                for (var sent = 0; sent < 160; sent++)
                    await stream.WriteAsync(Encoding.ASCII.GetBytes(header.StartsWith('T')
                        ? $"10000\r\n{new string(' ', 65_536)}\r\n" : new string(' ', 65_536)));
            }
            catch (IOException) { } // It hung up before it was told everything: so it should.
            Assert.Equal("HTTP/1.1 413", await FirstWordsAsync(stream));
        }
        Assert.Empty(await server.OkAsync<VmView[]>("GET", "vms"));
    }

    private static async Task<string> FirstWordsAsync(Stream stream)
    {
        var answer = new byte[12];
        for (int at = 0, read; at < answer.Length; at += read)
            if ((read = await stream.ReadAsync(answer.AsMemory(at))) == 0) break;
        return Encoding.ASCII.GetString(answer);
    }

    [Theory]
    [InlineData("vms/%00")]
    [InlineData("vms/..%2f..%2fetc%2fpasswd")]
    [InlineData("vms/%1b%5b2J")]
    [InlineData("vms/a%20b")]
    [InlineData("vms/%e2%80%ae")]
    [InlineData("migrations/mv-%00")]
    [InlineData("hosts/%ff%fe")]
    [InlineData("templates/..")]
    [InlineData("vms?host=%00")]
    [InlineData("migrations?vm=%1b")]
    [InlineData("migrations?limit=99999999999999999999")]
    public async Task A_path_or_query_of_strange_characters_is_answered_and_no_server_error(string path)
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        using var answer = await server.SendAsync("GET", path);
        Assert.InRange((int)answer.StatusCode, 200, 499);
        Assert.DoesNotContain('\u001b', await answer.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task A_path_of_ten_kilobytes_and_headers_of_a_hundred_are_refused()
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        using var longPath = await server.SendAsync("GET", $"vms/{new string('a', 10_000)}");
        Assert.Equal(HttpStatusCode.RequestUriTooLong, longPath.StatusCode);
        using var request = new HttpRequestMessage(HttpMethod.Get, "vms");
        request.Headers.Add("X-Long", new string('a', 100_000));
        using var longHeader = await server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.RequestHeaderFieldsTooLarge, longHeader.StatusCode);
    }

    [Theory]
    [InlineData("""{"maxPauseMs":0}""", "bad-max-pause")]
    [InlineData("""{"maxPauseMs":2147483647}""", "bad-max-pause")]
    [InlineData("""{"bandwidthBytesPerSecond":-1}""", "bad-bandwidth")]
    [InlineData("""{"bandwidthBytesPerSecond":9223372036854775807}""", "bad-bandwidth")]
    [InlineData("""{"mode":"refresh"}""", "bad-mode")]
    [InlineData("""{"mode":7}""", "bad-request")]
    [InlineData("""{"mode":"fast"}""", "bad-request")]
    public async Task A_move_with_numbers_that_cannot_be_is_refused(string body, string code)
    {
        await using var server = await ServerUnderTest.StartAsync("h1", "h2");
        await server.CreateVmAsync("web");
        Assert.Equal(code, (await server.ProblemAsync("POST", "vms/web/migrate", body)).Code);
    }

    [Theory]
    [InlineData("""{"cpus":"0-3;reboot"}""", "bad-cpus")]
    [InlineData("""{"cpus":"-c"}""", "bad-cpus")]
    [InlineData("""{"qemuPath":"relative"}""", "bad-qemu-path")]
    [InlineData("""{"qemuPath":"/usr/bin/x\ny"}""", "bad-qemu-path")]
    public async Task A_refresh_with_words_for_a_shell_is_refused(string body, string code)
    {
        await using var server = await ServerUnderTest.StartAsync("h1");
        await server.CreateVmAsync("web");
        Assert.Equal(code, (await server.ProblemAsync("POST", "vms/web/refresh", body)).Code);
    }

    [Fact]
    public void A_problem_keeps_its_size_whatever_an_agent_says()
    {
        var reasons = Enumerable.Range(0, 10_000).Select(i =>
            new Refusal("x-y", $"{i}\u001b[2J{new string('a', 10_000)}", "z\u0007")).ToList();
        var problem = Problems.Of(reasons, new ProblemPlace("web\u001b"));
        var json = JsonSerializer.Serialize(problem, ApiJson.Strict);
        Assert.InRange(json.Length, 1, AnswerBytesMax);
        Assert.DoesNotContain("\\u001B", json, StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain("\\u0007", json, StringComparison.OrdinalIgnoreCase);
    }
}
