use super::super::fixture::{ADMIN, EXAMPLE, policy};
use super::*;

mod sound;

fn sentences(old: &str, new: &str) -> Vec<String> {
    let found = diff(&policy(old), &policy(new));
    assert_eq!(found.widens(), found.effects.iter().any(|effect| effect.class == Class::Widens));
    found.effects.iter().map(|effect| format!("{} {}", effect.class.as_str(), effect.sentence)).collect()
}

#[track_caller]
fn swap(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "{from}");
    EXAMPLE.replacen(from, to, 1)
}

const DEMAND: &str = "approval = { access = [\"write\"], approvers = \"oncall\", quorum = 1, sla = \"5m\", expires = \"15m\" }";

#[test]
fn other_words_for_the_same_have_no_effect() {
    assert_eq!(sentences(EXAMPLE, EXAMPLE), Vec::<String>::new());
    let renamed = swap("keys/demo.pub.pem", "./keys/demo.pub.pem");
    let load = |path: &str| super::super::fixture::files(path.trim_start_matches("./"));
    let options = super::super::Options { issuer: "https://broker.acme.example".to_owned() };
    let renamed = Policy::compile(&renamed, "policy.toml", &load, &options).unwrap();
    assert_eq!(diff(&policy(EXAMPLE), &renamed).effects, []);
    let commented = format!("# a comment\n{EXAMPLE}\n");
    assert_eq!(sentences(EXAMPLE, &commented), Vec::<String>::new());
    for (from, to) in [
        ("verbs = [\"issues.read\", \"issues.write\"]", "verbs = [\"issues.*\"]"),
        ("verbs = [\"issues.read\", \"issues.write\"]", "verbs = [\"issues.write\", \"issues.read\"]"),
        (
            "verbs = [\"revocations.*\", \"policy.*\", \"audit.read\"]",
            "verbs = [\"audit.read\", \"policy.*\", \"revocations.*\"]",
        ),
    ] {
        assert_eq!(sentences(EXAMPLE, &swap(from, to)), Vec::<String>::new(), "{to}");
    }
    // One grant in two, and two values in one list.
    let split = swap(
        "intents = [\"triage\"]                             # absent",
        "intents = [\"triage\", \"triage\"] # absent",
    );
    assert_eq!(sentences(EXAMPLE, &split), Vec::<String>::new());
    let two = "constraints.write = { x = { eq = 1 } }\n[[grants]]\nworkflow = \"w\"\ntool = \"t\"\nverbs = [\"write\"]\nconstraints.write = { x = { eq = 2 } }";
    assert_eq!(
        sentences(&small(two), &small("constraints.write = { x = { in = [1, 2] } }")),
        Vec::<String>::new()
    );
}

/// A workflow with one grant of `t/write` that says this.
fn small(grant: &str) -> String {
    format!(
        "[tools.t]\naudience = \"https://t.example\"\nverbs.write = {{ access = \"write\", args = [\"x\", \"y\"] }}\n\
         verbs.read = {{ access = \"read\" }}\n[[identities]]\nworkflow = \"w\"\nkey = \"keys/w.pub.pem\"\n\
         [[identities]]\noperator = \"bob\"\nkey = \"keys/bob.pub.pem\"\n[[grants]]\noperator = \"bob\"\ntool = \"shortbread\"\n\
         verbs = [\"approvals.decide\"]\n[approvers.oncall]\nmembers = [\"bob\"]\n\
         [[grants]]\nworkflow = \"w\"\ntool = \"t\"\nverbs = [\"write\"]\n{grant}\n{ADMIN}"
    )
}

