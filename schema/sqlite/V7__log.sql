-- The Merkle tree over the audit log (RFC 6962), in full tiles of 256 hashes as C2SP tlog-tiles cuts it. Level 0 holds the
-- leaves, level L the roots of 256 tiles each of level L - 1. The newest, partial tiles are not kept: they follow from the
-- entries and the roots. A tile stays when its entries are pruned, so that every proof stays too.
CREATE TABLE audit_tile (
    level  INTEGER NOT NULL,
    n      INTEGER NOT NULL,
    root   BLOB NOT NULL CHECK (length(root) = 32), -- before the hashes, so that reading it reads no more
    hashes BLOB NOT NULL CHECK (length(hashes) = 8192),
    PRIMARY KEY (level, n)
) STRICT;

-- What the audit key signed: so many entries have this root. Also tells when the log had how many entries.
CREATE TABLE audit_checkpoint (
    size INTEGER PRIMARY KEY,
    at   INTEGER NOT NULL,
    note BLOB NOT NULL
) STRICT;
CREATE INDEX audit_checkpoint_at ON audit_checkpoint (at);
