-- Requests that wait for a person, and what became of them. Times are milliseconds. Ids rise with time.
CREATE TABLE approval (
    id        TEXT PRIMARY KEY,
    principal TEXT NOT NULL,
    subject   BLOB NOT NULL CHECK (length(subject) = 32), -- SHA-256 of the identity's `sub`
    same      BLOB NOT NULL CHECK (length(same) = 32),    -- equal for equal requests of one client and key
    state     TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'denied', 'expired', 'cancelled', 'redeemed')),
    asked     INTEGER NOT NULL,
    due       INTEGER NOT NULL, -- when the next group is asked, or it expires
    expires   INTEGER NOT NULL,
    digest    TEXT NOT NULL,    -- of what is shown
    shown     BLOB NOT NULL,    -- JSON
    request   BLOB NOT NULL,    -- JSON: what else it is decided and answered by
    closed    INTEGER,
    outcome   BLOB,             -- JSON: by whom, why, which tokens
    CHECK ((closed IS NULL) = (state IN ('pending', 'approved')))
) STRICT;
CREATE UNIQUE INDEX approval_same ON approval (same) WHERE closed IS NULL;
CREATE INDEX approval_principal ON approval (principal) WHERE closed IS NULL;
CREATE INDEX approval_taken_back ON approval (principal, closed) WHERE state = 'cancelled';
CREATE INDEX approval_due ON approval (due, id) WHERE closed IS NULL;
CREATE INDEX approval_closed ON approval (closed, id) WHERE closed IS NOT NULL;
CREATE INDEX approval_subject ON approval (subject);

-- Votes for what is shown. Those for what was shown before it was narrowed are gone.
CREATE TABLE approval_vote (
    approval TEXT NOT NULL,
    operator TEXT NOT NULL,
    at       INTEGER NOT NULL,
    marks    TEXT NOT NULL, -- JSON: what tells two names of one person
    note     TEXT,
    PRIMARY KEY (approval, operator)
) STRICT, WITHOUT ROWID;

-- Tokens that are good once, and which attempt has the use. Seconds.
CREATE TABLE one_shot (
    token       TEXT PRIMARY KEY,
    tool        TEXT NOT NULL,
    verbs       TEXT NOT NULL, -- JSON: of which verbs
    args_sha256 BLOB CHECK (length(args_sha256) = 32), -- NULL: of whatever arguments the token allows
    expires     INTEGER NOT NULL,
    attempt     TEXT,          -- NULL: unused
    verifier    TEXT,
    instance    TEXT,
    at          INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX one_shot_expires ON one_shot (expires);

-- What was taken out of a grant's budget: by an approval that is not fetched yet (apr_…), or by a token (tok_…).
-- Milliseconds; given back where the token expired unused and its verifiers claim uses at the broker.
CREATE TABLE budget_charge (
    budget  BLOB NOT NULL CHECK (length(budget) = 32), -- names the budget: its principal, tool, verbs and argument
    at      INTEGER NOT NULL,
    by      TEXT NOT NULL,
    amount  INTEGER NOT NULL CHECK (amount >= 0),
    ends    INTEGER NOT NULL, -- when it leaves the period: a token's end and the period after it
    expires INTEGER NOT NULL, -- when the token, or the approval, expires
    PRIMARY KEY (budget, at, by)
) STRICT, WITHOUT ROWID;
CREATE INDEX budget_charge_by ON budget_charge (by);
CREATE INDEX budget_charge_ends ON budget_charge (ends);