#[test]
fn rights_are_told_as_sentences() {
    let notes = "release-notes, intent triage: ";
    let effects = |from: &str, to: &str| sentences(EXAMPLE, &swap(from, to));
    assert_eq!(
        effects("max_ttl = \"10m\"", "max_ttl = \"5m\""),
        [format!("narrows {notes}github/issues.read, github/issues.write: life 10m -> 5m")]
    );
    assert_eq!(
        effects("max_ttl = \"10m\"", "max_ttl = \"1h\""),
        [format!("widens {notes}github/issues.read, github/issues.write: life 10m -> 1h")]
    );
    assert_eq!(
        effects(DEMAND, ""),
        [format!(
            "widens {notes}github/issues.write: no longer needs the approval of 1 of oncall other than alice within 15m"
        )]
    );
    assert_eq!(
        effects("rate = \"30/min\"", "rate = \"60/min\""),
        [format!("widens {notes}github/issues.read, github/issues.write: rate 30/min -> 60/min")]
    );
    assert_eq!(
        effects("repo = { claim = \"repository\" }", "repo = { any = true }"),
        [format!("widens {notes}github/issues.write: also where body and repo and title are free")]
    );
    let grant = "[[grants]]\nworkflow = \"demo\"\ntool = \"github\"\nintents = [\"x\"]\nverbs = [\"issues.write\"]\n\
                 constraints.\"issues.write\" = { repo = { eq = \"acme/web\" }, title = { any = true } }\nmax_ttl = \"5m\"\n";
    let more = format!("{EXAMPLE}\n{grant}");
    assert_eq!(
        sentences(EXAMPLE, &more),
        [
            "widens demo, intent x: gains github/issues.write where repo = acme/web, title is free, for 5m at most"
        ]
    );
    assert_eq!(sentences(&more, EXAMPLE), ["narrows demo, intent x: loses github/issues.write"]);
    let forbidden = format!("{more}[[forbids]]\nworkflow = \"demo\"\ntool = \"github\"\n");
    assert_eq!(
        sentences(&more, &forbidden),
        [
            "narrows demo, intent x: loses github/issues.write (it is forbidden)",
            "changes forbids: all of github to demo"
        ]
    );
}

#[test]
fn a_hundred_intents_that_change_alike_are_one_row() {
    let many: Vec<String> = (0..100).map(|n| format!("i{n:03}")).collect();
    let (old, new) = (
        format!("intents = {many:?}\nconstraints.write = {{}}\nmax_ttl = \"1m\""),
        format!("intents = {many:?}\nconstraints.write = {{}}\nmax_ttl = \"2m\""),
    );
    let effects = sentences(&small(&old), &small(&new));
    assert_eq!(effects.len(), 1);
    assert!(effects[0].contains("i007 and 92 more: t/write: life 1m -> 2m"), "{effects:?}");
    let any =
        sentences(&small("constraints.write = {}"), &small("constraints.write = {}\nproof = \"required\""));
    assert_eq!(any, ["narrows w: t/write: needs a proof now"]);
    let fewer = sentences(
        &small("constraints.write = {}"),
        &small("constraints.write = {}\nintents = [\"a\", \"b\"]"),
    );
    assert_eq!(fewer, ["narrows w, any other intent: loses t/write"]);
}

#[test]
fn a_demand_that_goes_with_its_grant_is_missed() {
    // Whatever overlaps with the second grant needs its approval; without it nothing does.
    let second = "constraints.write = { x = { in = [1, 2] } }\n[[grants]]\nworkflow = \"w\"\ntool = \"t\"\nverbs = [\"write\"]\n\
                  constraints.write = { x = { min = 0 } }\napproval = { verbs = [\"write\"], approvers = \"oncall\" }";
    let alone = "constraints.write = { x = { in = [1, 2] } }";
    let effects = sentences(&small(second), &small(alone));
    assert!(
        effects.iter().any(|told| told.starts_with("widens w: t/write: no longer needs the approval")),
        "{effects:?}"
    );
    assert!(
        effects.iter().any(|told| told.starts_with("narrows w: t/write: no longer where x >= 0")),
        "{effects:?}"
    );
    // Of other arguments it says nothing.
    let apart = second.replace("min = 0", "min = 5");
    let effects = sentences(&small(&apart), &small(alone));
    assert_eq!(effects, ["narrows w: t/write: no longer where x >= 5"]);
}

