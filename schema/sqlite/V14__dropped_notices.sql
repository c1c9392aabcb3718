-- What operators were to be told over the webhook and never were: the newest of it. Times are milliseconds.
CREATE TABLE dropped_notice (
    id      TEXT PRIMARY KEY,
    kind    TEXT NOT NULL,
    at      INTEGER NOT NULL, -- when it was told
    dropped INTEGER NOT NULL,
    why     TEXT NOT NULL CHECK (why IN ('too_old', 'gone', 'no_room')),
    body    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX dropped_notice_newest ON dropped_notice (dropped, id);
