-- Applied files are never edited: a change is a new file with the next number.
-- Times are milliseconds (at, created) or seconds (issued, expires, before, until, keep_until) since 1970.
-- Keys rise with time where they can, so that inserts append; a second index costs more than it saves.

PRAGMA application_id = 1396855364; -- "SBRD"

-- What this store is. One row, written last by `init`: without it the store is not initialised.
CREATE TABLE meta (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    kind        TEXT NOT NULL CHECK (kind IN ('dev', 'broker')),
    issuer      TEXT NOT NULL,
    created     INTEGER NOT NULL,
    hmac_secret BLOB NOT NULL CHECK (length(hmac_secret) = 32)
) STRICT;

-- Assertions that were used. Kept until nobody would accept them any more.
CREATE TABLE replay (
    keep_until INTEGER NOT NULL,
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (keep_until, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    id         TEXT PRIMARY KEY, -- a UUID version 7: rises with time
    principal  TEXT NOT NULL,
    workflow   TEXT,
    intent     TEXT,
    task       TEXT,
    issued     INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    holder     TEXT,
    policy     INTEGER NOT NULL,
    exempt     INTEGER NOT NULL CHECK (exempt IN (0, 1)), -- not reached by a revocation of everything
    selectors  TEXT NOT NULL, -- all that can revoke it: JSON, [[kind, value], …]
    body       BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What the writer must know about all tokens without reading them. One row; replay_floor: assertions
-- that end before it may have been forgotten.
CREATE TABLE writer_state (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    latest_issued  INTEGER NOT NULL,
    latest_expires INTEGER NOT NULL,
    longest_life   INTEGER NOT NULL,
    replay_floor   INTEGER NOT NULL
) STRICT;
INSERT INTO writer_state VALUES (1, 0, 0, 0, 0);

-- A task id belongs to whoever used it first.
CREATE TABLE task (
    task      TEXT PRIMARY KEY,
    principal TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE revocation (
    kind     TEXT NOT NULL,
    value    TEXT NOT NULL,
    before   INTEGER NOT NULL,
    until    INTEGER, -- when it may leave the signed list; the broker's own refusal stays
    seq      INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    operator TEXT NOT NULL,
    set_at   INTEGER NOT NULL,
    note     TEXT NOT NULL,
    listed   INTEGER NOT NULL CHECK (listed IN (0, 1)),
    PRIMARY KEY (kind, value)
) STRICT, WITHOUT ROWID;

-- Narrowed copies of tokens, by the first 16 bytes of SHA-256 of the block's signature.
CREATE TABLE revoked_block (
    hash     BLOB PRIMARY KEY CHECK (length(hash) = 16),
    token    TEXT NOT NULL,
    until    INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    set_at   INTEGER NOT NULL,
    listed   INTEGER NOT NULL CHECK (listed IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX revoked_block_token ON revoked_block (token);

-- One row. Every change and every signed head takes the next seq from here, in its own transaction.
CREATE TABLE revocation_state (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    seq             INTEGER NOT NULL,
    changed_seq     INTEGER NOT NULL,
    global          INTEGER NOT NULL, -- tokens issued before it are dead; 0 = none
    global_seq      INTEGER NOT NULL,
    global_reason   TEXT NOT NULL,
    global_operator TEXT NOT NULL,
    global_set_at   INTEGER NOT NULL,
    global_note     TEXT NOT NULL,
    head            BLOB,
    head_seq        INTEGER NOT NULL,
    head_issued     INTEGER NOT NULL
) STRICT;
INSERT INTO revocation_state VALUES (1, 0, 0, 0, 0, '', '', 0, '', NULL, 0, 0);

CREATE TABLE policy_version (
    n      INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    bundle BLOB NOT NULL,
    author TEXT NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

-- Which version was active when; the last row is.
CREATE TABLE policy_active (
    n        INTEGER PRIMARY KEY,
    version  INTEGER NOT NULL REFERENCES policy_version (n),
    at       INTEGER NOT NULL,
    operator TEXT NOT NULL,
    action   TEXT NOT NULL CHECK (action IN ('activate', 'rollback'))
) STRICT;

CREATE TABLE audit_entry (
    idx  INTEGER PRIMARY KEY,
    at   INTEGER NOT NULL,
    body BLOB NOT NULL CHECK (length(body) <= 65535),
    leaf BLOB NOT NULL CHECK (length(leaf) = 32) -- SHA-256(0x00 || body), RFC 6962
) STRICT;

-- Decision ids as text, trace ids as 16 bytes.
CREATE TABLE audit_key (
    key ANY NOT NULL,
    idx INTEGER NOT NULL,
    PRIMARY KEY (key, idx)
) STRICT, WITHOUT ROWID;
