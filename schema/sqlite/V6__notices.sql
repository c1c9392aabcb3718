-- What operators are to be told over the webhook and have not been told yet. Ids rise with time.
CREATE TABLE notice (
    id     TEXT PRIMARY KEY,
    kind   TEXT NOT NULL,
    weight INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    body   BLOB NOT NULL
) STRICT, WITHOUT ROWID;
