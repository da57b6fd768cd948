-- Version 4: log-ins through an issuer. Who it was, for tokens that such a log-in made; their role is what it was then.
ALTER TABLE tokens ADD COLUMN subject TEXT;
CREATE INDEX tokens_by_subject ON tokens (subject);
