-- What the log's checkpoints are signed under, after restores that lost entries which may have been signed: one origin never has
-- two roots of one size. The highest n counts; without a row it is the first origin, which follows from the issuer.
CREATE TABLE audit_origin (
    n      INTEGER PRIMARY KEY,
    origin TEXT NOT NULL UNIQUE,
    kept   INTEGER NOT NULL, -- the log's size in the backup: checkpoints of no more entries bear the origin before
    at     INTEGER NOT NULL
) STRICT;
