namespace Godwit.LabTests;

internal static class Placeholder;
