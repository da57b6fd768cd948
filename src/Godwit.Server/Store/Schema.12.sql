-- Version 12: what the newest link test between two hosts found.
CREATE TABLE link_tests (
  source TEXT NOT NULL,
  target TEXT NOT NULL,
  doc    TEXT NOT NULL,
  PRIMARY KEY (source, target)
);
