//! Packages and modules know only those that the design lets them know.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Which packages of this repository a package may depend on; for tests and fuzzing any.
const PACKAGES: [(&str, &[&str]); 5] = [
    ("shortbread-protocol", &[]),
    ("shortbread-verifier", &["shortbread-protocol"]),
    ("shortbread-broker", &["shortbread-protocol", "shortbread-verifier"]),
    ("shortbread", &["shortbread-protocol", "shortbread-verifier", "shortbread-broker"]),
    ("shortbread-tests", &["shortbread-protocol", "shortbread-verifier", "shortbread-broker", "shortbread"]),
];

/// What a tool service must not get with the verifier.
const NOT_EMBEDDED: [&str; 9] =
    ["tokio", "hyper", "axum", "rusqlite", "biscuit-auth", "reqwest", "jsonwebtoken", "tower", "utoipa"];

/// Which modules of the broker a module may import, from the bottom up. `http` is at the top: nobody's but that of
/// `telemetry`, which serves metrics with the same listener.
const MODULES: [(&str, &[&str]); 52] = [
    ("config", &[]),
    ("delimited", &[]),
    ("interval", &[]),
    ("private", &[]),
    ("text", &[]),
    ("story", &["text"]),
    ("words", &[]),
    ("plot", &["interval", "text"]),
    ("policy", &["delimited"]),
    ("report", &["interval"]),
    ("signals", &["report"]),
    ("signer", &[]),
    ("store", &[]),
    ("proof", &[]),
    ("proofs", &["telemetry"]),
    ("breaker", &["config"]),
    ("notices", &["breaker", "config", "identity", "private", "store"]),
    ("otel", &["config", "identity", "private", "store"]),
    ("audit", &["store"]),
    ("keyring", &["audit", "config", "private", "signer", "store"]),
    ("identity", &["breaker", "delimited", "policy"]),
    ("limits", &["config", "policy"]),
    ("cases", &["delimited", "identity", "interval", "mint", "policy", "signer"]),
    ("mint", &["policy", "signer"]),
    ("instances", &["delimited", "policy", "store"]),
    ("sessions", &[]),
    ("approval", &["cases", "policy", "store"]),
    ("oidc", &["approval", "config", "identity", "policy", "private"]),
    ("activation", &["audit", "cases", "keyring", "policy", "store"]),
    ("watch", &["activation", "interval", "policy", "store"]),
    ("publish", &["keyring", "store", "telemetry"]),
    ("break_glass", &["audit", "keyring", "store"]),
    ("tripwire", &["audit", "notices", "policy", "store"]),
    ("log", &["config", "keyring", "notices", "store"]),
    (
        "broker",
        &[
            "activation",
            "approval",
            "audit",
            "break_glass",
            "breaker",
            "config",
            "identity",
            "instances",
            "keyring",
            "limits",
            "log",
            "notices",
            "oidc",
            "otel",
            "proofs",
            "publish",
            "sessions",
            "signals",
            "store",
            "tripwire",
            "watch",
        ],
    ),
    (
        "exchange",
        &[
            "activation",
            "approval",
            "audit",
            "broker",
            "cases",
            "delimited",
            "identity",
            "mint",
            "notices",
            "policy",
            "proofs",
            "signer",
            "store",
            "tripwire",
            "watch",
        ],
    ),
    ("approvals", &["approval", "broker", "cases", "notices", "policy", "revoke", "store"]),
    ("inputs", &["broker", "cases", "policy", "store"]),
    ("rollout", &["activation", "broker", "cases", "inputs", "notices", "policy", "store", "watch"]),
    ("revoke", &["broker", "exchange", "notices", "policy", "publish", "store"]),
    ("rotation", &["audit", "broker", "keyring", "notices", "publish", "store"]),
    ("workflows", &["activation", "broker", "policy", "publish", "store"]),
    (
        "health",
        &[
            "breaker",
            "broker",
            "identity",
            "log",
            "publish",
            "rollout",
            "rotation",
            "store",
            "text",
            "verifiers",
        ],
    ),
    ("reports", &["broker", "cases", "policy", "report", "signals", "store"]),
    ("introspect", &["broker", "exchange", "policy", "revoke", "store"]),
    (
        "verifiers",
        &[
            "audit",
            "broker",
            "exchange",
            "identity",
            "instances",
            "limits",
            "notices",
            "policy",
            "store",
            "telemetry",
        ],
    ),
    ("decisions", &["broker", "exchange", "policy", "store", "telemetry", "tripwire", "verifiers"]),
    ("setup", &["activation", "audit", "broker", "config", "keyring", "store", "policy"]),
    ("telemetry", &["broker", "exchange", "http"]),
    (
        "console",
        &[
            "activation",
            "approval",
            "approvals",
            "audit",
            "broker",
            "exchange",
            "health",
            "limits",
            "oidc",
            "plot",
            "policy",
            "publish",
            "report",
            "reports",
            "revoke",
            "rollout",
            "sessions",
            "signals",
            "store",
            "story",
            "text",
            "verifiers",
            "workflows",
            "words",
        ],
    ),
    (
        "http",
        &[
            "console",
            "sessions",
            "activation",
            "approvals",
            "audit",
            "broker",
            "config",
            "decisions",
            "exchange",
            "health",
            "inputs",
            "introspect",
            "log",
            "policy",
            "proofs",
            "publish",
            "report",
            "reports",
            "revoke",
            "rollout",
            "rotation",
            "store",
            "telemetry",
            "limits",
            "verifiers",
            "workflows",
        ],
    ),
    ("lib", &[]),
];