#[test]
fn verbs_that_shared_a_rate_may_not_each_have_it() {
    let one = "constraints.write = {}\nverbs = [\"write\", \"read\"]\nrate = \"30/min\"";
    let one = small(one).replace("verbs = [\"write\"]\n", "");
    let two = "constraints.write = {}\nrate = \"30/min\"\n[[grants]]\nworkflow = \"w\"\ntool = \"t\"\nverbs = [\"read\"]\nrate = \"30/min\"";
    assert_eq!(
        sentences(&one, &small(two)),
        ["widens workflow:w: t/read, t/write: no longer share one rate of 30/min"]
    );
    assert_eq!(
        sentences(&one, &small("constraints.write = {}\nrate = \"30/min\"")),
        ["narrows w: loses t/read"]
    );
    assert_eq!(
        sentences(&one, &one.replace("30/min", "20/min")),
        ["narrows w: t/read, t/write: rate 30/min -> 20/min"]
    );
}

#[test]
fn other_approvers_are_no_stricter() {
    let demand = |group: &str, quorum: u32| {
        let text = format!(
            "constraints.write = {{}}\napproval = {{ access = [\"write\"], approvers = \"{group}\", quorum = {quorum} }}"
        );
        small(&text) + "[approvers.leads]\nmembers = [\"bob\", \"alice\"]\n"
    };
    let effects = sentences(&demand("oncall", 1), &demand("leads", 1));
    assert_eq!(effects.len(), 1, "{effects:?}");
    assert!(effects[0].starts_with("widens w: t/write: needs the approval of 1 of leads"), "{effects:?}");
    let effects = sentences(&demand("leads", 1), &demand("leads", 2));
    assert!(effects[0].starts_with("narrows w: t/write: needs the approval of 2 of leads"), "{effects:?}");
    let more = demand("leads", 1).replace("members = [\"bob\", \"alice\"]", "members = [\"bob\"]");
    assert_eq!(sentences(&more, &demand("leads", 1)), ["widens approvers leads: alice may approve"]);
    assert_eq!(
        sentences(&demand("leads", 1), &more),
        ["narrows approvers leads: alice may no longer approve"]
    );
}

#[test]
fn who_can_be_whom_is_told() {
    let effects = |from: &str, to: &str| sentences(EXAMPLE, &swap(from, to));
    let prod = "claims = { repository_id = \"456789\", environment = \"prod\" }";
    let looser = effects(prod, "claims = { repository_id = \"456789\" }");
    assert_eq!(looser.len(), 1, "{looser:?}");
    assert!(
        looser[0]
            .starts_with("widens workflow:release-notes: can be proved by a token of https://token.actions")
    );
    assert!(looser[0].ends_with("with repository_id = 456789 for https://broker.acme.example"), "{looser:?}");
    let tighter = effects(
        prod,
        "claims = { repository_id = \"456789\", environment = \"prod\", event_name = \"push\" }",
    );
    assert!(
        tighter.len() == 1 && tighter[0].starts_with("narrows workflow:release-notes: can no longer"),
        "{tighter:?}"
    );
    let key = effects("keys/demo.pub.pem", "keys/other.pub.pem");
    assert_eq!(key.len(), 2);
    assert!(key[0].starts_with("widens workflow:demo: can be proved by the key "), "{key:?}");
    let age = effects(prod, &format!("{prod}\nmax_age = \"1h\""));
    assert!(age[0].starts_with("widens") && age[0].ends_with("1h old at most"), "{age:?}");
    let gone = effects("workflows = [\"enrich\", \"mail-merge\"]", "workflows = [\"enrich\"]");
    assert!(
        gone.len() == 1 && gone[0].starts_with("narrows workflow:mail-merge: can no longer be proved by")
    );
}

#[test]
fn a_token_that_two_entries_wanted_is_somebodys_when_one_goes() {
    let second = "[[identities]]\nworkflow = \"demo\"\nissuer = \"https://token.actions.githubusercontent.com\"\n\
                  audience = \"https://broker.acme.example\"\nclaims = { environment = \"prod\" }\n";
    let effects = sentences(&format!("{EXAMPLE}\n{second}"), EXAMPLE);
    assert!(
        effects.iter().any(|told| told.starts_with("widens workflow:release-notes: is what tokens prove")),
        "{effects:?}"
    );
    let other = second.replace("environment = \"prod\"", "environment = \"dev\"");
    let effects = sentences(&format!("{EXAMPLE}\n{other}"), EXAMPLE);
    assert!(effects.iter().all(|told| told.starts_with("narrows")), "{effects:?}");
}

