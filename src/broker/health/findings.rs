//! What works on less than usual, what that means and what to do. Pure: over what was gathered.

use shortbread_protocol::admin::{FindingBody, HealthAnswer, HealthState, KeyHealthBody};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::key_document::KeyPurpose;

use crate::identity::IssuerStanding;
use crate::store::Revocations;
use crate::text::{count, grouped, span};

/// How many days before its end a key without a successor is told of.
const SOON: u64 = 14;

/// How long notices may wait for the webhook before that is told of, in seconds.
const SLOW: u64 = 300;

/// What stands in no body.
pub(super) struct Facts {
    /// Why no checkpoint of the audit log could be signed.
    pub(super) unsigned: Option<String>,
    /// Tools that are not enforced, and until when.
    pub(super) observed: Vec<(String, u64)>,
    /// How many instances of verifiers have been behind for long.
    pub(super) behind: u64,
    /// The keys of issuers.
    pub(super) issuers: Vec<IssuerStanding>,
    /// What stops everything.
    pub(super) stop: Option<Stop>,
    /// Whether a policy should be in force and cannot be used.
    pub(super) unsound: bool,
}

/// Who stopped everything.
pub(super) enum Stop {
    /// An operator, and when.
    Operator(String, u64),
    /// The offline root key.
    Root,
}

impl Stop {
    /// Whether nothing new is good either.
    pub(super) fn of(list: &Revocations, now: u64) -> Option<Self> {
        if list.stopped() > now {
            return Some(Self::Root);
        }
        let entry = list.global_entry().filter(|entry| entry.before > now)?;
        Some(Self::Operator(entry.operator.to_string(), entry.set_at.seconds()))
    }
}

/// Every finding, the worst first.
pub(super) fn all(answer: &HealthAnswer, facts: &Facts) -> Vec<FindingBody> {
    let mut found: Vec<FindingBody> = [
        store(answer),
        policy(answer, facts),
        head(answer),
        stop(facts),
        log(answer, facts),
        anchor(answer),
        silent(answer),
        behind(facts),
    ]
    .into_iter()
    .flatten()
    .collect();
    found.extend(keys(answer));
    found.extend(facts.issuers.iter().filter(|issuer| issuer.failing).map(|issuer| issuers(issuer, answer)));
    found.extend(webhook(answer));
    found.extend(facts.observed.iter().map(|(tool, until)| observed(tool, *until)));
    found.sort_by_key(|finding| std::cmp::Reverse(finding.state));
    found
}

fn failing(step: &str, about: &str, meaning: impl Into<String>, fix: &str) -> FindingBody {
    let (step, about, fix) = (step.to_owned(), about.to_owned(), fix.to_owned());
    FindingBody { step, state: HealthState::Failing, about, meaning: meaning.into(), fix, since: None }
}

fn degraded(step: &str, about: &str, meaning: impl Into<String>, fix: &str) -> FindingBody {
    FindingBody { state: HealthState::Degraded, ..failing(step, about, meaning, fix) }
}

fn store(answer: &HealthAnswer) -> Option<FindingBody> {
    let fault = answer.store.fault.as_ref()?;
    if answer.store.state == "at reserve" {
        let meaning = "it is full but for its reserve: exchanges are refused, the switch works";
        return Some(failing("store", "the store", meaning, "free some space on its disk"));
    }
    let meaning = format!("nothing is recorded, so no token is issued: {fault}");
    let fix = "look at its disk and the broker's log; `shortbread doctor --broker-config FILE` on its machine reads it whole";
    Some(failing("store", "the store", meaning, fix))
}

fn policy(answer: &HealthAnswer, facts: &Facts) -> Option<FindingBody> {
    if answer.policy.version > 0 {
        return None;
    }
    if facts.unsound {
        let meaning = "it cannot be used, so nothing is granted; its operators keep the switch";
        let fix = "the broker's log says what is wrong; `shortbread policy rollback --offline` on its machine puts another in force";
        return Some(failing("policy", "the policy", meaning, fix));
    }
    let fix = "put one in force: `shortbread policy activate`";
    Some(failing("policy", "the policy", "none is in force: nothing is granted", fix))
}

