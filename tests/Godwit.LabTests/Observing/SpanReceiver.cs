using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Godwit.LabTests.Cluster;
using Google.Protobuf;

namespace Godwit.LabTests.Observing;

/// <param name="From">The address of the process that sent it: its host.</param>
/// <param name="Parent">Empty where it is the first of its trace.</param>
internal sealed record ToldSpan(string From, string Service, string Trace, string Id, string Parent, string Name);

/// <summary>
/// A collector just large enough: takes OTLP over HTTP inside one of a lab's namespaces and keeps the spans.
/// </summary>
internal sealed class SpanReceiver : IDisposable
{
    private const int BodyBytesMax = 4 << 20, HeadBytesMax = 16 << 10;
    private readonly TcpListener listener;
    private readonly ConcurrentQueue<ToldSpan> spans = new();

    public SpanReceiver(string inNamespace, IPEndPoint at)
    {
        listener = InNamespace.Listen(inNamespace, at);
        _ = AcceptAsync();
    }

    public IReadOnlyList<ToldSpan> Spans => [.. spans];

    public void Dispose() => listener.Dispose();

    private async Task AcceptAsync()
    {
        try
        {
            while (true) _ = TakeAsync(await listener.AcceptTcpClientAsync());
        }
        catch (Exception ended) when (ended is SocketException or ObjectDisposedException) { } // The test is over.
    }

    /// <summary>One request a connection: POST /v1/traces with a length.</summary>
    private async Task TakeAsync(TcpClient client)
    {
        try
        {
            using var _ = client;
            var stream = client.GetStream();
            var head = await HeadAsync(stream);
            var length = head.Split("\r\n").Select(line => line.Split(": ", 2))
                .Where(p => p.Length == 2 && p[0].Equals("Content-Length", StringComparison.OrdinalIgnoreCase))
                .Select(p => int.Parse(p[1], CultureInfo.InvariantCulture)).Single();
            var body = new byte[Math.Min(length, BodyBytesMax)];
            await stream.ReadExactlyAsync(body);
            Read(((IPEndPoint)client.Client.RemoteEndPoint!).Address.ToString(), body);
            await stream.WriteAsync(Encoding.ASCII.GetBytes(
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        }
        catch (IOException) { } // Whoever sent it sends it again.
    }

    private static async Task<string> HeadAsync(NetworkStream stream)
    {
        var (head, one) = (new StringBuilder(), new byte[1]);
        while (head.Length < HeadBytesMax && (head.Length < 4 || head.ToString(head.Length - 4, 4) != "\r\n\r\n"))
        {
            await stream.ReadExactlyAsync(one);
            head.Append((char)one[0]);
        }
        return head.ToString();
    }

    /// <summary>ExportTraceServiceRequest of opentelemetry-proto 1: resource_spans 1 { resource 1, scope_spans 2 { spans 2 } }.</summary>
    private void Read(string from, byte[] request)
    {
        foreach (var resourceSpans in Fields(request, 1))
        {
            var service = Fields(resourceSpans, 1).SelectMany(resource => Fields(resource, 1)) // attributes { key 1, value 2 { string 1 } }
                .Where(attribute => Text(attribute, 1) == "service.name").SelectMany(attribute => Fields(attribute, 2))
                .Select(value => Text(value, 1)).FirstOrDefault("");
            foreach (var span in Fields(resourceSpans, 2).SelectMany(scope => Fields(scope, 2)))
                spans.Enqueue(new ToldSpan(from, service, Hex(span, 1), Hex(span, 2), Hex(span, 4), Text(span, 5)));
        }

        static string Text(byte[] message, uint field) => Encoding.UTF8.GetString(Fields(message, field).FirstOrDefault([]));
        static string Hex(byte[] message, uint field) => Convert.ToHexStringLower(Fields(message, field).FirstOrDefault([]));
    }

    /// <summary>Every length-delimited value of one field; all others are passed over.</summary>
    private static List<byte[]> Fields(byte[] message, uint field)
    {
        var input = new CodedInputStream(message);
        var found = new List<byte[]>();
        for (uint tag; (tag = input.ReadTag()) != 0;)
        {
            if (WireFormat.GetTagFieldNumber(tag) == field && WireFormat.GetTagWireType(tag) == WireFormat.WireType.LengthDelimited)
                found.Add(input.ReadBytes().ToByteArray());
            else input.SkipLastField();
        }
        return found;
    }
}
