//! What the console can do, and with what the admin API and the command line do the same.

/// A route of the console, the routes of the admin API, and the commands.
pub type Ability = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Every ability. A test holds it against the routes, the API's description and the commands.
pub const ABILITIES: &[Ability] = &[
    ("GET /console/approvals", &["GET /api/v1/approvals"], &["approvals list", "approvals watch"]),
    ("GET /console/approvals/{id}", &["GET /api/v1/approvals/{id}"], &["approvals show"]),
    (
        "POST /console/approvals/{id}/approve",
        &["POST /api/v1/approvals/{id}/approve"],
        &["approvals approve"],
    ),
    ("POST /console/approvals/{id}/deny", &["POST /api/v1/approvals/{id}/deny"], &["approvals deny"]),
    ("GET /console/switch", &["GET /api/v1/revocations"], &["revocations list"]),
    ("GET /console/switch/revoke", &["POST /api/v1/revocations"], &["revoke"]),
    ("POST /console/switch/revoke", &["POST /api/v1/revocations"], &["revoke"]),
    ("GET /console/switch/lift", &["POST /api/v1/revocations/lift"], &["lift"]),
    ("POST /console/switch/lift", &["POST /api/v1/revocations/lift"], &["lift"]),
    ("GET /console/activity", &["GET /api/v1/audit"], &["audit tail"]),
    ("GET /console/activity/{id}", &["GET /api/v1/audit/{id}"], &["audit show"]),
    ("GET /console/switch/changes/{seq}", &["GET /api/v1/revocations/status"], &["revocations status"]),
    ("GET /console/policy", &["GET /api/v1/policy"], &["policy history"]),
    ("GET /console/policy/{n}", &["GET /api/v1/policy/versions/{n}"], &["policy diff"]),
    ("POST /console/policy/{n}/activate", &["POST /api/v1/policy/activate"], &["policy activate"]),
    ("POST /console/policy/rollback", &["POST /api/v1/policy/rollback"], &["policy rollback"]),
    ("GET /console/sessions", &["GET /api/v1/console/sessions"], &["console sessions"]),
    ("POST /console/sessions/{id}/end", &["DELETE /api/v1/console/sessions/{id}"], &["console sign-out"]),
    ("GET /console/workflows", &["GET /api/v1/workflows"], &["workflows list"]),
    (
        "GET /console/workflows/{name}",
        &["GET /api/v1/workflows/{name}", "GET /api/v1/report"],
        &["workflows show", "report rights"],
    ),
    ("GET /console/health", &["GET /api/v1/health"], &["health"]),
    (
        "GET /console/signals",
        &["GET /api/v1/report", "GET /api/v1/verifiers/ages"],
        &["report segments", "report approvals", "report latency", "revocations ages"],
    ),
];

/// What only pages need: the way in and out, and what pages are made of.
pub const OWN: &[&str] = &[
    "GET /console",
    "GET /console/{*path}",
    "GET /console/assets/{name}",
    "GET /console/link/{code}",
    "POST /console/link/{code}",
    "GET /console/oidc",
    "GET /console/oidc/callback",
    "GET /console/sign-in",
    "POST /console/sign-out",
];
