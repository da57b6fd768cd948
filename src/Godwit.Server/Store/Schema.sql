-- Godwit's records. Portable SQL (SQLite now, PostgreSQL when one machine is not enough): text, 64-bit integers, no
-- triggers, no dialect. This is version 1; Schema.N.sql turns version N-1 into N, in new and old stores alike.
-- Times are Unix milliseconds. `doc` is JSON; a column repeats a part of it only to be searched.

CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE hosts (
  id           TEXT PRIMARY KEY,
  endpoint     TEXT NOT NULL,
  reachable    INTEGER NOT NULL,
  cordoned     INTEGER NOT NULL,
  memory_bytes BIGINT NOT NULL,
  facts        TEXT NOT NULL
);

-- Hosts whose pools of one name were proved (by nonce) to be the same directory carry the same share.
CREATE TABLE pool_shares (
  host  TEXT NOT NULL REFERENCES hosts (id),
  pool  TEXT NOT NULL,
  share TEXT NOT NULL,
  PRIMARY KEY (host, pool)
);

CREATE TABLE vms (
  id           TEXT PRIMARY KEY,
  name         TEXT NOT NULL UNIQUE,
  owner        TEXT NOT NULL REFERENCES hosts (id),
  epoch        BIGINT NOT NULL,
  state        TEXT NOT NULL,
  rev          BIGINT NOT NULL,
  memory_bytes BIGINT NOT NULL,
  uid          BIGINT NOT NULL UNIQUE,
  template     TEXT,
  saved_file   TEXT,
  created_at   BIGINT NOT NULL,
  spec         TEXT NOT NULL
);
CREATE INDEX vms_by_owner ON vms (owner);
CREATE INDEX vms_by_template ON vms (template);

-- A network card's address is given out once in a cluster.
CREATE TABLE nics (
  mac TEXT PRIMARY KEY,
  vm  TEXT NOT NULL REFERENCES vms (id)
);

CREATE TABLE templates (
  name       TEXT PRIMARY KEY,
  pool       TEXT NOT NULL,
  share      TEXT NOT NULL,
  file       TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  doc        TEXT NOT NULL
);

-- What a client's idempotency key was first used for.
CREATE TABLE requests (
  request_key TEXT PRIMARY KEY,
  seq         BIGINT NOT NULL UNIQUE,
  fingerprint TEXT NOT NULL
);

-- Everything being done with a VM, moves too: at most one at a time.
CREATE TABLE operations (
  id          TEXT PRIMARY KEY,
  seq         BIGINT NOT NULL UNIQUE,
  kind        TEXT NOT NULL,
  vm          TEXT,
  ended       INTEGER NOT NULL,
  request_key TEXT UNIQUE,
  doc         TEXT NOT NULL
);
CREATE UNIQUE INDEX operations_one_active ON operations (vm) WHERE ended = 0;

CREATE TABLE migrations (
  id               TEXT PRIMARY KEY,
  seq              BIGINT NOT NULL UNIQUE,
  vm               TEXT NOT NULL,
  phase            TEXT NOT NULL,
  ended            INTEGER NOT NULL,
  cancel_requested INTEGER NOT NULL,
  doc              TEXT NOT NULL
);
CREATE INDEX migrations_by_vm ON migrations (vm);
CREATE INDEX migrations_unfinished ON migrations (seq) WHERE ended = 0;

-- RAM set aside on a host for an operation that is not finished.
CREATE TABLE reservations (
  operation TEXT PRIMARY KEY,
  vm        TEXT NOT NULL,
  host      TEXT NOT NULL,
  bytes     BIGINT NOT NULL
);

CREATE TABLE events (
  seq  BIGINT PRIMARY KEY,
  at   BIGINT NOT NULL,
  kind TEXT NOT NULL,
  text TEXT NOT NULL,
  vm   TEXT,
  host TEXT,
  move TEXT
);
