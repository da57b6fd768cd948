using System.Buffers;
using Godwit.Wire;

namespace Godwit.Agent.Saved;

/// <summary>A saved state as every move brings one: all memory, then devices. Pages of zeros are left out; new memory has them.</summary>
internal static class MemoryFirst
{
    private const int PageBytes = DetachedState.PageBytes;

    public static async Task FeedAsync(SavedGuest saved, Stream toQemu, string block, CancellationToken cancel)
    {
        var bytes = new ArrayBufferWriter<byte>(2 * SavedGuest.BlockBytes);
        var writer = new DetachedStateWriter(bytes, saved.State);
        var content = new byte[SavedGuest.BlockBytes];
        writer.WriteOpening();
        await SendAsync();
        for (var number = 0; number < saved.Blocks; number++)
        {
            if (saved.IsZero(number)) continue;
            await saved.ReadBlockAsync(number, content, cancel);
            writer.BeginPages();
            for (var at = 0; at < saved.BytesOf(number); at += PageBytes)
            {
                var page = content.AsSpan(at, PageBytes);
                if (page.ContainsAnyExcept((byte)0)) writer.WritePage(block, (ulong)number * SavedGuest.BlockBytes + (ulong)at, page);
            }
            writer.EndPages();
            await SendAsync();
        }
        writer.WriteDevices();
        await SendAsync();

        async Task SendAsync()
        {
            await toQemu.WriteAsync(bytes.WrittenMemory, cancel);
            bytes.ResetWrittenCount();
        }
    }
}
