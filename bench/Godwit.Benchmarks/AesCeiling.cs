using System.Diagnostics;
using System.Security.Cryptography;

namespace Godwit.Benchmarks;

/// <summary>AES-128-GCM over 16 KiB records on one core: nothing that encrypts can be faster here.</summary>
internal static class AesCeiling
{
    private const int RecordBytes = 16 * 1024;

    public static double BytesPerCpuSecond()
    {
        using var aes = new AesGcm(new byte[16], 16);
        byte[] nonce = new byte[12], tag = new byte[16], plain = new byte[RecordBytes], cipher = new byte[RecordBytes];
        Seal(2000);
        using var process = Process.GetCurrentProcess();
        var before = process.TotalProcessorTime;
        const int Records = 64 * 1024; // 1 GiB
        Seal(Records);
        process.Refresh();
        return (double)Records * RecordBytes / (process.TotalProcessorTime - before).TotalSeconds;

        void Seal(int records)
        {
            for (int i = 0; i < records; i++) aes.Encrypt(nonce, plain, cipher, tag);
        }
    }
}
