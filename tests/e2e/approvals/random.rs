//! Random histories: whatever happens in whatever order, an approval is never spent twice, never by another key, and never
//! for more than was shown to those who voted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::approvals::tend;
use shortbread_tests::{Answer, Desk, refund};

const HISTORIES: u64 = 10;
const STEPS: usize = 120;

/// The same numbers for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// A request as the test follows it.
struct Followed {
    asked: Answer,
    key: &'static str,
    /// What was shown to whoever voted last.
    shown: Value,
    /// Who voted since it was last narrowed.
    votes: BTreeSet<String>,
    spent: bool,
}

const KEYS: [&str; 2] = ["desk", "agent"];
const OPERATORS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// Two of four have to agree, and everyone is on call.
fn two(text: String) -> String {
    let text = text.replace("quorum = 1", "quorum = 2");
    text.replace("members = [\"alice\", \"bob\"]", "members = [\"alice\", \"bob\", \"carol\", \"dave\"]")
}

#[tokio::test]
async fn over_random_histories_nothing_is_spent_twice_by_another_key_or_for_more_than_was_shown() {
    let mut spent = 0;
    for seed in 0..HISTORIES {
        let mut history = History { desk: Desk::changed(two).await, dice: Dice(seed), all: BTreeMap::new() };
        for _ in 0..STEPS {
            history = history.step().await;
        }
        spent += history.all.values().filter(|one| one.spent).count();
    }
    assert!(spent > 10, "the histories come to something: {spent}");
}

struct History {
    desk: Desk,
    dice: Dice,
    all: BTreeMap<String, Followed>,
}

impl History {
    async fn step(mut self) -> Self {
        match self.dice.below(20) {
            0..=2 => self.ask().await,
            3..=10 => self.vote().await,
            11..=15 => self.fetch().await,
            16 if self.dice.below(4) == 0 => self.close().await,
            17 => self.pass().await,
            18 if self.dice.below(2) == 0 => self.activate().await,
            _ if self.dice.below(3) == 0 => {
                let desk = Desk { world: self.desk.world.restart().await };
                return Self { desk, ..self };
            }
            _ => self.pass().await,
        }
        self
    }

    async fn ask(&mut self) {
        let key = if self.dice.below(2) == 0 { KEYS[0] } else { KEYS[1] };
        let n = i64::try_from(self.dice.below(3)).unwrap();
        let call = |n: i64| json!({ "verb": "refunds.create", "args": { "amount": n + 1, "charge": "c" } });
        let details = match self.dice.below(3) {
            0 => refund(n + 1, "c"),
            1 => {
                json!([{ "type": "shortbread_tool_call", "tool": "payments", "calls": [call(0), call(1), call(n)] }])
            }
            _ => {
                json!([{ "type": "shortbread_tool_call", "tool": "github", "actions": ["issues.write", "issues.read"] }])
            }
        };
        let asked = self.desk.ask_as("desk", key, &[("authorization_details", &details.to_string())]).await;
        if asked.text("/error") != "authorization_pending" {
            return;
        }
        let id = asked.text("/shortbread/approval_id").to_owned();
        let shown = self.desk.show("bob", &asked).await.body["shown"].clone();
        let new = Followed { asked, key, shown, votes: BTreeSet::new(), spent: false };
        self.all.entry(id).or_insert(new);
    }

    fn any(&mut self) -> Option<String> {
        let n = self.dice.below(self.all.len().max(1) as u64);
        self.all.keys().nth(usize::try_from(n).unwrap()).cloned()
    }

    async fn vote(&mut self) {
        let Some(id) = self.any() else { return };
        for _ in 0..=self.dice.below(3) {
            self.vote_on(&id).await;
        }
    }

    async fn vote_on(&mut self, id: &str) {
        let name = self.dice.pick(&OPERATORS);
        let wish = match self.dice.below(6) {
            0 => json!({ "narrow": { "ttl": 30 + self.dice.below(300) } }),
            1 => json!({ "narrow": { "drop_calls": [self.dice.below(3)] } }),
            2 => {
                json!({ "narrow": { "constraints": { "github/issues.write": { "repo": { "eq": "acme/web" } } } } })
            }
            3 => {
                json!({ "narrow": { "constraints": { "github/issues.write": { "repo": { "eq": "acme/secret" } } } } })
            }
            _ => json!({}),
        };
        let one = self.all.get_mut(id).unwrap();
        let done = self.desk.approve_with(name, &one.asked, wish.clone()).await;
        if done.status != 200 {
            return;
        }
        assert!(name != "alice" && !one.spent, "an owner, or after the end: {done:?}");
        let before = std::mem::replace(&mut one.shown, done.body["shown"].clone());
        assert!(inside(&one.shown, &before), "narrowed to more: {before} -> {}", one.shown);
        if wish.get("narrow").is_some() {
            one.votes.clear();
        }
        one.votes.insert(name.to_owned());
    }

