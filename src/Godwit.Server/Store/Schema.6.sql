-- Version 6: VMs whose record is not to be believed, and hosts that were silent when the store was rebuilt.

-- Nothing is ordered for these until it is settled whose they are. `doc`: why, a list of reasons.
CREATE TABLE frozen_vms (
  vm    TEXT PRIMARY KEY REFERENCES vms (id),
  since BIGINT NOT NULL,
  doc   TEXT NOT NULL
);

-- Hosts that may know VMs which this store does not: they are asked for everything when they answer.
CREATE TABLE awaited_hosts (
  host  TEXT PRIMARY KEY,
  since BIGINT NOT NULL
);
