using System.Text;

namespace Godwit.Cli.Consoles;

/// <summary>A password, typed without being shown; from a pipe, one line.</summary>
internal static class SecretPrompt
{
    private const int CharsMax = 256;

    public static string? Read(string prompt)
    {
        if (Console.IsInputRedirected) return Console.In.ReadLine();
        Console.Error.Write(prompt);
        var typed = new StringBuilder();
        while (true)
        {
            var key = Console.ReadKey(intercept: true);
            if (key.Key == ConsoleKey.Enter) break;
            if (key.Key == ConsoleKey.Backspace) typed.Length = Math.Max(0, typed.Length - 1);
            else if (!char.IsControl(key.KeyChar) && typed.Length < CharsMax) typed.Append(key.KeyChar);
        }
        Console.Error.WriteLine();
        return typed.ToString();
    }
}
