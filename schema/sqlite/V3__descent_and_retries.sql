-- What a sub-agent's token inherits by which an ancestor of it can be revoked while it bears no mark of it itself:
-- `token/tok_1`, `holder/…`, `key/…`, `block/…`. A revocation of one of these reaches the token too.
CREATE TABLE descent (
    tie     TEXT NOT NULL,
    token   TEXT NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (tie, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX descent_token ON descent (token);

-- Answers that can be given once more to whoever repeats a request under the same Idempotency-Key: what was signed,
-- without the signature, and the rest of the answer. No usable token rests here.
CREATE TABLE retry (
    key        BLOB PRIMARY KEY CHECK (length(key) = 32),
    keep_until INTEGER NOT NULL,
    token      TEXT NOT NULL,
    block      BLOB NOT NULL,
    answer     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX retry_keep_until ON retry (keep_until);
