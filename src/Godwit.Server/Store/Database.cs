using System.Data.Common;

namespace Godwit.Server.Store;

/// <summary>
/// One transaction at a time over a SQL database: what the stores need of SQLite, and later of PostgreSQL.
/// The body runs once, start to end, without awaiting; it is committed, and durable, when the task completes.
/// </summary>
public abstract class Database : IDisposable
{
    /// <summary>Raised after each commit that appended events, with the last one's number.</summary>
    public event Action<long>? EventsAppended;

    public abstract Task<T> RunAsync<T>(Func<Work, T> body);

    public Task RunAsync(Action<Work> body) => RunAsync(work =>
    {
        body(work);
        return true;
    });

    protected void Announce(Work work)
    {
        if (work.LastEvent is { } seq) EventsAppended?.Invoke(seq);
    }

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected abstract void Dispose(bool disposing);
}

/// <summary>An open transaction. SQL with <c>@name</c> parameters, in the words both databases know.</summary>
public sealed class Work(DbConnection connection, DbTransaction transaction)
{
    internal long? LastEvent { get; set; }

    /// <summary>Number of rows changed.</summary>
    public int Execute(string sql, params ReadOnlySpan<(string Name, object? Value)> values)
    {
        using var command = Command(sql, values);
        return command.ExecuteNonQuery();
    }

    public List<T> Query<T>(string sql, Func<DbDataReader, T> read, params ReadOnlySpan<(string Name, object? Value)> values)
    {
        using var command = Command(sql, values);
        using var reader = command.ExecuteReader();
        var rows = new List<T>();
        while (reader.Read()) rows.Add(read(reader));
        return rows;
    }

    /// <summary>The one number a query gives; 0 where it gives none.</summary>
    public long Number(string sql, params ReadOnlySpan<(string Name, object? Value)> values)
    {
        using var command = Command(sql, values);
        return command.ExecuteScalar() is { } value and not DBNull
            ? Convert.ToInt64(value, System.Globalization.CultureInfo.InvariantCulture) : 0;
    }

    private DbCommand Command(string sql, ReadOnlySpan<(string Name, object? Value)> values)
    {
        var command = connection.CreateCommand();
        command.Transaction = transaction;
        command.CommandText = sql;
        foreach (var (name, value) in values)
        {
            var parameter = command.CreateParameter();
            parameter.ParameterName = name;
            parameter.Value = value ?? DBNull.Value;
            command.Parameters.Add(parameter);
        }
        return command;
    }
}

/// <summary>The store could not keep its promise: nothing was changed, and nothing may be assumed.</summary>
public sealed class StoreFailedException(string why, Exception inner) : Exception(why, inner);
