using Godwit.Agent.Images;
using Godwit.Fuzz;
using Xunit;
using static Godwit.Fuzz.MadeImages;

namespace Godwit.Tests.Agent.Images;

/// <summary>
/// Damaged images by seed: the answer is always a verdict, never an exception, within a limit of bytes read and of
/// memory. A seed that fails is replayed by its number.
/// </summary>
public sealed class ImageFuzzTests
{
    private const int Rounds = 3000, LargeRounds = 1000, HugeRounds = 150;

    [Fact]
    public void Damaged_qcow2() => Fuzz(LargeRounds, ImageFormat.Qcow2, Qcow2(), i => i, 0, 0, 0x30000, 0x10000);

    [Fact]
    public void Damaged_VMDK() => Fuzz(Rounds, ImageFormat.Vmdk, Vmdk(), i => i, 0, 0, 512, 700, 21 * 512);

    [Fact]
    public void Damaged_VMDK_stream() => Fuzz(Rounds, ImageFormat.Vmdk, VmdkStream(), i =>
        i, 0, 512, (64 << 10) - 1536, (64 << 10) - 1024);

    [Fact]
    public void Damaged_VHD() => Fuzz(Rounds, ImageFormat.Vhd, VhdDynamic(), i =>
        i.Length >= 1600 ? VhdSummed(i) : i, 0, 512, 2048, (8 << 10) - 512);

    [Fact]
    public void Damaged_VHDX() => Fuzz(HugeRounds, ImageFormat.Vhdx, Vhdx(), i => i.Length >= 320 << 10 ? VhdxSummed(i) : i,
        64 << 10, 192 << 10, VhdxMetadataAt, VhdxMetadataAt + (64 << 10), VhdxBatAt);

    [Fact]
    public void Damaged_OVA() => Fuzz(Rounds, ImageFormat.Ova, Ova(null, TarFile("vm.mf", "SHA1(vm.ovf)= 0000"u8.ToArray())),
        Summed, 0, 100, 124, 512, 700, 1024, 1124);

    [Fact]
    public void Noise_of_any_length_called_anything()
    {
        for (var seed = 0; seed < Rounds; seed++)
        {
            var random = new Random(seed);
            var bytes = new byte[random.Next(4096)];
            random.NextBytes(bytes);
            Inspect(seed, bytes, (ImageFormat)(seed % 6));
            Inspect(seed, bytes, null);
        }
    }

    private static void Fuzz(int rounds, ImageFormat format, byte[] good, Func<byte[], byte[]> repair, params int[] hot)
    {
        var taken = 0;
        for (var seed = 0; seed < rounds; seed++)
        {
            var bad = new Mutation(seed).Of(good, hot);
            // With checksums made right again, damage gets past the first check.
            if (Inspect(seed, seed % 4 == 0 ? bad : repair(bad), seed % 2 == 0 ? format : null) is ImageVerdict.Taken) taken++;
        }
        Assert.InRange(taken, 1, rounds - 1); // Else the damage is too little, or too much, to test anything.
    }

    private static ImageVerdict Inspect(int seed, byte[] bytes, ImageFormat? said)
    {
        try
        {
            return ImageTargets.Verdict(bytes, said);
        }
        catch (Exception failure)
        {
            throw new InvalidOperationException($"seed {seed}, called {said}: {failure.Message}", failure);
        }
    }

    private static byte[] Summed(byte[] archive)
    {
        foreach (var at in (int[])[0, 1024])
            if (archive.Length >= at + 512) TarSummed(archive[at..(at + 512)]).CopyTo(archive, at);
        return archive;
    }
}
