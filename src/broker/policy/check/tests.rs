use shortbread_protocol::names::ToolName;

use super::super::fixture::{ADMIN, compile, policy};

/// A sound policy to break: tool, workflow, approvers; the marked lines are what cases replace.
const BASE: &str = r#"
[tools.t]
audience = "https://t.example/t"
verbs."a.read" = { access = "read" }
verbs."a.write" = { access = "write", args = ["x", "y"] }
verbs."b.kill" = { access = "privileged" }
[tools.u]
audience = "https://u.example"
verbs."go" = { access = "read" }
[[identities]]
workflow = "w"
issuer = "https://issuer.example"
audience = "https://broker.acme.example"
claims = { sub = "1", repository_id = "2" }
[[identities]]
operator = "bob"
key = "keys/bob.pub.pem"
[[grants]]
operator = "bob"
tool = "shortbread"
verbs = ["approvals.decide"]
[approvers.oncall]
members = ["bob"]
escalate = "leads"
[approvers.leads]
members = ["alice", "bob"]
"#;

pub(super) fn base() -> String {
    format!("{BASE}{ADMIN}")
}

/// Breaks the base policy by appending, and expects a problem at the line of `mark` (the last line that
/// holds it) whose message holds `says`.
pub(super) fn refused(text: &str, mark: &str, says: &str) {
    let line = text.lines().enumerate().filter(|(_, line)| line.contains(mark)).map(|(at, _)| at + 1).last();
    let problems = compile(text).expect_err(says);
    let found = problems.iter().find(|p| p.message.contains(says));
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let found = found.unwrap_or_else(|| panic!("{says:?} is not among:\n{}", told.join("\n")));
    assert_eq!(Some(found.line), line, "{says:?}, told:\n{}", told.join("\n"));
    assert!(!found.fix.is_empty() && found.file == "policy.toml");
}

fn appended(more: &str, mark: &str, says: &str) {
    refused(&format!("{}{more}\n", base()), mark, says);
}

fn replaced(from: &str, to: &str, mark: &str, says: &str) {
    let text = base();
    assert!(text.contains(from), "{from}");
    refused(&text.replace(from, to), mark, says);
}

#[test]
fn the_base_of_these_tests_is_sound() {
    policy(&base());
}

#[test]
fn dangerous_tools_are_refused() {
    for (audience, says) in [
        ("http://t.example/t", "is http and not at this machine"),
        ("t.example", "is not a URL"),
        ("https://u.example/", "have the same audience"),
        ("https://broker.acme.example/api/v1", "have the same audience"),
    ] {
        let line = format!("audience = \"{audience}\"");
        // The later of two tools with the same audience is told.
        let mark = if audience.contains("u.example") { "audience = \"https://u.example\"" } else { &line };
        replaced("audience = \"https://t.example/t\"", &line, mark, says);
    }
    appended(
        "[tools.shortbread]\naudience = \"https://s.example\"\nverbs.x = { access = \"read\" }",
        "[tools.shortbread]",
        "fixed in code",
    );
    appended(
        "[tools.T]\naudience = \"https://s.example\"\nverbs.x = { access = \"read\" }",
        "[tools.T]",
        "tool \"T\"",
    );
    appended("[tools.e]\naudience = \"https://e.example\"", "[tools.e]", "has no verbs");
    replaced("args = [\"x\", \"y\"]", "args = [\"x\", \"x\"]", "[\"x\", \"x\"]", "listed twice");
    replaced("{ access = \"privileged\" }", "{ access = \"deadly\" }", "deadly", "unknown variant");
    policy(&base().replace("https://t.example/t", "http://127.0.0.1:9000/t"));
}