#[test]
fn tools_and_guards_are_compared_too() {
    let effects = |from: &str, to: &str| sentences(EXAMPLE, &swap(from, to));
    let windows = "audience = \"https://tools.acme.example/github\"\nwindows = { write = \"2m\" }";
    assert_eq!(
        effects("audience = \"https://tools.acme.example/github\"", windows),
        ["narrows tool github: a revocation list may be 120s old for write calls, 300s before"]
    );
    let moved =
        effects("audience = \"https://tools.acme.example/github\"", "audience = \"https://x.example\"");
    assert_eq!(
        moved,
        ["widens tool github: audience https://tools.acme.example/github -> https://x.example"]
    );
    let harmless = effects(
        "verbs.\"repo.delete\" = { access = \"privileged\" }",
        "verbs.\"repo.delete\" = { access = \"write\" }",
    );
    assert!(
        harmless.contains(&"widens tool github: repo.delete: access privileged -> write".to_owned()),
        "{harmless:?}"
    );
    let observed = effects(
        "audience = \"https://tools.acme.example/github\"",
        "audience = \"https://tools.acme.example/github\"\nmode = \"observe\"\nuntil = \"2026-12-31T00:00:00Z\"",
    );
    assert_eq!(observed, ["widens tool github: is not enforced until 2026-12-31T00:00:00Z"]);
    let wire = "[[tripwires]]\nname = \"w\"\naccess = \"write\"\nrefusals = 10\nwithin = \"1m\"\n";
    let with = |wire: &str| format!("{EXAMPLE}\n{wire}");
    assert!(sentences(&with(wire), EXAMPLE)[0].starts_with("widens tripwire w: is gone"));
    assert!(
        sentences(&with(wire), &with(&wire.replace("10", "5")))[0]
            .starts_with("narrows tripwire w: 10 refusals")
    );
    assert!(
        sentences(&with(wire), &with(&wire.replace("10", "20")))[0]
            .starts_with("widens tripwire w: 10 refusals")
    );
    assert_eq!(sentences(&with("[gate]\n"), EXAMPLE), ["widens gate: min_cases 1 -> 0"]);
    assert_eq!(
        sentences(EXAMPLE, &with("[gate]\nmax_newly_denied = 0.5\nmin_cases = 0")),
        ["widens gate: max_newly_denied 1 % -> 50 %"]
    );
}

#[test]
fn operators_by_group_are_told_one_by_one() {
    let with = |entries: &str| format!("{ADMIN}{entries}");
    let entry = "[[identities]]\noperators = [\"bob\", \"carol\"]\nissuer = \"https://id.acme.example\"\n\
                 audience = \"console\"\ngroup = \"oncall\"\n";
    let by = |group: &str| {
        format!(
            "a token of https://id.acme.example with the group {group} in groups, named by preferred_username for console"
        )
    };
    assert_eq!(
        sentences(&with(""), &with(entry)),
        ["bob", "carol"].map(|name| format!("widens operator:{name}: can be proved by {}", by("oncall")))
    );
    let told = sentences(&with(entry), &with(&entry.replace("\"oncall\"", "\"staff\"")));
    let gains =
        ["bob", "carol"].map(|name| format!("widens operator:{name}: can be proved by {}", by("staff")));
    let loses = ["bob", "carol"]
        .map(|name| format!("narrows operator:{name}: can no longer be proved by {}", by("oncall")));
    assert_eq!(told, [gains, loses].concat());
    assert_eq!(
        sentences(&with(entry), &with(&entry.replace(", \"carol\"", ""))),
        [format!("narrows operator:carol: can no longer be proved by {}", by("oncall"))]
    );
    // More is demanded of the same people.
    let narrower = format!("{entry}claims = {{ acr = \"mfa\" }}\n");
    let told = sentences(&with(entry), &with(&narrower));
    assert!(told.iter().all(|told| told.starts_with("narrows")) && !told.is_empty(), "{told:?}");
    // Two entries that no token could match both tell nothing of each other.
    let other = entry.replace("[\"bob\", \"carol\"]", "[\"dave\"]").replace("oncall", "leads");
    let told = sentences(&with(&format!("{entry}{other}")), &with(entry));
    assert_eq!(told, [format!("narrows operator:dave: can no longer be proved by {}", by("leads"))]);
}
