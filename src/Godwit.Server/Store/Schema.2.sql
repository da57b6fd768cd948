-- Version 2: who may use the API, and the record of who did.

CREATE TABLE users (
  name       TEXT PRIMARY KEY,
  role       TEXT NOT NULL,
  password   TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL
);

-- Only a token's SHA-256. With a user: made by logging in, and of that user's role; else of its own.
CREATE TABLE tokens (
  id           TEXT PRIMARY KEY,
  hash         TEXT NOT NULL UNIQUE,
  name         TEXT UNIQUE,
  user_name    TEXT REFERENCES users (name),
  role         TEXT,
  created_at   BIGINT NOT NULL,
  created_by   TEXT NOT NULL,
  expires_at   BIGINT,
  last_used_at BIGINT
);
CREATE INDEX tokens_by_user ON tokens (user_name);

-- Only ever appended to. `prior` is the hash of the row before; `hash` covers it and every other column.
CREATE TABLE audit (
  seq     BIGINT PRIMARY KEY,
  at      BIGINT NOT NULL,
  request TEXT NOT NULL,
  actor   TEXT NOT NULL,
  role    TEXT,
  source  TEXT NOT NULL,
  token   TEXT,
  action  TEXT NOT NULL,
  object  TEXT NOT NULL,
  result  TEXT NOT NULL,
  detail  TEXT,
  prior   TEXT NOT NULL,
  hash    TEXT NOT NULL
);

-- The newest row there ever was, one row: the next one follows it, also where rows were taken away behind our back.
CREATE TABLE audit_head (
  id   INTEGER PRIMARY KEY,
  seq  BIGINT NOT NULL,
  hash TEXT NOT NULL
);