#[test]
fn windows_are_made_shorter_and_never_longer() {
    let audience = "audience = \"https://t.example/t\"";
    for (windows, says) in [
        ("write = \"6m\"", "a window of 6m for write calls is not between 10s and 5m"),
        ("write = \"9s\"", "is not between 10s and 5m"),
        ("privileged = \"2m\"", "a window of 2m for privileged calls is not between 10s and 1m"),
        ("privileged = \"1m\", write = \"30s\"", "longer than the one for writing"),
        ("read = \"60s\"", "the verifier's own"),
        ("reed = \"60s\"", "unknown field"),
    ] {
        let line = format!("windows = {{ {windows} }}");
        replaced(audience, &format!("{audience}\n{line}"), &line, says);
    }
    let windows = |told: &str| {
        let policy = policy(&base().replace(audience, &format!("{audience}\n{told}")));
        let windows = policy.catalogue().tools[&"t".parse::<ToolName>().unwrap()].windows;
        (windows.privileged, windows.write)
    };
    assert_eq!(windows(""), (60, 300));
    assert_eq!(windows("windows = { write = \"2m\", privileged = \"30s\" }"), (30, 120));
    assert_eq!(windows("windows = { write = \"20s\" }"), (20, 20), "writing includes what is privileged");
}

#[test]
fn dangerous_identities_are_refused() {
    let claims = "claims = { sub = \"1\", repository_id = \"2\" }";
    for (bad, says) in [
        ("", "no claims are demanded"),
        ("claims = {}", "no claims are demanded"),
        ("claims = { sub = \"\" }", "demanded to be empty"),
        ("claims = { k = { } }", "empty table"),
        ("claims = { k = { l = {} } }", "empty table"),
        ("claims = { iss = \"https://issuer.example\" }", "tells nobody apart"),
        ("claims = { n = 1.5 }", "cannot be compared"),
        ("claims = { n = 2026-01-01 }", "cannot be compared"),
        ("claims = { a.b.c.d.e.f.g.h.i.j = 1 }", "nests too deep"),
    ] {
        replaced(claims, bad, if bad.is_empty() { "issuer = " } else { bad }, says);
    }
    let issuer = "issuer = \"https://issuer.example\"";
    for (bad, says) in [
        ("issuer = \"http://issuer.example\"", "is not an https URL"),
        ("issuer = \"http://127.0.0.1:9\"", "is not an https URL"),
        ("issuer = \"http://issuer.example\"\nallow_private = true", "not at this machine"),
        ("issuer = \"https://issuer.example?x=1\"", "has a query"),
        ("issuer = \"https://issuer.example\"\nkey = \"keys/w.pub.pem\"", "both or neither"),
    ] {
        let mark = if says.contains("both") { "workflow = \"w\"" } else { bad.lines().next().unwrap() };
        let text = base().replace(issuer, bad);
        let problems = compile(&text).expect_err(says);
        assert!(problems.iter().any(|p| p.message.contains(says)), "{mark}: {problems:?}");
    }
    policy(&base().replace(issuer, "issuer = \"http://127.0.0.1:9\"\nallow_private = true"));
    let audience = "audience = \"https://broker.acme.example\"";
    replaced(audience, "", "issuer = ", "has no audience");
    for (bad, says) in [
        ("jwks_url = \"http://keys.example\"", "is not an https URL"),
        ("jwks_file = \"jwks/missing.json\"", "cannot be read: no such file"),
        ("jwks_file = \"jwks/empty.json\"", "has no key"),
        ("jwks_file = \"jwks/secret.json\"", "holds a secret key"),
        ("jwks_file = \"keys/bob.pub.pem\"", "is not JSON"),
        ("jwks_url = \"https://k.example\"\njwks_file = \"jwks/good.json\"", "jwks_url and from jwks_file"),
        ("reuse = \"forever\"", "reuse = \"forever\" means nothing"),
        ("max_age = \"0s\"", "lies outside 1s to 24h"),
        ("max_age = \"25h\"", "lies outside 1s to 24h"),
        ("max_age = \"10\"", "no span of time"),
        ("trust_domain = \"acme.example\"", "trust_domain means nothing beside an issuer"),
        ("bundle_file = \"bundles/good.json\"", "bundle_file means nothing beside an issuer"),
        ("jwks_file = \"jwks/twins.json\"", "two keys with one `kid`"),
        ("jwks_file = \"jwks/twice.json\"", "has a member twice"),
        ("tools = [\"t\"]", "belongs to a verifier"),
    ] {
        let mark = bad.lines().last().unwrap();
        replaced(audience, &format!("{audience}\n{bad}"), mark, says);
    }
    policy(&base().replace(audience, &format!("{audience}\njwks_file = \"jwks/good.json\"")));
}