    async fn fetch(&mut self) {
        let Some(id) = self.any() else { return };
        let key = if self.dice.below(4) == 0 { "thief" } else { self.dice.pick(&KEYS) };
        let one = self.all.get_mut(&id).unwrap();
        let code = one.asked.text("/deferral_code").to_owned();
        self.desk.world.clock.advance(Duration::from_secs(6));
        let fetch = || self.desk.fetch_by("desk", key, &code, None);
        let (first, second) = tokio::join!(fetch(), fetch());
        for answer in [first, second].into_iter().filter(|answer| answer.status == 200) {
            assert!(!one.spent, "spent twice: {id}");
            assert_eq!(key, one.key, "by another key: {id}");
            assert!(one.votes.len() >= 2, "by {:?} alone: {id}", one.votes);
            assert!(granted_inside(&answer, &one.shown), "wider than shown: {answer:?} {}", one.shown);
            one.spent = true;
        }
    }

    async fn close(&mut self) {
        let Some(id) = self.any() else { return };
        let one = &self.all[&id];
        if self.dice.below(2) == 0 {
            self.desk.deny("carol", &one.asked, "no").await;
        } else {
            self.desk.cancel(&one.asked).await;
        }
    }

    async fn pass(&mut self) {
        self.desk.world.clock.advance(Duration::from_secs(self.dice.below(90)));
        tend(&self.desk.world.broker).await.unwrap();
    }

    async fn activate(&mut self) {
        let max = 1 + self.dice.below(4);
        let repos = ["[\"acme/web\"]", "[\"acme/web\", \"acme/docs\", \"acme/secret\"]"]
            [usize::try_from(self.dice.below(2)).unwrap()];
        self.desk
            .activate(|text| {
                let text = two(text).replacen("max = 10000", &format!("max = {max}"), 1);
                text.replace("[\"acme/web\", \"acme/docs\"]", repos)
            })
            .await;
    }
}

/// Whether one thing that is shown is no more than another.
fn inside(less: &Value, more: &Value) -> bool {
    let list = |of: &Value, name: &str| of[name].as_array().cloned().unwrap_or_default();
    let calls = list(more, "calls");
    less["ttl"].as_u64() <= more["ttl"].as_u64()
        && list(less, "calls").iter().all(|call| calls.contains(call))
        && list(less, "rights").iter().all(|right| {
            list(more, "rights").iter().any(|other| {
                right["operation"] == other["operation"]
                    && repos(&right["constraints"]).is_subset(&repos(&other["constraints"]))
            })
        })
}

fn repos(constraints: &Value) -> BTreeSet<String> {
    let repo = &constraints["repo"];
    let many = repo["in"].as_array().cloned().unwrap_or_default();
    let texts = many.iter().chain([&repo["eq"]]).filter_map(|text| text.as_str().map(str::to_owned));
    texts.collect()
}

fn granted_inside(answer: &Answer, shown: &Value) -> bool {
    let calls = answer.body["shortbread"]["calls"].as_array().cloned().unwrap_or_default();
    let life = answer.body["expires_in"].as_u64() <= shown["ttl"].as_u64();
    if let Some(shown) = shown["calls"].as_array() {
        let same = |call: &Value, other: &Value| {
            call["place"] == other["place"] && call["args_sha256"] == other["args_sha256"]
        };
        return life
            && !calls.is_empty()
            && calls.iter().all(|call| shown.iter().any(|other| same(call, other)));
    }
    let rights = shown["rights"].as_array().unwrap();
    let details = answer.body["authorization_details"].as_array().unwrap();
    life && details.iter().all(|detail| {
        detail["actions"].as_array().unwrap().iter().all(|verb| {
            let name = format!("{}/{}", detail["tool"].as_str().unwrap(), verb.as_str().unwrap());
            let held = repos(&detail["constraints"][verb.as_str().unwrap()]);
            rights
                .iter()
                .any(|right| right["operation"] == name && held.is_subset(&repos(&right["constraints"])))
        })
    })
}