/// Modules of the standard library that touch the machine.
const OUTSIDE: [&str; 8] =
    ["std::fs", "std::net", "std::env", "std::process", "std::thread", "std::io::stdin", "std::os", "tokio"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository").to_owned()
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(args).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Every source file below a folder of `src`, by its path in it, without its unit tests.
fn sources(package: &str) -> Vec<(PathBuf, String)> {
    let base = root().join("src").join(package);
    let (mut folders, mut found) = (vec![base.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let beside =
                ["tests", "examples", "target", "tests.rs", "testing.rs", "fixture.rs", "never_wider.rs"];
            if beside.contains(&name) {
                continue;
            } else if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).expect("a file");
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
                found.push((path.strip_prefix(&base).expect("below it").to_owned(), code));
            }
        }
    }
    assert!(!found.is_empty(), "{package} has no sources");
    found
}

/// The lines that are code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

/// What follows each mention of a path's beginning, up to the end of the name.
fn mentions<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let after = code(text).flat_map(move |line| line.split(prefix).skip(1));
    after.filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
}

#[test]
fn packages_depend_on_those_below_them_alone() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), PACKAGES.len(), "a package that this test does not know");
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let (_, allowed) = PACKAGES.iter().find(|(known, _)| *known == name).expect(name);
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        let ours = dependencies.iter().filter(|dependency| dependency["path"].is_string());
        for dependency in ours {
            let on = dependency["name"].as_str().expect("a name");
            assert!(allowed.contains(&on), "{name} must not depend on {on}");
        }
    }
}

#[test]
fn code_names_no_package_above_it() {
    for (folder, above) in [
        ("protocol", &["shortbread_verifier", "shortbread_broker", "shortbread_cli"][..]),
        ("verifier", &["shortbread_broker", "shortbread_cli"][..]),
        ("broker", &["shortbread_cli", "shortbread_tests"][..]),
    ] {
        for (path, text) in sources(folder) {
            let bad = code(&text).find(|line| above.iter().any(|package| line.contains(package)));
            assert_eq!(bad, None, "src/{folder}/{}", path.display());
        }
    }
}

#[test]
fn the_protocol_touches_nothing_outside() {
    for (path, text) in sources("protocol") {
        let bad = code(&text).find(|line| OUTSIDE.iter().any(|outside| line.contains(outside)));
        assert_eq!(bad, None, "src/protocol/{}", path.display());
    }
}

#[test]
fn the_embedded_verifier_brings_no_server_along() {
    let tree = cargo(&[
        "tree",
        "-p",
        "shortbread-verifier",
        "-e",
        "normal",
        "--no-default-features",
        "--offline",
        "--prefix",
        "none",
    ]);
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("ed25519-dalek"), "{tree}");
    let heavy: Vec<_> = NOT_EMBEDDED.iter().filter(|name| crates.contains(*name)).collect();
    assert!(heavy.is_empty(), "the verifier brings along {heavy:?}");
}

#[test]
fn modules_of_the_broker_import_those_below_them_alone() {
    for (path, text) in sources("broker") {
        let top = path.components().next().expect("a name").as_os_str().to_str().expect("UTF-8");
        let module = top.trim_end_matches(".rs");
        if module == "build" {
            continue;
        }
        let known = MODULES.iter().find(|(known, _)| *known == module);
        let (_, allowed) = known.unwrap_or_else(|| panic!("say in this test what {module} may import"));
        let wrong: Vec<_> =
            mentions(&text, "crate::").filter(|other| *other != module && !allowed.contains(other)).collect();
        assert!(wrong.is_empty(), "src/broker/{} imports {wrong:?}", path.display());
    }
}

#[test]
fn http_stays_out_of_the_flows() {
    for (path, text) in sources("broker") {
        let of_http =
            path.starts_with("http") || path.starts_with("console") || path == Path::new("telemetry.rs");
        let bad = code(&text).find(|line| line.contains("axum") || line.contains("StatusCode"));
        assert!(
            of_http || bad.is_none() || path.starts_with("identity"),
            "src/broker/{}: {bad:?}",
            path.display()
        );
    }
}

#[test]
fn only_the_clock_and_the_random_source_reach_for_the_machine() {
    for package in ["protocol", "verifier", "broker"] {
        for (path, text) in sources(package) {
            let own = package == "protocol"
                && [Path::new("clock.rs"), Path::new("random.rs")].contains(&path.as_path());
            let reaches = ["SystemTime::now", "Instant::now", "getrandom::fill", "thread_rng", "OsRng"];
            let bad = code(&text).find(|line| reaches.iter().any(|reach| line.contains(reach)));
            assert!(own || bad.is_none(), "src/{package}/{}: {bad:?}", path.display());
        }
    }
}