#[test]
fn dangerous_keys_are_refused() {
    let key = "key = \"keys/bob.pub.pem\"";
    for (bad, says) in [
        ("key = \"keys/missing.pub.pem\"", "cannot be read"),
        ("key = \"keys/garbage.pub.pem\"", "not an Ed25519 public key"),
        ("key = \"keys/huge.pub.pem\"", "is larger than"),
        ("key = \"keys/private.pem\"", "holds a private key"),
        ("key = \"keys/bob.pub.pem\"\nclaims = { sub = \"1\" }", "means nothing beside a key"),
        ("key = \"keys/bob.pub.pem\"\nmax_age = \"5m\"", "means nothing beside a key"),
        ("key = \"keys/bob.pub.pem\"\nreuse = \"until_expiry\"", "a registered key signs a fresh assertion"),
    ] {
        replaced(key, bad, bad.lines().last().unwrap(), says);
    }
    let twin = "[[identities]]\nworkflow = \"x\"\nkey = \"keys/bob.pub.pem\" # twin";
    appended(twin, "# twin", "the key of x is also the key of bob");
}

#[test]
fn proofs_that_stand_for_two_are_refused() {
    let twin = "[[identities]]\nworkflow = \"x\"\nissuer = \"https://issuer.example\" # twin\n\
                audience = \"https://broker.acme.example\"\nclaims = { repository_id = \"2\", sub = \"1\" }";
    appended(twin, "# twin", "would match two entries");
    let other_keys = twin.replace("sub = \"1\"", "sub = \"9\"") + "\njwks_url = \"https://k.example\"";
    appended(&other_keys, "# twin", "disagree about where the keys");
    policy(&format!("{}{}", base(), twin.replace("sub = \"1\"", "sub = \"9\"")));
    for (who, says) in [
        ("workflow = \"x\"\noperator = \"x\"", "exactly one of"),
        ("", "exactly one of"),
        ("workflows = []", "empty or names one twice"),
        ("workflows = [\"a\", \"a\"]", "empty or names one twice"),
        ("verifier = \"v\"", "decides no tool's calls"),
        ("verifier = \"v\"\ntools = []", "decides no tool's calls"),
        ("verifier = \"v\"\ntools = [\"nope\"]", "no tool nope"),
        ("workflow = \"X!\"", "workflow \"X!\" is not valid"),
    ] {
        let text = format!("{}[[identities]]\n{who}\nkey = \"keys/x.pub.pem\"\n", base());
        let problems = compile(&text).expect_err(says);
        assert!(problems.iter().any(|p| p.message.contains(says) && p.line > 34), "{problems:?}");
    }
}

fn granted(lines: &str, mark: &str, says: &str) {
    appended(&format!("[[grants]]\nworkflow = \"w\" # here\ntool = \"t\"\n{lines}"), mark, says);
}

#[test]
fn dangerous_grants_are_refused() {
    granted("verbs = []", "verbs = []", "verbs is empty");
    granted("verbs = [\"a.read\"]\nproof = \"optional\"", "proof =", "proof = \"optional\" is not known");
    granted("verbs = [\"a.read\"]\nproof = true", "proof =", "expected a string");
    granted("verbs = [\"nope\"]", "nope", "t has no verb nope");
    granted("verbs = [\"c.*\"]", "c.*", "t has no verb c.*");
    granted("verbs = [\"a*\"]", "a*", "is no verb pattern");
    granted("verbs = [\"a.read\"]\nintents = []", "intents = []", "intents is empty");
    granted("verbs = [\"a.read\"]\nowners = [\"w\"]", "owners", "the owner w is no operator");
    granted("verbs = [\"a.read\"]\nrate = \"0/min\"", "rate", "no rate");
    for ttl in ["0s", "61m", "2h", "5 m", "ten"] {
        let says =
            if ttl.contains("m") && ttl != "61m" || ttl == "ten" { "no span of time" } else { "max_ttl of" };
        granted(&format!("verbs = [\"a.read\"]\nmax_ttl = \"{ttl}\""), "max_ttl", says);
    }
    granted("verbs = [\"a.*\"]", "verbs = [\"a.*\"]", "granted with any arguments");
    granted("verbs = [\"b.kill\"]\napproval = \"none\"", "b.kill", "granted with any arguments");
    granted("verbs = [\"b.kill\"]\nany_arguments = true", "b.kill", "without approval");
    granted("verbs = [\"*\"]\nany_arguments = true", "verbs = [\"*\"]", "without approval");
    appended(
        "[[grants]]\nworkflow = \"x\"\ntool = \"t\"\nverbs = [\"a.read\"]",
        "workflow = \"x\"",
        "no identity is workflow:x",
    );
    appended(
        "[[grants]]\noperator = \"x\"\ntool = \"shortbread\"\nverbs = [\"audit.read\"]",
        "operator = \"x\"",
        "no identity is operator:x",
    );
    appended(
        "[[grants]]\nworkflow = \"w\"\ntool = \"x\"\nverbs = [\"a.read\"]",
        "tool = \"x\"",
        "there is no tool x",
    );
    appended(
        "[[grants]]\ntool = \"t\"\nverbs = [\"a.read\"]",
        "[[grants]]",
        "exactly one of workflow, operator",
    );
    let twice = "[[grants]]\nworkflow = \"w\"\ntool = \"t\"\nverbs = [\"a.read\"]\n";
    appended(&format!("{twice}{twice}"), "[[grants]]", "says what grant 3 says already");
}

