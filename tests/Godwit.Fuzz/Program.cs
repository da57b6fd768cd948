using System.Globalization;
using Godwit.Fuzz;

// What eng/fuzz.sh calls:
//   list                       one line a target: name, assembly, beginning of the names of the code to watch
//   seeds TARGET DIRECTORY     writes good inputs to begin from
//   afl TARGET                 under afl-fuzz: inputs come through shared memory
//   run TARGET FILE...         each input once; fails with the first that breaks a promise
//   loop TARGET SECONDS DIR    our own damage, without coverage; keeps what breaks a promise in DIR
switch (args)
{
    case ["list"]:
        foreach (var target in FuzzTarget.All) Console.WriteLine($"{target.Name} {target.Code.Assembly} {target.Code.Prefix}");
        return 0;
    case ["seeds", var name, var directory]:
        Directory.CreateDirectory(directory);
        foreach (var (index, seed) in FuzzTarget.Of(name).Seeds().Index()) File.WriteAllBytes(Path.Combine(directory,
            $"seed-{index}"), seed);
        return 0;
    case ["afl", var name]:
        SharpFuzz.Fuzzer.Run(stream => FuzzTarget.Of(name).Try(Whole(stream)));
        return 0;
    case ["run", var name, .. var files]:
        foreach (var file in files)
        {
            Console.WriteLine($"{name} {file}");
            FuzzTarget.Of(name).Try(File.ReadAllBytes(file));
        }
        return 0;
    case ["loop", var name, var seconds, var directory]:
        return Loop(FuzzTarget.Of(name), TimeSpan.FromSeconds(double.Parse(seconds, CultureInfo.InvariantCulture)), directory);
    default:
        Console.Error.WriteLine("godwit fuzz: see eng/fuzz.sh");
        return 2;
}

static byte[] Whole(Stream stream)
{
    using var content = new MemoryStream();
    var block = new byte[64 << 10];
    for (int read; content.Length < FuzzTarget.InputBytesMax && (read = stream.Read(block)) > 0;) content.Write(block, 0, read);
    return content.ToArray();
}

static int Loop(FuzzTarget target, TimeSpan time, string directory)
{
    var seeds = target.Seeds().ToList();
    var began = TimeProvider.System.GetTimestamp();
    var (tried, found) = (0, 0);
    for (; TimeProvider.System.GetElapsedTime(began) < time && found < 10; tried++)
    {
        var input = new Mutation(tried).Of(seeds[tried % seeds.Count]);
        try { target.Try((byte[])input.Clone()); } // Some targets mend checksums in place.
        catch (Exception broken)
        {
            found++;
            Directory.CreateDirectory(directory);
            File.WriteAllBytes(Path.Combine(directory, $"loop-{tried}"), input);
            Console.WriteLine($"{target.Name}: input {tried}: {broken.Message}");
        }
    }
    Console.WriteLine($"{target.Name}: {tried} inputs tried, {found} broke a promise");
    return found == 0 ? 0 : 1;
}
