-- Version 11: how each host is turned off and on, and where it is between the two; the cluster's wishes about it (one row).
ALTER TABLE hosts ADD COLUMN power TEXT;
CREATE TABLE power (
  id  INTEGER PRIMARY KEY CHECK (id = 1),
  doc TEXT NOT NULL
);