#[test]
fn broken_constraints_are_refused() {
    let constrained = |inner: &str, says: &str| {
        let line = format!("constraints.\"a.write\" = {inner} # this");
        granted(&format!("verbs = [\"a.write\"]\n{line}"), "# this", says);
    };
    constrained("{ z = { any = true } }", "has no argument z");
    constrained("{ x = {} }", "names no kind");
    constrained("{ x = { eq = 1, any = true } }", "combines any");
    constrained("{ x = { min = 2, max = 1 } }", "min above its max");
    constrained("{ x = { in = [] } }", "lists no value");
    constrained("{ x = { in = [1, \"a\"] } }", "mixes texts");
    constrained("{ x = { regex = \".*\" } }", "unknown field");
    constrained("{ x = { eq = 1.5 } }", "did not match");
    constrained("{ x = { claim = \"c\", eq = 1 } }", "combines claim");
    constrained("{ x = { claim = \"\" } }", "names no claim");
    granted(
        "verbs = [\"a.read\"]\nconstraints.\"a.write\" = { x = { any = true } }",
        "constraints",
        "constrained but not granted",
    );
    let many: Vec<String> = (0..4).map(|n| format!("p{n} = {{ prefix = \"x\" }}")).collect();
    granted(
        &format!("verbs = [\"a.read\"]\nconstraints.\"a.read\" = {{ {} }}", many.join(", ")),
        "constraints",
        "take 9 expressions",
    );
    let fits = "p0 = { prefix = \"x\" }, p1 = { in = [1] }, p2 = { min = 1, max = 2 }, p3 = { max = 1 }, p4 = { eq = 1 }";
    let grant = "[[grants]]\nworkflow = \"w\"\ntool = \"t\"\nverbs = [\"a.read\"]";
    policy(&format!("{}{grant}\nconstraints.\"a.read\" = {{ {fits}, p5 = {{ claim = \"sub\" }} }}", base()));
    appended(
        "[[identities]]\nworkflow = \"k\"\nkey = \"keys/k.pub.pem\"\n[[grants]]\nworkflow = \"k\"\ntool = \"t\"\n\
         verbs = [\"a.write\"]\nconstraints.\"a.write\" = { x = { claim = \"sub\" } }",
        "constraints",
        "signs its own claims",
    );
}

