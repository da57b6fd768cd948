-- Version 14: templates have versions; what there was is each one's first. No number is given twice while its name lives.
-- And what lies in a VM's disks: its snapshots, a JSON list; NULL: none.
CREATE TABLE template_versions (
  name       TEXT NOT NULL,
  version    BIGINT NOT NULL,
  pool       TEXT NOT NULL,
  share      TEXT NOT NULL,
  file       TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  doc        TEXT NOT NULL,
  PRIMARY KEY (name, version)
);
INSERT INTO template_versions (name, version, pool, share, file, created_at, doc)
  SELECT name, 1, pool, share, file, created_at, doc FROM templates;
CREATE TABLE template_names (
  name         TEXT PRIMARY KEY,
  last_version BIGINT NOT NULL
);
INSERT INTO template_names (name, last_version) SELECT name, 1 FROM templates;
DROP TABLE templates;
ALTER TABLE vms ADD COLUMN template_version BIGINT;
ALTER TABLE vms ADD COLUMN snapshots TEXT;
UPDATE vms SET template_version = 1 WHERE template IS NOT NULL;