fn head(answer: &HealthAnswer) -> Option<FindingBody> {
    if !answer.head.late {
        return None;
    }
    let age =
        answer.head.age.map_or_else(|| "there is none".to_owned(), |age| format!("it is {} old", span(age)));
    let meaning = format!(
        "{age}, and one is due every {} s: what is revoked now reaches nobody, and verifiers refuse privileged calls \
         after a minute, writes after 5 and reads after 15",
        answer.head.period
    );
    let found =
        failing("head", "the revocation list", meaning, "look at the broker's log and its store's disk");
    Some(FindingBody { since: answer.head.age.map(|age| answer.now.saturating_sub(age)), ..found })
}

fn stop(facts: &Facts) -> Option<FindingBody> {
    let meaning = "no token is good, and none is issued but to operators";
    Some(match facts.stop.as_ref()? {
        Stop::Root => {
            let fix = "when it is over: `shortbread break-glass` with the root key";
            degraded("stop", "everything is stopped by the root key", meaning, fix)
        }
        Stop::Operator(by, at) => {
            let about = format!("everything is revoked by {by}");
            let found = degraded("stop", &about, meaning, "when it is over: `shortbread lift --all`");
            FindingBody { since: Some(*at), ..found }
        }
    })
}

fn log(answer: &HealthAnswer, facts: &Facts) -> Option<FindingBody> {
    let why = facts.unsigned.as_ref()?;
    let left = grouped(answer.log.entries.saturating_sub(answer.log.signed));
    let meaning = format!("of its entries the last {left} are not signed: {why}");
    let fix = "see that an audit key is valid and the store has room; if the log was changed, keep a copy and run `shortbread audit verify`";
    let found = failing("log", "the audit log", meaning, fix);
    Some(FindingBody { since: answer.log.at, ..found })
}

fn anchor(answer: &HealthAnswer) -> Option<FindingBody> {
    let takes_nothing = answer.log.anchor.is_some_and(|state| state != HealthState::Good);
    takes_nothing.then(|| {
        let meaning = "it takes no checkpoints: nobody could see it if the end of the audit log were cut off";
        degraded(
            "anchor",
            "the file of anchors",
            meaning,
            "look at the file that [log] anchor_file names and at its disk",
        )
    })
}

fn keys(answer: &HealthAnswer) -> Vec<FindingBody> {
    let mut found = Vec::new();
    for purpose in KeyPurpose::BROKER {
        let of: Vec<&KeyHealthBody> =
            answer.keys.iter().filter(|key| key.key.purpose == purpose.as_str()).collect();
        let Some(signs) = of.iter().find(|key| key.key.state == "signs") else {
            let about = format!("the {} keys", purpose.as_str());
            let meaning = format!("none of them signs: {}", unsigned(purpose));
            found.push(failing("key", &about, meaning, ROTATE));
            continue;
        };
        let follows = |key: &&KeyHealthBody| {
            key.key.not_after > signs.key.not_after && ["waits", "early"].contains(&key.key.state.as_str())
        };
        if signs.days_left < SOON && !of.iter().any(follows) {
            let about = format!("the {} key {}", purpose.as_str(), signs.key.name);
            let end = Timestamp::from_seconds(signs.key.not_after);
            let left = span(signs.key.not_after.saturating_sub(answer.now));
            let meaning =
                format!("it ends in {left}, on {end}, and none follows it: then {}", unsigned(purpose));
            found.push(degraded("key", &about, meaning, ROTATE));
        }
    }
    found
}

const ROTATE: &str =
    "`shortbread keys rotate`, have the document signed by the root key, and `shortbread keys activate` it";

const fn unsigned(purpose: KeyPurpose) -> &'static str {
    match purpose {
        KeyPurpose::Token => "no token is issued",
        KeyPurpose::Revocation => "no revocation list is signed, and verifiers grow strict",
        KeyPurpose::Audit => "the audit log is not signed",
        KeyPurpose::Approver => "no vote is signed",
    }
}