#[test]
fn dangerous_approvals_are_refused() {
    let demand = |inner: &str, says: &str| {
        granted(
            &format!("verbs = [\"b.kill\", \"a.read\"]\nany_arguments = true\napproval = {inner}"),
            "approval = ",
            says,
        );
    };
    demand("{ approvers = \"oncall\", quorum = 0 }", "with no approval at all");
    demand("{ approvers = \"oncall\", quorum = -1 }", "with no approval at all");
    demand("{ approvers = \"oncall\", quorum = 2 }", "can never be met");
    demand("{ approvers = \"oncall\", quorum = 4294967297 }", "with no approval at all");
    demand("{ approvers = \"nobody\" }", "there are no approvers \"nobody\"");
    demand("{ approvers = \"oncall\", sla = \"10m\", expires = \"5m\" }", "expires after 5m");
    demand("{ approvers = \"oncall\", sla = \"0s\" }", "has an SLA of 0s");
    demand("{ access = [], approvers = \"oncall\" }", "covers none of the verbs");
    demand("{ verbs = [\"a.write\"], approvers = \"oncall\" }", "adds no verb that is granted here");
    demand("{ verbs = [\"z.*\"], approvers = \"oncall\" }", "adds no verb that is granted here");
    demand("\"never\"", "expected \"none\" or a table");
    demand("{ approvers = \"oncall\", quorun = 1 }", "unknown field");
    demand("{ quorum = 1 }", "missing field `approvers`");
    granted(
        "verbs = [\"b.kill\"]\nany_arguments = true\nowners = [\"bob\"]\napproval = { approvers = \"oncall\" }",
        "approval = ",
        "0 of the 1 members of oncall may approve",
    );
    granted(
        "verbs = [\"b.kill\"]\nany_arguments = true\napproval = { access = [\"read\"], approvers = \"oncall\" }",
        "b.kill",
        "privileged and granted without approval",
    );
}

#[test]
fn dangerous_approvers_are_refused() {
    replaced("members = [\"bob\"]", "members = []", "members = []", "have no members");
    replaced(
        "members = [\"bob\"]",
        "members = [\"w\"]",
        "members = [\"w\"]",
        "w is a member of oncall but no operator",
    );
    replaced(
        "members = [\"bob\"]",
        "members = [\"bob\", \"bob\"]",
        "members = [\"bob\", \"bob\"]",
        "has one vote",
    );
    replaced("escalate = \"leads\"", "escalate = \"nobody\"", "escalate", "there are no such approvers");
    replaced("escalate = \"leads\"", "escalate = \"oncall\"", "escalate", "comes back to oncall");
    replaced(
        "members = [\"alice\", \"bob\"]",
        "members = [\"alice\", \"bob\"]\nescalate = \"oncall\" # back",
        "# back",
        "the escalation of leads comes back to leads",
    );
    appended(
        "[approvers.\"On Call\"]\nmembers = [\"bob\"]",
        "[approvers.\"On Call\"]",
        "no name for a group",
    );
    replaced(
        "\"approvals.decide\"",
        "\"approvals.read\"",
        "members = [\"alice\", \"bob\"]",
        "bob is a member of leads and may not decide",
    );
}

#[test]
fn dangerous_forbids_are_refused() {
    appended("[[forbids]]", "[[forbids]]", "no condition");
    appended("[[forbids]]\naccess = []", "[[forbids]]", "empty list");
    appended("[[forbids]]\ntool = \"x\"", "tool = \"x\"", "there is no tool x");
    appended("[[forbids]]\nverbs = [\"nope\"]", "nope", "no verb is nope here");
    appended("[[forbids]]\ntool = \"u\"\nverbs = [\"a.*\"]", "a.*", "no verb is a.* here");
    appended("[[forbids]]\nworkflow = \"x\"", "workflow = \"x\"", "no identity is workflow:x");
    appended("[[forbids]]\nworkflows = [\"x\"]", "workflows", "no identity is workflow:x");
    appended(
        "[[forbids]]\ntool = \"shortbread\"\nverbs = [\"revocations.*\"]",
        "revocations.*",
        "no verb is",
    );
    appended("[[forbids]]\ntool = \"shortbread\"\nintents = [\"i\"]", "\"shortbread\"", "declare no intent");
    let grant = "[[grants]]\nworkflow = \"w\"\ntool = \"t\" # grant\nverbs = [\"a.read\"]\n";
    appended(&format!("{grant}[[forbids]]\nintents = [\"i\"]"), "# grant", "could declare another");
    appended(
        &format!("{grant}[[forbids]]\nintents = [\"i\"]\nworkflow = \"w\"\ntool = \"t\""),
        "# grant",
        "could declare",
    );
    for harmless in ["tool = \"u\"", "access = [\"write\"]", "verbs = [\"b.*\"]"] {
        policy(&format!("{}{grant}[[forbids]]\nintents = [\"i\"]\n{harmless}", base()));
    }
    policy(&format!("{}{grant}intents = [\"j\"]\n[[forbids]]\nintents = [\"i\"]", base()));
}

