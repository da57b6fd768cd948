using Godwit.Agent.Images;
using Xunit;
using Xunit.Abstractions;
using static Godwit.Fuzz.MadeImages;

namespace Godwit.Tests.Agent.Images;

public sealed class ImageInspectorTests(ITestOutputHelper output)
{
    private static readonly Dictionary<string, BadImage> Corpus = BadImages.All.ToDictionary(b => b.Name);

    public static TheoryData<string> Names => [.. Corpus.Keys];

    private static ImageVerdict Inspect(byte[] image, string? said = null) =>
        ImageInspector.Inspect(new ImageBytes(new MemoryStream(image)), said is null ? null : ImageFormats.Of(said));

    public static TheoryData<string, string, string, long> Good => new()
    {
        { "raw", "raw", "raw", 4096 },
        { "qcow2 v2", "qcow2", "qcow2 version 2", 64 << 20 },
        { "qcow2 v3", "qcow2", "qcow2 version 3", 64 << 20 },
        { "VMDK", "vmdk", "VMDK monolithicSparse", 64 << 20 },
        { "VMDK stream", "vmdk", "VMDK streamOptimized", 64 << 20 },
        { "VHD fixed", "vhd", "VHD fixed", 1 << 20 },
        { "VHD dynamic", "vhd", "VHD dynamic", 64 << 20 },
        { "VHDX", "vhdx", "VHDX", 64 << 20 },
        { "OVA", "ova", "OVA with VMDK streamOptimized", 64 << 20 },
        { "OVA of qcow2", "ova", "OVA with qcow2 version 3", 64 << 20 },
    };

    private static byte[] Make(string name) => name switch
    {
        "raw" => new byte[4096],
        "qcow2 v2" => Qcow2(2),
        "qcow2 v3" => Qcow2(),
        "VMDK" => Vmdk(),
        "VMDK stream" => VmdkStream(),
        "VHD fixed" => VhdFixed(),
        "VHD dynamic" => VhdDynamic(),
        "VHDX" => Vhdx(),
        "OVA" => Ova(),
        _ => [.. TarFile("vm.ovf", System.Text.Encoding.UTF8.GetBytes(Ovf())), .. TarFile("disk.vmdk", Qcow2()), .. new byte[1024]],
    };

    [Theory]
    [MemberData(nameof(Good))]
    public void A_good_image_is_recognised_by_its_content_and_taken(string name, string format, string kind, long virtualBytes)
    {
        foreach (var said in (string?[])[null, format])
        {
            var taken = Assert.IsType<ImageVerdict.Taken>(Inspect(Make(name), said)).Image;
            Assert.Equal((format, kind, virtualBytes), (taken.Format.Word(), taken.Kind, taken.VirtualBytes));
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_bad_image_is_refused_by_name_with_a_cause_and_a_next_step(string name)
    {
        var bad = Corpus[name];
        var refused = Assert.IsType<ImageVerdict.Refused>(Inspect(bad.Build(), bad.Said));
        Assert.Contains(refused.Reasons, r => r.Code == bad.Code);
        Assert.All(refused.Reasons, r =>
        {
            Assert.NotEmpty(r.Fix);
            Assert.All(r.Cause, c => Assert.False(char.IsControl(c), $"a control character in: {r.Cause}"));
            Assert.InRange(r.Cause.Length, 10, 400);
        });
    }

    [Fact]
    public void The_whole_corpus_is_refused_and_counted()
    {
        var refused = 0;
        foreach (var bad in Corpus.Values)
        {
            var isRefused = Inspect(bad.Build(), bad.Said) is ImageVerdict.Refused;
            if (isRefused) refused++;
            BadInputFigures.Tried(isRefused);
        }
        output.WriteLine($"bad inputs tried: {Corpus.Count}, refused: {refused}");
        Assert.Equal(Corpus.Count, refused);
        Assert.True(Corpus.Count >= 250, $"the corpus shrank to {Corpus.Count}");
    }

    [Fact]
    public void All_reasons_are_told_at_once()
    {
        var refused = Assert.IsType<ImageVerdict.Refused>(Inspect(Qcow2().Big64(8, 512).Big64(72, 4)));
        Assert.Equal(["image-backing-file", "image-data-file"], refused.Reasons.Select(r => r.Code));
    }

    [Fact]
    public void An_archive_tells_where_its_disk_lies_and_which_digests_it_claims()
    {
        var hex = new string('a', 64);
        var taken = Assert.IsType<ImageVerdict.Taken>(Inspect(
            Ova(null, TarFile("vm.mf",
                System.Text.Encoding.ASCII.GetBytes($"SHA256(disk.vmdk)= {hex}\r\nSHA1(vm.ovf)= {hex[..40]}\n"))))).Image;
        Assert.Equal(new DiskPlace(ImageFormat.Vmdk, 3 * 512, 64 << 10), taken.Disk);
        Assert.Equal(["disk.vmdk", "vm.ovf"], taken.Digests.Select(d => d.Name));
    }

    [Fact]
    public void A_snapshot_and_an_unknown_extension_are_no_reason_to_refuse()
    {
        var image = Qcow2().Big32(112, 0x12345678).Big32(116, 5).Big32(60, 1).Big64(64, 0x20000).Big64(0x20000, 0x30000)
            .Big32(0x20008, 1);
        Assert.IsType<ImageVerdict.Taken>(Inspect(image));
    }
}
