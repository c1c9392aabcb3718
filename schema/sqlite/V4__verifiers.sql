-- Running instances of registered verifiers: who they are, and how far they had come when that was last written down.
-- What they report every few seconds is kept in memory; a row follows on a change of contents or key document, and else
-- once in a minute.
CREATE TABLE verifier_instance (
    instance     TEXT PRIMARY KEY, -- the RFC 7638 thumbprint of its key
    key          BLOB NOT NULL CHECK (length(key) = 32),
    verifier     TEXT NOT NULL,
    proof        BLOB NOT NULL CHECK (length(proof) = 32), -- names what the policy demanded when the lease was given
    tools        TEXT NOT NULL, -- at that time: JSON
    label        TEXT,
    since        INTEGER NOT NULL,
    n            INTEGER NOT NULL, -- the number of its last message
    seq          INTEGER NOT NULL,
    contents     INTEGER NOT NULL,
    keys_version INTEGER NOT NULL,
    seen         INTEGER NOT NULL,
    silent       INTEGER, -- since when operators know that it is silent
    gone         INTEGER  -- when it said goodbye
) STRICT, WITHOUT ROWID;