#[test]
fn the_built_in_tool_is_for_operators_and_without_conditions() {
    let bare = "[[grants]]\noperator = \"bob\"\ntool = \"shortbread\"\nverbs = [\"audit.read\"]\n";
    policy(&format!("{}{bare}", base()));
    appended(
        &bare.replace("operator = \"bob\"", "workflow = \"w\""),
        "\"shortbread\"",
        "the broker's own admin API",
    );
    appended(
        &bare.replace("shortbread", "u").replace("audit.read", "go"),
        "tool = \"u\"",
        "the operator bob is granted",
    );
    for line in [
        "intents = [\"i\"]",
        "approval = { approvers = \"oncall\" }",
        "constraints.\"audit.read\" = { x = { any = true } }",
    ] {
        appended(&format!("{bare}{line}"), line, "could lock operators out");
    }
}

#[test]
fn a_policy_under_which_nobody_could_revoke_or_activate_is_refused() {
    let says =
        |text: &str| -> Vec<String> { compile(text).unwrap_err().into_iter().map(|p| p.message).collect() };
    let nobody = says("");
    assert!(nobody.iter().any(|m| m.contains("nobody could revoke")), "{nobody:?}");
    assert!(nobody.iter().any(|m| m.contains("nobody could activate")), "{nobody:?}");
    let revoke_only = says(&ADMIN.replace("\"*\"", "\"revocations.revoke\""));
    assert_eq!(revoke_only, ["under this policy nobody could activate another policy"]);
    for forbid in [
        "access = [\"privileged\"]",
        "access = [\"write\"]",
        "verbs = [\"policy.*\"]",
        "tool = \"shortbread\"",
    ] {
        let found = says(&format!("{ADMIN}[[forbids]]\n{forbid}"));
        assert_eq!(found, ["under this policy nobody could activate another policy"], "{forbid}");
    }
}

#[test]
fn all_problems_are_told_at_once_and_in_order() {
    let text = format!(
        "{}[[grants]]\nworkflow = \"x\"\ntool = \"y\"\nverbs = []\nmax_ttl = \"2h\"\n[[forbids]]\n",
        base()
    );
    let text = text.replace("https://u.example", "ftp://u.example");
    let problems = compile(&text).unwrap_err();
    assert_eq!(problems.len(), 5, "{problems:?}");
    assert!(problems.is_sorted_by_key(|p| p.line));
    let unread = "[tools.a]\n[[grants]]\nnope = 1\n[[identities]]\nworkflow = 7\n[x]\n";
    assert_eq!(compile(unread).unwrap_err().len(), 4);
}

#[test]
fn hostile_files_give_problems_and_never_a_panic() {
    let deep = format!("x = {}{}", "[".repeat(50_000), "]".repeat(50_000));
    let dots = format!("[[identities]]\nclaims.{} = 1", vec!["a"; 70].join("."));
    let nest = format!("a{} = {{ ", ".a".repeat(70)).repeat(70) + &"}".repeat(70);
    let claims = format!("[[identities]]\nclaims = {{ {nest} }}");
    let long = format!("[tools.{}]\naudience = \"{}\"", "a".repeat(5000), "é".repeat(5000));
    let many = "[[grants]]\nnope = 1\n".repeat(5000);
    let huge = "#".repeat(2 << 20);
    for text in [
        "\u{feff}\0",
        "=",
        "[",
        "tools = 1",
        "grants = {}",
        "identities = [1, [], {}]",
        "[tools]\nx = 1",
        "[[tools]]",
        "approvers = []",
        "[approvers]\nx = []",
        "unknown = 1",
        "[grants]",
        "grants = [[[[]]]]",
        "a\n=\n1",
        "[[forbids]]\nintents = \"x\"",
        "[[forbids]]\naccess = \"write\"",
        "[[grants]]\nverbs = \"*\"",
        "[[grants]]\nworkflow = \"w\"\ntool = \"t\"\nverbs = [1]\nmax_ttl = 5",
        &deep,
        &dots,
        &claims,
        &long,
        &many,
        &huge,
    ] {
        let problems = compile(text).unwrap_err();
        assert!(!problems.is_empty() && problems.len() <= 200);
        assert!(problems.iter().all(|p| p.to_string().len() < 6000 && p.line >= 1), "{problems:?}");
    }
}
