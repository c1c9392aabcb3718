-- Policy versions that are tried: for some workflows, or for all and watched. At most one is open, the one without an end.
CREATE TABLE policy_trial (
    n         INTEGER PRIMARY KEY,
    version   INTEGER NOT NULL REFERENCES policy_version (n),
    before    INTEGER NOT NULL REFERENCES policy_version (n), -- what it goes back to
    workflows TEXT,    -- JSON, a list of names; NULL: all of them, the version is in force
    at        INTEGER NOT NULL,
    until     INTEGER, -- how long it is watched; NULL: it is not
    operator  TEXT NOT NULL,
    ended     INTEGER,
    outcome   TEXT CHECK (outcome IN ('kept', 'activated', 'replaced', 'rolled_back')),
    CHECK ((ended IS NULL) = (outcome IS NULL))
) STRICT;
