-- Version 9: words that placement rules know VMs and hosts by (parted by spaces), pins, priorities, the rules, the policy (one row).
ALTER TABLE vms ADD COLUMN tags TEXT NOT NULL DEFAULT '';
ALTER TABLE vms ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vms ADD COLUMN priority INTEGER NOT NULL DEFAULT 500;
ALTER TABLE hosts ADD COLUMN tags TEXT NOT NULL DEFAULT '';
CREATE TABLE placement_rules (
  name TEXT PRIMARY KEY,
  doc  TEXT NOT NULL
);
CREATE TABLE placement_policy (
  id  INTEGER PRIMARY KEY CHECK (id = 1),
  doc TEXT NOT NULL
);
