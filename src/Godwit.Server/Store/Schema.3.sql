-- Version 3: how hosts come in, and how they are kept out.

-- Only the SHA-256 of a token's secret. With a host: for that name alone.
CREATE TABLE join_tokens (
  id         TEXT PRIMARY KEY,
  hash       TEXT NOT NULL,
  host       TEXT,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at    BIGINT,
  used_by    TEXT
);

-- Hosts that have their certificate and were not reached yet: dialled until then.
CREATE TABLE joining_hosts (
  host     TEXT PRIMARY KEY,
  endpoint TEXT NOT NULL,
  until    BIGINT NOT NULL
);

-- Certificates of a host that began to hold until a moment (Unix seconds, as in X.509) are refused. Forgotten once all of them have expired.
CREATE TABLE denied_hosts (
  host        TEXT PRIMARY KEY,
  began_until BIGINT NOT NULL,
  forget_at   BIGINT NOT NULL
);
