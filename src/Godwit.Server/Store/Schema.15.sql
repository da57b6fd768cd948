-- Version 15: memory written anew, in bytes a second, beside the other loads of the past.
ALTER TABLE loads ADD COLUMN dirty DOUBLE PRECISION NOT NULL DEFAULT 0;
