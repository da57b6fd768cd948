using System.Globalization;
using System.Reflection;
using Godwit.Simulator.Cluster;
using Godwit.Simulator.Loop;
using Godwit.Simulator.Stories;

namespace Godwit.Simulator;

/// <summary>godwit-sim: random stories by seed. What it prints for a failing seed is all it takes to see it again.</summary>
internal sealed class CommandLine(TimeProvider time, TextWriter output)
{
    private const string Usage =
        """
        godwit-sim --seed N             one story, its options, its trace hash; the same seed, the same hash
        godwit-sim --seeds A..B         those stories, one line for each that fails, and the sums
        godwit-sim --hours H [--from N] stories from seed N on (default 1), for H hours of real time
          --trace                       everything that happens
          --focused                     only small worlds whose bad luck aims at hand-overs
          --silent                      VMs are marked ha, and hosts fall silent
          --watched                     the same, and each host is fenced by its own watchdog alone
          --sleepy                      hosts are turned off to save power, and woken, by hooks of every mood
          --without RULE                agents (or a server) that do not keep this safety rule, until a checker objects
        Exit code: 0 all well, 1 some failed, 2 not understood.
        """;
    private const int FailuresShownMax = 20;

    private readonly RunCounts _counts = new();
    private (ulong From, ulong To) _seeds = (1, 1);
    private TimeSpan? _hours;
    private bool _trace, _focused, _silent, _watched, _sleepy;
    private SafetyRuleChoice _without;
    private long _stories, _failed, _steps;
    private TimeSpan _virtual;

    public int Run(string[] arguments)
    {
        if (!TryRead(arguments))
        {
            output.WriteLine(Usage);
            return 2;
        }
        var began = time.GetTimestamp();
        for (var seed = _seeds.From; _hours is { } hours ? time.GetElapsedTime(began) < hours : seed <= _seeds.To; seed++)
        {
            Tell(seed);
            if (_without.Rule is not null && _failed > 0) break;
        }
        if (_hours is not null || _seeds.To > _seeds.From) Sum(time.GetElapsedTime(began));
        return _failed == 0 ? 0 : 1;
    }

    private void Tell(ulong seed)
    {
        var knobs = _sleepy ? WorldKnobs.Sleepy(seed) : _watched ? WorldKnobs.Watched(seed) : _silent ? WorldKnobs.Silent(seed)
            : WorldKnobs.FromSeed(seed, _focused ? true : null);
        if (_without.Rule is { } left) knobs = Drill.Against(left, knobs);
        var alone = _hours is null && _seeds.From == _seeds.To;
        if (alone) output.WriteLine($"seed {seed}: {knobs}");
        var counts = new RunCounts();
        try
        {
            var result = RandomStory.Run(seed, counts, _trace ? output.WriteLine : null, knobs);
            (_steps, _virtual) = (_steps + result.Steps, _virtual + result.Time);
            if (alone)
                output.WriteLine($"seed {seed}: ok, {result.Steps} steps, {result.Time.TotalSeconds:0.000} s of virtual time, "
                    + $"trace hash {result.Hash:x16}\n  {counts}");
        }
        catch (SimFailedException failure)
        {
            if (_failed++ < FailuresShownMax)
                output.WriteLine($"seed {seed} FAILED at commit {Commit}\n{(alone ? failure.Message : failure.Message.Split('\n')[0])}"
                    + $"\n  again: godwit-sim --seed {seed}{(_focused ? " --focused" : "")}{(_silent ? " --silent" : "")}"
                    + $"{(_watched ? " --watched" : "")}{(_sleepy ? " --sleepy" : "")}"
                    + $"{(_without.Rule is { } rule ? $" --without {rule}" : "")} --trace");
        }
        _counts.Add(counts);
        _stories++;
    }

    private void Sum(TimeSpan real)
    {
        output.WriteLine($"{_stories} stories, {_failed} failed; {_counts}");
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{_steps} steps, {_virtual.TotalHours:0.0} hours of virtual time in {real.TotalSeconds:0.0} s: "
            + $"{_stories / real.TotalSeconds:0.0} stories/s, {_counts.Moves / real.TotalSeconds:0.0} moves/s"));
    }

    /// <summary>As the SDK writes it behind the version; "unknown" outside of a repository.</summary>
    private static string Commit => typeof(CommandLine).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?
        .InformationalVersion.Split('+') is [_, var commit] ? commit : "unknown";

    private bool TryRead(string[] arguments)
    {
        for (var i = 0; i < arguments.Length; i++)
        {
            var value = i + 1 < arguments.Length ? arguments[i + 1] : "";
            var known = arguments[i] switch
            {
                "--seed" => ulong.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out _seeds.From)
                    && (_seeds.To = _seeds.From) == _seeds.From,
                "--from" => ulong.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out _seeds.From),
                "--seeds" => value.Split("..") is [var first, var last]
                    && ulong.TryParse(first, NumberStyles.None, CultureInfo.InvariantCulture, out _seeds.From)
                    && ulong.TryParse(last, NumberStyles.None, CultureInfo.InvariantCulture, out _seeds.To) && _seeds.From <= _seeds.To,
                "--hours" => TryHours(value),
                "--without" => _without.TryRead(value),
                "--trace" => _trace = true,
                "--focused" => _focused = true,
                "--silent" => _silent = true,
                "--watched" => _watched = true,
                "--sleepy" => _sleepy = true,
                _ => false,
            };
            if (!known) return false;
            if (arguments[i] is not ("--trace" or "--focused" or "--silent" or "--watched" or "--sleepy")) i++;
        }
        return arguments.Length > 0;
    }

    private bool TryHours(string text)
    {
        if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var hours)) return false;
        if (hours is not (> 0 and <= 1000)) return false;
        _hours = TimeSpan.FromHours(hours);
        return true;
    }

    private struct SafetyRuleChoice
    {
        public Core.SafetyRule? Rule { get; private set; }

        public bool TryRead(string name)
        {
            if (!Enum.TryParse<Core.SafetyRule>(name, out var rule) || !Enum.IsDefined(rule)) return false;
            Rule = rule;
            return true;
        }
    }
}
