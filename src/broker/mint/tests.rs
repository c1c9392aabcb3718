//! How old the list may be for what a token allows, tool by tool.

use shortbread_protocol::access::Access;
use shortbread_protocol::call::Args;
use shortbread_protocol::normalise::Forms;
use shortbread_protocol::random::SystemRandom;
use shortbread_protocol::reason::Reason;
use shortbread_verifier::scope::Demand;

use super::*;
use crate::policy::Alternative as Way;
use crate::policy::model::Windows;
use crate::signer::LocalSigner;

const NOW: u64 = 1_795_176_000;

fn right(tool: &str, access: Access, windows: Windows) -> Right {
    Right {
        operation: format!("{tool}/{access}").parse().unwrap(),
        access,
        windows,
        forms: Forms::new(),
        alternatives: vec![Way { grant: "grant:1".into(), arguments: None }],
    }
}

/// The oldest list with which a token of these rights allows each of them, in seconds.
fn oldest(rights: &[Right]) -> Vec<u64> {
    let tools: BTreeSet<&str> = rights.iter().map(|right| right.operation.tool.as_str()).collect();
    let audience = |tool: &str| format!("https://{tool}.example");
    let audiences: Vec<_> = tools.into_iter().map(|tool| (tool.to_owned(), audience(tool))).collect();
    let minting = Minting {
        issuer: "https://broker.acme.example",
        principal: &Principal::Workflow("demo".parse().unwrap()),
        intent: &"triage".parse().unwrap(),
        task: &"tsk_1".parse().unwrap(),
        token: "tok_1",
        holder: Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        approval: None,
        once: None,
        issued: NOW,
        expires: NOW + 600,
        rights,
        audiences: &audiences,
        sealed: false,
    };
    let signer = LocalSigner::new("k1".parse().unwrap(), PrivateKey::from_seed(&[7; 32]));
    let token = mint(&minting, &signer, &SystemRandom).unwrap();
    let scope = chain::peek(&chain::decode(&token).unwrap()).unwrap();
    let args = Args::default();
    let allows = |right: &Right, age: u64| {
        let demand = Demand {
            now: NOW,
            audience: &audience(right.operation.tool.as_str()),
            tool: right.operation.tool.as_str(),
            verb: right.operation.verb.as_str(),
            args: Some(&args),
            holder: minting.holder,
            unused: None,
            revocation_age: Some(age),
            args_sha256: None,
        };
        scope.evaluate(&demand).is_ok()
    };
    let last = |right: &Right| (0..=1000).rev().find(|age| allows(right, *age)).unwrap();
    rights.iter().map(last).collect()
}

#[test]
fn each_right_keeps_to_the_windows_of_its_tool() {
    let (usual, short) = (Windows::default(), Windows { privileged: 30, write: 120 });
    let rights = [
        right("a", Access::Read, short),
        right("a", Access::Write, short),
        right("a", Access::Privileged, short),
        right("b", Access::Read, usual),
        right("b", Access::Write, usual),
        right("b", Access::Privileged, usual),
    ];
    assert_eq!(oldest(&rights), [1000, 120, 30, 1000, 300, 60]);
    assert_eq!(oldest(&rights[..1]), [1000]);
    assert_eq!(oldest(&rights[2..3]), [30]);
}

#[test]
fn more_windows_than_there_is_room_for_only_deny_sooner() {
    let rights: Vec<Right> = (0..20)
        .map(|n| right(&format!("t{n}"), Access::Write, Windows { privileged: 10, write: 100 + n }))
        .collect();
    let oldest = oldest(&rights);
    for (right, oldest) in rights.iter().zip(oldest) {
        assert!((100..=u64::from(right.windows.write)).contains(&oldest), "{oldest} of {:?}", right.windows);
    }
}

/// What a token of two verbs, of which one is good once, says to a call of one of them.
fn judged(
    args_sha256: Option<[u8; 32]>,
    verb: &str,
    args: Option<[u8; 32]>,
    unused: Option<&str>,
) -> Result<Access, Reason> {
    let rights = [
        right("pay", Access::Read, Windows::default()),
        right("pay", Access::Privileged, Windows::default()),
    ];
    let verbs = [rights[1].operation.clone()];
    let minting = Minting {
        issuer: "https://broker.acme.example",
        principal: &Principal::Workflow("demo".parse().unwrap()),
        intent: &"triage".parse().unwrap(),
        task: &"tsk_1".parse().unwrap(),
        token: "tok_1",
        holder: None,
        approval: Some("apr_1"),
        once: Some(Once { verbs: &verbs, args_sha256 }),
        issued: NOW,
        expires: NOW + 600,
        rights: &rights,
        audiences: &[("pay".to_owned(), "https://pay.example".to_owned())],
        sealed: true,
    };
    let signer = LocalSigner::new("k1".parse().unwrap(), PrivateKey::from_seed(&[7; 32]));
    let token = mint(&minting, &signer, &SystemRandom).unwrap();
    let scope = chain::peek(&chain::decode(&token).unwrap()).unwrap();
    assert_eq!(scope.id(SelectorKind::Approval), Some("apr_1"));
    let demand = Demand {
        now: NOW,
        audience: "https://pay.example",
        tool: "pay",
        verb,
        args: None,
        holder: None,
        unused,
        revocation_age: Some(1),
        args_sha256: args,
    };
    scope.evaluate(&demand).map_err(|refusal| refusal.reason)
}

#[test]
fn a_verb_that_is_good_once_wants_its_use_and_the_others_do_not() {
    assert_eq!(judged(None, "privileged", None, Some("tok_1")), Ok(Access::Privileged));
    assert_eq!(judged(None, "privileged", None, None), Err(Reason::AlreadyUsed));
    assert_eq!(judged(None, "privileged", None, Some("tok_2")), Err(Reason::AlreadyUsed));
    assert_eq!(judged(None, "read", None, None), Ok(Access::Read));
}

#[test]
fn a_token_of_one_exact_call_is_good_for_its_arguments_alone() {
    let (exact, other) = (Some([1; 32]), Some([2; 32]));
    assert_eq!(judged(exact, "privileged", exact, Some("tok_1")), Ok(Access::Privileged));
    assert_eq!(judged(exact, "privileged", exact, None), Err(Reason::AlreadyUsed));
    for args in [other, None] {
        assert_eq!(judged(exact, "privileged", args, Some("tok_1")), Err(Reason::ApprovedCallOnly));
    }
    assert_eq!(judged(exact, "read", None, None), Ok(Access::Read));
}

#[test]
fn every_check_that_a_token_may_have_fits_into_its_profile() {
    let rights: Vec<Right> = (0..20)
        .map(|n| right(&format!("t{n}"), Access::Write, Windows { privileged: 10, write: 100 + n }))
        .collect();
    let verbs = [rights[0].operation.clone()];
    let minting = Minting {
        issuer: "https://broker.acme.example",
        principal: &Principal::Workflow("demo".parse().unwrap()),
        intent: &"triage".parse().unwrap(),
        task: &"tsk_1".parse().unwrap(),
        token: "tok_1",
        holder: Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        approval: Some("apr_1"),
        once: Some(Once { verbs: &verbs, args_sha256: Some([1; 32]) }),
        issued: NOW,
        expires: NOW + 600,
        rights: &rights,
        audiences: &[("t0".to_owned(), "https://t0.example".to_owned())],
        sealed: true,
    };
    let signer = LocalSigner::new("k1".parse().unwrap(), PrivateKey::from_seed(&[7; 32]));
    assert!(mint(&minting, &signer, &SystemRandom).is_ok());
}
