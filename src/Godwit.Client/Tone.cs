namespace Godwit.Client;

/// <summary>What a text means to the reader; a terminal and a page pick the colour, and drop it where there is none.</summary>
public enum Tone { Plain, Strong, Dim, Good, Warn, Bad }