fn issuers(issuer: &IssuerStanding, answer: &HealthAnswer) -> FindingBody {
    let about = format!("the identity issuer {}", issuer.issuer);
    let fix = "see whether its keys can be fetched from the broker's machine; `shortbread explain identity.issuer_unavailable`";
    let mine = |kind: &str, source: &str| kind == "issuer" && source == issuer.issuer;
    let breaker = answer.breakers.iter().find(|breaker| mine(&breaker.kind, &breaker.source));
    let since = breaker.and_then(|breaker| breaker.since);
    let usable = issuer.age.zip(issuer.left).filter(|(_, left)| !left.is_zero());
    let found = match usable {
        Some((age, left)) => {
            let (age, left) = (span(age.as_secs()), span(left.as_secs()));
            let meaning = format!(
                "new keys cannot be fetched; those at hand are {age} old and are used for {left} more"
            );
            degraded("issuer", &about, meaning, fix)
        }
        None => {
            let meaning = "its keys cannot be fetched and none are at hand: workflows that prove themselves there are refused";
            failing("issuer", &about, meaning, fix)
        }
    };
    FindingBody { since, ..found }
}

fn webhook(answer: &HealthAnswer) -> Vec<FindingBody> {
    let Some(hook) = &answer.webhook else { return Vec::new() };
    let about = format!("the webhook at {}", hook.host);
    let open = answer.breakers.iter().find(|breaker| breaker.kind == "webhook" && breaker.state != "closed");
    let waiting = count(hook.waiting, "notice");
    let mut found = Vec::new();
    if hook.disabled {
        let meaning =
            "it answered 410 Gone: operators are told of nothing over it until the broker starts again";
        found.push(failing("webhook", &about, meaning, "correct [webhook] and restart the broker"));
    } else if let Some(open) = open {
        let meaning =
            format!("it failed and is left alone for a while; {waiting} wait for it, for three days at most");
        let slow = degraded("webhook", &about, meaning, "see whether the receiver runs");
        found.push(FindingBody { since: open.since, ..slow });
    } else if hook.oldest > SLOW {
        let meaning = format!("{waiting} wait for it, the oldest for {}", span(hook.oldest));
        found.push(degraded("webhook", &about, meaning, "see whether the receiver runs and takes them"));
    }
    if hook.dropped > 0 {
        let meaning = format!("{} never arrived within the last day", count(hook.dropped, "notice"));
        found.push(degraded("notices", &about, meaning, "read them: `shortbread notices dropped`"));
    }
    found
}

fn observed(tool: &str, until: u64) -> FindingBody {
    let meaning = format!(
        "its calls are observed and not enforced until {}: calls pass that would be denied, unless they are revoked",
        Timestamp::from_seconds(until)
    );
    let fix = "when the figures say so, take mode and until out of the policy and activate it";
    degraded("tool", &format!("the tool {tool}"), meaning, fix)
}

fn silent(answer: &HealthAnswer) -> Option<FindingBody> {
    let silent = answer.verifiers.silent;
    (silent > 0).then(|| {
        let about = format!("{} of verifiers", count(silent, "instance"));
        let meaning = "silent: whether they enforce the newest revocations is known by the bound alone";
        let fix = "`shortbread revocations status` names them; one that is gone for good: `shortbread revocations forget`";
        degraded("verifier", &about, meaning, fix)
    })
}

