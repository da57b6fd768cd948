using System.Text;
using Godwit.Core.Vms;

namespace Godwit.Client;

/// <summary>The words of the code as the API, the CLI and the metrics say them: RolledBack is "rolled-back".</summary>
public static class Words
{
    public static string Of<TEnum>(TEnum value) where TEnum : struct, Enum
    {
        if (value is Accelerator accelerator) return accelerator == Accelerator.Kvm ? "KVM" : "TCG";

        var word = new StringBuilder();
        foreach (var letter in value.ToString())
        {
            if (char.IsUpper(letter) && word.Length > 0) word.Append('-');
            word.Append(char.ToLowerInvariant(letter));
        }
        return word.ToString();
    }

    /// <summary>"1 pass", "3 passes".</summary>
    public static string Counted(long count, string one, string? many = null) =>
        $"{Amounts.Count(count)} {(count == 1 ? one : many ?? one + "s")}";
}
