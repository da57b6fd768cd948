-- Version 7: hosts being emptied, and getting back what was theirs; requests that became part of another's operation.
CREATE TABLE drains (
  id    TEXT PRIMARY KEY,
  seq   BIGINT NOT NULL UNIQUE,
  host  TEXT NOT NULL,
  ended INTEGER NOT NULL,
  doc   TEXT NOT NULL
);
CREATE INDEX drains_by_host ON drains (host, seq);
CREATE UNIQUE INDEX drains_one_active ON drains (host) WHERE ended = 0;

CREATE TABLE joined_requests (
  request_key TEXT PRIMARY KEY,
  seq         BIGINT NOT NULL UNIQUE,
  operation   TEXT NOT NULL
);

-- Known to share at least what pool_shares says; perhaps more. Hosts of older stores are proved once more.
ALTER TABLE hosts ADD COLUMN pools_unproved INTEGER NOT NULL DEFAULT 1;

-- Loads of hosts and VMs (`host/NAME`, `vm/ID`) over spans of 300 s (a day of them) and 3600 s (a month).
CREATE TABLE loads (
  thing     TEXT NOT NULL,
  span      BIGINT NOT NULL,
  at        BIGINT NOT NULL,
  cpu_mean  DOUBLE PRECISION NOT NULL,
  cpu_p95   DOUBLE PRECISION NOT NULL,
  cpu_max   DOUBLE PRECISION NOT NULL,
  wait_mean DOUBLE PRECISION NOT NULL,
  memory    DOUBLE PRECISION NOT NULL,
  network   DOUBLE PRECISION NOT NULL,
  disk      DOUBLE PRECISION NOT NULL,
  PRIMARY KEY (thing, span, at)
);
CREATE INDEX loads_by_time ON loads (span, at);
