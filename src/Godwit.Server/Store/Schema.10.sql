-- Version 10: the balancer's settings (one row), and what it recommended, did, and gained.
CREATE TABLE balancer (
  id  INTEGER PRIMARY KEY CHECK (id = 1),
  doc TEXT NOT NULL
);
CREATE TABLE recommendations (
  id   TEXT PRIMARY KEY,
  seq  BIGINT NOT NULL UNIQUE,
  open INTEGER NOT NULL,
  doc  TEXT NOT NULL
);
