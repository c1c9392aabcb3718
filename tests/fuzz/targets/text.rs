//! What people and agents write: a policy, the arguments of a call.

use shortbread_broker::policy::{Options, Policy};
use shortbread_protocol::call::{Args, MAX_ARGS, MAX_ARGS_BYTES};
use shortbread_protocol::json;
use shortbread_protocol::keys::PrivateKey;

use super::ISSUER;

const EXAMPLES: [&str; 2] =
    [include_str!("../../../src/broker/policy/example.toml"), include_str!("../../bench/policy.toml")];

pub(super) fn policy(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    match compile(source) {
        Ok(policy) => {
            assert_eq!(policy.source(), source);
            let again = compile(source).expect("it compiled before");
            assert_eq!(again.digest(), policy.digest());
        }
        Err(problems) => {
            assert!((1..=200).contains(&problems.len()));
            let lines = source.bytes().filter(|byte| *byte == b'\n').count() + 1;
            for problem in problems {
                assert!((1..=lines).contains(&problem.line), "{problem}");
                assert!(!problem.message.is_empty() && !problem.fix.is_empty(), "{problem}");
                assert!(problem.message.len() + problem.fix.len() < 8192 && !problem.message.contains('\n'));
            }
        }
    }
}

fn compile(source: &str) -> Result<Policy, Vec<shortbread_broker::policy::Problem>> {
    let options = Options { issuer: ISSUER.to_owned() };
    Policy::compile(source, "policy.toml", &file, &options)
}

// Every path but a few is a public key of its own.
fn file(path: &str) -> Result<String, String> {
    if path.is_empty() || path.contains("missing") {
        return Err("no such file".to_owned());
    }
    let mut seed = [7; 32];
    seed.iter_mut().zip(path.bytes()).for_each(|(to, from)| *to ^= from);
    Ok(PrivateKey::from_seed(&seed).public().to_pem())
}

pub(super) fn policies() -> Vec<Vec<u8>> {
    EXAMPLES.map(|text| text.as_bytes().to_vec()).to_vec()
}

pub(super) fn args(data: &[u8]) {
    let _ = json::object(data);
    let Ok(args) = Args::from_json(data) else { return };
    assert!(data.len() <= MAX_ARGS_BYTES);
    let names: Vec<&str> = args.names().collect();
    assert!(names.len() <= MAX_ARGS && names.is_sorted_by(|a, b| a < b));
    for (at, name) in names.iter().enumerate() {
        assert_eq!(args.name(at), Some(*name));
        let _ = args.value(name);
    }
    if data.is_empty() {
        return;
    }
    let value = json::read(data).expect("it was read before");
    match (args.digest(), json::canonical(&value)) {
        (Some(digest), Some(canonical)) => {
            // Writing may take more bytes than what was read, by no more than its escapes.
            assert!(canonical.len() <= 6 * data.len());
            if let Ok(again) = Args::from_json(&canonical) {
                assert_eq!(again.digest(), Some(digest), "the canonical form is its own canonical form");
                assert!(again.names().eq(args.names()));
            }
        }
        (None, None) => {}
        (digest, canonical) => panic!("hashed {digest:?}, canonical {canonical:?}"),
    }
}

pub(super) fn calls() -> Vec<Vec<u8>> {
    let many: Vec<String> = (0..64).map(|n| format!("\"a{n}\":{n}")).collect();
    let texts = [
        "{}".to_owned(),
        r#"{"repo":"acme/web","title":"\u00e9\n","labels":["bug","ui"],"draft":true}"#.to_owned(),
        r#"{"amount":5000,"big":9007199254740992,"none":null,"half":1.5,"deep":{"a":[{"b":-1}]}}"#.to_owned(),
        format!("{{{}}}", many.join(",")),
    ];
    texts.map(String::into_bytes).to_vec()
}
