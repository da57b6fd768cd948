using System.Buffers;
using Google.Protobuf;
using Grpc.Core;

namespace Godwit.Simulator.Cluster;

/// <summary>A message as it crosses the wire, for the shipped readers of messages.</summary>
internal sealed class SimPayload(byte[] bytes) : DeserializationContext
{
    public override int PayloadLength => bytes.Length;
    public override byte[] PayloadAsNewBuffer() => [.. bytes];
    public override ReadOnlySequence<byte> PayloadAsReadOnlySequence() => new(bytes);

    public static byte[] Write<T>(T message) where T : class => ((IMessage)message).ToByteArray();

    public static T Read<T>(Marshaller<T> marshaller, byte[] bytes) => marshaller.ContextualDeserializer(new SimPayload(bytes));
}