fn behind(facts: &Facts) -> Option<FindingBody> {
    (facts.behind > 0).then(|| {
        let about = format!("{} of verifiers", count(facts.behind, "instance"));
        let meaning = "they report, and have not applied the newest change for more than a minute";
        degraded(
            "verifier",
            &about,
            meaning,
            "`shortbread revocations status` names them; look at their logs",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn answer(change: impl FnOnce(&mut Value)) -> HealthAnswer {
        let key = |purpose: &str| {
            json!({ "purpose": purpose, "name": purpose, "state": "signs", "not_before": 0, "not_after": 9_000_000,
                "thumbprint": "t", "age": 1, "days_left": 90 })
        };
        let mut body = json!({
            "now": 1000, "state": "good", "findings": [], "store": { "state": "healthy" },
            "policy": { "version": 1, "digest": "sha256:0", "since": 1, "by": "alice", "trial": null },
            "head": { "seq": 7, "age": 2, "period": 5, "late": false },
            "log": { "entries": 9, "signed": 9, "at": 990, "anchor": "good" },
            "keys_version": 1, "keys": [key("token"), key("revocation"), key("audit")], "breakers": [], "issuers": [],
            "webhook": { "host": "hook.example", "waiting": 0, "oldest": 0, "disabled": false, "dropped": 0 },
            "verifiers": { "enforcing": 1, "behind": 0, "silent": 0, "gone": 0 }, "unreported": [],
        });
        change(&mut body);
        serde_json::from_value(body).unwrap()
    }

    fn facts() -> Facts {
        Facts {
            unsigned: None,
            observed: Vec::new(),
            behind: 0,
            issuers: Vec::new(),
            stop: None,
            unsound: false,
        }
    }

    #[test]
    fn where_all_is_well_nothing_is_found() {
        assert_eq!(all(&answer(|_| {}), &facts()), []);
    }

    #[test]
    fn each_thing_that_is_amiss_is_found_with_what_to_do() {
        type Change = fn(&mut Value);
        let cases: [(Change, &str, HealthState, &str); 11] = [
            (
                |b| b["store"] = json!({ "state": "failing", "fault": "disk" }),
                "store",
                HealthState::Failing,
                "disk",
            ),
            (
                |b| b["store"] = json!({ "state": "at reserve", "fault": "x" }),
                "store",
                HealthState::Failing,
                "reserve",
            ),
            (|b| b["policy"]["version"] = 0.into(), "policy", HealthState::Failing, "nothing is granted"),
            (|b| b["head"]["late"] = true.into(), "head", HealthState::Failing, "2s old"),
            (|b| b["log"]["anchor"] = "degraded".into(), "anchor", HealthState::Degraded, "cut off"),
            (|b| b["keys"][0]["state"] = "over".into(), "key", HealthState::Failing, "no token is issued"),
            (|b| b["keys"][2]["days_left"] = 13.into(), "key", HealthState::Degraded, "none follows it"),
            (|b| b["webhook"]["disabled"] = true.into(), "webhook", HealthState::Failing, "410 Gone"),
            (|b| b["webhook"]["oldest"] = 301.into(), "webhook", HealthState::Degraded, "5m 1s"),
            (|b| b["webhook"]["dropped"] = 2.into(), "notices", HealthState::Degraded, "2 notices"),
            (|b| b["verifiers"]["silent"] = 1.into(), "verifier", HealthState::Degraded, "bound"),
        ];
        for (change, step, state, says) in cases {
            let found = all(&answer(change), &facts());
            let [finding] = found.as_slice() else { panic!("{step}: {found:?}") };
            assert_eq!((finding.step.as_str(), finding.state), (step, state), "{finding:?}");
            assert!(finding.meaning.contains(says) && !finding.fix.is_empty(), "{finding:?}");
        }
    }

    #[test]
    fn what_stands_in_no_body_is_found_too_and_the_worst_comes_first() {
        let issuer = |name: &str, age: Option<u64>| IssuerStanding {
            issuer: name.to_owned(),
            age: age.map(Duration::from_secs),
            left: age.map(|age| Duration::from_secs(86_400 - age)),
            failing: true,
        };
        let facts = Facts {
            unsigned: Some("no key".to_owned()),
            observed: vec![("github".to_owned(), 5000)],
            behind: 2,
            issuers: vec![issuer("https://old.example", Some(3600)), issuer("https://none.example", None)],
            stop: Some(Stop::Operator("alice".to_owned(), 900)),
            unsound: false,
        };
        let found = all(&answer(|_| {}), &facts);
        let told: Vec<(&str, &str)> =
            found.iter().map(|finding| (finding.step.as_str(), finding.state.as_str())).collect();
        let wanted = [
            ("log", "failing"),
            ("issuer", "failing"),
            ("stop", "degraded"),
            ("verifier", "degraded"),
            ("issuer", "degraded"),
            ("tool", "degraded"),
        ];
        assert_eq!(told, wanted);
        assert!(found[4].meaning.contains("1h old and are used for 23h more"), "{:?}", found[4]);
        assert_eq!(found[2].since, Some(900));
    }

    #[test]
    fn a_key_that_has_a_successor_may_end() {
        let found = all(
            &answer(|body| {
                let mut next = body["keys"][0].clone();
                next["state"] = "waits".into();
                next["not_after"] = 99_000_000.into();
                body["keys"][0]["days_left"] = 3.into();
                body["keys"].as_array_mut().unwrap().push(next);
            }),
            &facts(),
        );
        assert_eq!(found, []);
    }
}
