-- What a decision depended on and may be erased: the claims and the arguments that were asked for, in JSON, beside the salt
-- that the entry's hash of them was made with. The log is proved without it.
CREATE TABLE audit_input (
    idx     INTEGER PRIMARY KEY, -- the entry's place
    subject BLOB NOT NULL CHECK (length(subject) = 32), -- SHA-256 of the identity's `sub`
    salt    BLOB NOT NULL CHECK (length(salt) = 16),
    body    BLOB NOT NULL
) STRICT;
CREATE INDEX audit_input_subject ON audit_input (subject);
