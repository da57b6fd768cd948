using Godwit.Core;

namespace Godwit.Server.Api;

/// <summary>Counts the streams that stay open (events, consoles): each holds memory for as long as its client likes.</summary>
public sealed class Streams
{
    private int _open;

    public IDisposable Enter()
    {
        if (Interlocked.Increment(ref _open) <= ApiLimits.StreamsMax) return new Place(this);
        Interlocked.Decrement(ref _open);
        throw new RefusedException("too-many-streams", $"{ApiLimits.StreamsMax} event streams and consoles are open",
            "close some, or ask again in a while");
    }

    private sealed class Place(Streams streams) : IDisposable
    {
        private int _left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) == 0) Interlocked.Decrement(ref streams._open);
        }
    }
}
