using System.Buffers;
using System.Text;
using CsCheck;
using Godwit.Qmp;
using Xunit;

namespace Godwit.Tests.Qmp;

public sealed class QmpFramerTests
{
    private static readonly Gen<string> GenText =
        OneOf("", "a", "}", "{\"", "\\", "[[[", "é☃", "line\nend", "\"", "\u0001", "\\\"}").Array[0, 4]
            .Select(parts => string.Concat(parts));

    private static readonly Gen<string> GenMessage = GenValue(3).List[0, 3].Select(values =>
        "{" + string.Join(",", values.Select((v, i) => $"\"k{i}\":{v}")) + "}");

    private static readonly Gen<string> GenGap = OneOf("", "\r\n", "\n", "  ", "\t\r\n\n");

    [Fact]
    public void Any_split_of_the_bytes_gives_the_same_messages() =>
        Gen.Select(Gen.Select(GenMessage, GenGap).List[0, 8], Gen.Int[1, 40].List[0, 60]).Sample((messages, cuts) =>
        {
            var bytes = Encoding.UTF8.GetBytes(string.Concat(messages.Select(m => m.Item1 + m.Item2)));
            var (framed, fault) = Frame(bytes, cuts);
            Assert.Equal("", fault);
            Assert.Equal(messages.Select(m => m.Item1), framed);
        }, iter: 2000);

    [Fact]
    public void Any_bytes_at_all_end_in_messages_or_a_fault_and_never_in_an_exception() =>
        Gen.Select(Gen.OneOf(Gen.Byte, OneOf("{}[]\"\\ \n:,1"u8.ToArray())).Array[0, 300], Gen.Int[1, 40].List[0, 60])
            .Sample((bytes, cuts) =>
            {
                var (whole, fault) = Frame(bytes, []);
                var (split, splitFault) = Frame(bytes, cuts);
                Assert.Equal(whole, split);
                Assert.Equal(fault, splitFault);
            }, iter: 3000);

    [Fact]
    public void A_message_longer_than_the_limit_is_a_fault_also_when_it_comes_byte_by_byte()
    {
        var framer = new QmpFramer();
        Assert.Equal(OperationStatus.NeedMoreData, framer.Read("{\"a\":\""u8, out _, out _));
        var line = new byte[64 << 10];
        line.AsSpan().Fill((byte)'x');
        var chunks = 0;
        while (framer.Read(line, out _, out _) == OperationStatus.NeedMoreData) chunks++;
        Assert.Equal((QmpFramer.MessageBytesMax / line.Length) - 1, chunks);
        Assert.Contains("longer than", framer.Fault, StringComparison.Ordinal);
        Assert.Equal(OperationStatus.InvalidData, framer.Read("{}"u8, out _, out _));
    }

    [Theory]
    [InlineData(QmpFramer.DepthMax, OperationStatus.Done)]
    [InlineData(QmpFramer.DepthMax + 1, OperationStatus.InvalidData)]
    public void Nesting_is_limited(int depth, OperationStatus expected)
    {
        var text = "{\"a\":" + new string('[', depth - 1) + new string(']', depth - 1) + "}";
        Assert.Equal(expected, new QmpFramer().Read(Encoding.UTF8.GetBytes(text), out _, out _));
    }

    [Theory]
    [InlineData("hello")]
    [InlineData("[1]")]
    [InlineData("}")]
    [InlineData("\0")]
    public void Something_other_than_an_object_is_a_fault(string text)
    {
        var framer = new QmpFramer();
        Assert.Equal(OperationStatus.InvalidData, framer.Read(Encoding.UTF8.GetBytes(text), out _, out _));
        Assert.Contains("instead of '{'", framer.Fault, StringComparison.Ordinal);
    }

    private static (List<string> Messages, string Fault) Frame(byte[] bytes, List<int> cuts)
    {
        var framer = new QmpFramer();
        var messages = new List<string>();
        var (at, cut) = (0, 0);
        while (at < bytes.Length)
        {
            var slice = bytes.AsSpan(at, Math.Min(bytes.Length - at, cut < cuts.Count ? cuts[cut++] : bytes.Length));
            at += slice.Length;
            while (slice.Length > 0)
            {
                var status = framer.Read(slice, out var consumed, out var message);
                if (status == OperationStatus.InvalidData) return (messages, framer.Fault);
                if (status == OperationStatus.Done) messages.Add(Encoding.UTF8.GetString(message));
                slice = slice[consumed..];
            }
        }
        return (messages, framer.Fault);
    }

    private static Gen<T> OneOf<T>(params T[] values) => Gen.Int[0, values.Length - 1].Select(i => values[i]);

    private static Gen<string> GenValue(int depth)
    {
        var leaf = Gen.OneOf(
            Gen.Int.Select(i => i.ToString(System.Globalization.CultureInfo.InvariantCulture)),
            OneOf("true", "null"),
            GenText.Select(t => "\"" + t.Replace("\\", "\\\\", StringComparison.Ordinal)
                .Replace("\"", "\\\"", StringComparison.Ordinal) + "\""));
        if (depth == 0) return leaf;
        var inner = GenValue(depth - 1).List[0, 3];
        return Gen.OneOf(
            leaf,
            inner.Select(values => "[" + string.Join(", ", values) + "]"),
            inner.Select(values => "{" + string.Join(", ", values.Select((v, i) => $"\"{i}\": {v}")) + "}"));
    }
}
