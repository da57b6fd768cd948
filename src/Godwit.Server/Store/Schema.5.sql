-- Version 5: hosts that are proved to be off, and VMs that are started elsewhere because of it.

-- The hook that turns a host off, by name. The proof in force, by id: null once the host is back.
ALTER TABLE hosts ADD COLUMN fence TEXT;
ALTER TABLE hosts ADD COLUMN fenced TEXT;

ALTER TABLE vms ADD COLUMN ha INTEGER NOT NULL DEFAULT 0;

CREATE TABLE fence_proofs (
  id   TEXT PRIMARY KEY,
  seq  BIGINT NOT NULL UNIQUE,
  host TEXT NOT NULL,
  doc  TEXT NOT NULL
);

-- VMs that left a fenced host without its knowing, and the epoch of their new home: it is told before it is trusted again.
CREATE TABLE departures (
  host  TEXT NOT NULL,
  vm    TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  spec  TEXT NOT NULL,
  PRIMARY KEY (host, vm)
);

-- `answered` is set once its host answered after it: what failed then may be tried again.
CREATE TABLE recoveries (
  id       TEXT PRIMARY KEY,
  seq      BIGINT NOT NULL UNIQUE,
  host     TEXT NOT NULL,
  ended    INTEGER NOT NULL,
  answered INTEGER NOT NULL,
  doc      TEXT NOT NULL
);
CREATE UNIQUE INDEX recoveries_one_active ON recoveries (host) WHERE ended = 0;
