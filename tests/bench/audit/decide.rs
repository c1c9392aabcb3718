//! One decision under a policy of 1,000 workflows and 10,000 grants.

use std::fmt::Write as _;
use std::hint::black_box;

use serde_json::Map;
use shortbread_broker::policy::model::Principal;
use shortbread_broker::policy::{Asked, Options, Policy, Possession, Request, decide};
use shortbread_protocol::keys::PrivateKey;

use crate::figure::{Figure, Target};
use crate::rounds::{Operation, interleaved};
use crate::{Outcome, progress};

const WORKFLOWS: usize = 1000;
const TOOLS: usize = 10;
const DECISION: &str = "policy.decide, 1,000 workflows, 10,000 grants, two verbs, one with conditions";

pub fn measure() -> Outcome<Vec<Figure>> {
    progress::say("audit: a policy of 10,000 grants");
    let policy = large(WORKFLOWS)?;
    let principals: Vec<Principal> =
        (0..WORKFLOWS).map(|n| Ok(Principal::Workflow(format!("w{n}").parse()?))).collect::<Outcome<_>>()?;
    let mut asked = Vec::new();
    for tool in 0..TOOLS {
        let one = |verb: &str| -> Outcome<Asked> {
            Ok(Asked { operation: format!("t{tool}/{verb}").parse()?, arguments: None })
        };
        asked.push([one("r")?, one("w")?]);
    }
    let none = Map::new();
    let mut n = 0_usize;
    let decision = || {
        // Every time another workflow and another tool.
        n = n.wrapping_add(7919);
        let request = Request {
            principal: &principals[n % WORKFLOWS],
            claims: &none,
            intent: None,
            asked: &asked[n % TOOLS],
            ttl: None,
            possession: Possession::Proved,
        };
        decide(&policy, black_box(&request)).map_or(0, |granted| granted.rights.len())
    };
    let mut operations: [(String, Operation<'_>); 1] = [(DECISION.to_owned(), Box::new(decision))];
    let samples = interleaved(&mut operations)?;
    Ok(vec![Figure::of(DECISION, "µs", samples.of(DECISION)?.to_vec()).target(Target::AtMost(2.0))])
}

/// A policy of so many workflows, each with ten grants of two verbs.
pub(super) fn large(workflows: usize) -> Outcome<Policy> {
    let mut text = String::new();
    for tool in 0..TOOLS {
        writeln!(
            text,
            "[tools.t{tool}]\naudience = \"https://t{tool}.example\"\nverbs.r = {{ access = \"read\" }}\nverbs.w = {{ access = \"write\", args = [\"a\"] }}"
        )?;
    }
    for n in 0..workflows {
        writeln!(text, "[[identities]]\nworkflow = \"w{n}\"\nkey = \"k{n}\"")?;
        for tool in 0..TOOLS {
            writeln!(
                text,
                "[[grants]]\nworkflow = \"w{n}\"\ntool = \"t{tool}\"\nverbs = [\"r\", \"w\"]\nconstraints.w = {{ a = {{ eq = {n} }} }}"
            )?;
        }
    }
    text.push_str("[[identities]]\noperator = \"o\"\nkey = \"o\"\n[[grants]]\noperator = \"o\"\ntool = \"shortbread\"\nverbs = [\"*\"]\n");
    let files = |name: &str| {
        let mut seed = [9; 32];
        seed.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        Ok(PrivateKey::from_seed(&seed).public().to_pem())
    };
    let options = Options { issuer: "https://broker.acme.example".to_owned() };
    Policy::compile(&text, "policy.toml", &files, &options)
        .map_err(|problems| problems.first().map_or_else(String::new, ToString::to_string).into())
}
