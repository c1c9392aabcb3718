-- Every key document that was ever published, in the bytes that the offline root key signed. Versions only rise: a verifier
-- that knows one never takes an earlier one.
CREATE TABLE key_document (
    version INTEGER PRIMARY KEY,
    signed  BLOB NOT NULL,
    by      TEXT NOT NULL, -- the operator who activated it; `file` when the broker found it at its start
    at      INTEGER NOT NULL
) STRICT;

-- The break-glass head with the highest sequence that was seen. One row; an older head never comes back.
CREATE TABLE break_glass (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    seq    INTEGER NOT NULL,
    global INTEGER NOT NULL, -- tokens issued before it are dead; 0 = none
    signed BLOB NOT NULL,
    at     INTEGER NOT NULL
) STRICT;
