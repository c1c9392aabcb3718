//! Keys are replaced while the broker serves: nobody is cut off, nobody is let in, and a leaked key is worth nothing.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::instances::{Now, Said, fingerprint};
use shortbread_broker::keyring::{LATEST, UNREPORTED};
use shortbread_broker::mint::{Minting, mint};
use shortbread_broker::policy::model::{Identity, Principal, Windows};
use shortbread_broker::policy::{Alternative, Right};
use shortbread_broker::setup;
use shortbread_broker::signer::LocalSigner;
use shortbread_broker::store::Lease;
use shortbread_protocol::access::Access;
use shortbread_protocol::clock::{Clock as _, FOREVER};
use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose, Rotation};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::KeyName;
use shortbread_protocol::normalise::Forms;
use shortbread_protocol::random::SystemRandom;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_protocol::verifiers::Report;
use shortbread_tests::process::{Home, free_address};
use shortbread_tests::{Answer, World};
use shortbread_verifier::chain::{Token, decode};

use crate::revoked::{ALLOWED, Use, ask};

const READ: &str = "github/issues.read";
const DAY: u64 = 86_400;

/// The next document of a world: a new key beside the others, and keys that leave.
pub(crate) fn next(world: &World, purpose: KeyPurpose, name: &str, drop: &[&str]) -> KeyDocument {
    let path = world.path("keys").join(format!("{name}.pem"));
    setup::make_key(&path, &SystemRandom, true).unwrap();
    let now = world.clock.now().seconds();
    let name: KeyName = name.parse().unwrap();
    let key = world.key(name.as_str()).public();
    let rotation = Rotation {
        add: Some(DocumentKey { purpose, name, key, not_before: now, not_after: FOREVER }),
        retire: now + DAY,
        drop: drop.iter().map(|name| name.parse().unwrap()).collect(),
        break_glass: None,
    };
    world.broker.keyring.current().document.next(&rotation, now).unwrap()
}

pub(crate) async fn activate(world: &World, document: &KeyDocument) -> Answer {
    let signed = document.sign(&world.key("root"));
    world.admin("keys.rotate", "/api/v1/keys/document", &json!({ "document": signed })).await
}

/// Time passes, and the broker goes on signing heads.
pub(crate) async fn pass(world: &World, seconds: u64) {
    world.clock.advance(Duration::from_secs(seconds));
    world.broker.publish().await.unwrap();
}

/// The name of the key that a token says it was signed with, where the broker believes it.
fn signer(world: &World, token: &str) -> String {
    let opened = Token::open(&decode(token).unwrap(), &*world.broker.keyring).unwrap();
    opened.scope().id(SelectorKind::Key).unwrap_or_default().to_owned()
}

async fn signs(world: &World) -> String {
    signer(world, ask(world, READ).await.token())
}

fn states(answer: &Answer) -> Vec<(String, String)> {
    let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    let keys = answer.body["keys"].as_array().unwrap().iter();
    keys.map(|key| (text(key, "name"), text(key, "state"))).collect()
}

fn named(head: &Answer) -> u64 {
    let text = String::from_utf8(head.bytes.clone()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("keys ")).unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_rotation_needs_no_restart_and_cuts_nobody_off() {
    let world = World::start().await;
    let mut used = Use::of(&world, READ).await;
    let first = world.get("/revocations/keys/1").await;
    let done = activate(&world, &next(&world, KeyPurpose::Token, "token-2", &[])).await;
    assert_eq!(done.status, 200, "{done:?}");
    let state = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert!(
        states(&done).contains(&state("token", "signs"))
            && states(&done).contains(&state("token-2", "waits"))
    );
    assert_eq!(named(&world.head().await), 2, "the head that is served names it before it is answered");
    assert_eq!(world.get("/revocations/keys/1").await.bytes, first.bytes, "both are served");
    assert_eq!(world.get("/revocations/keys/2").await.status, 200);
    for none in ["0", "3", "02", "+2", "x"] {
        assert_eq!(world.get(&format!("/revocations/keys/{none}")).await.status, 404, "{none}");
    }
    let audit = world.audited(&done).await;
    assert_eq!(
        (&audit["version"], &audit["before"], &audit["operator"]),
        (&json!(2), &json!(1), &json!("alice"))
    );
    assert!(audit["changes"].to_string().contains("added token token-2"), "{audit}");
    // The old key signs until verifiers know the document; what it signed goes on.
    assert_eq!(signs(&world).await, "token");
    assert_eq!(used.token_now().await, ALLOWED);
    assert_eq!(used.tool.trust().status().keys_version, 2, "a verifier that follows knows it");
    pass(&world, UNREPORTED).await;
    assert_eq!(signs(&world).await, "token-2");
    let fresh = ask(&world, READ).await.token().to_owned();
    assert_eq!((used.now(&fresh).await, used.token_now().await), (ALLOWED, ALLOWED));
    let told = world.admin_read("keys.read", "/api/v1/keys").await;
    assert!(
        states(&told).contains(&state("token", "retired"))
            && states(&told).contains(&state("token-2", "signs"))
    );
    let jwks = world.get("/.well-known/jwks.json").await.body.to_string();
    assert!(jwks.contains("\"token\"") && jwks.contains("\"token-2\""));
    let biscuit = world.get("/.well-known/biscuit-web-keys").await;
    assert_eq!(biscuit.body.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn heads_are_signed_by_the_new_key_only_when_verifiers_know_it() {
    let world = World::start().await;
    let mut tool = world.tool("github");
    tool.poll().await;
    let done = activate(&world, &next(&world, KeyPurpose::Revocation, "revocation-2", &[])).await;
    assert_eq!(done.status, 200, "{done:?}");
    let heads = || world.broker.keyring.heads().unwrap().signer.name().to_string();
    assert_eq!(heads(), "revocation");
    tool.poll().await;
    pass(&world, UNREPORTED).await;
    assert_eq!(heads(), "revocation-2");
    tool.poll().await;
    assert_eq!(tool.trust().status().keys_version, 2);
    // One that slept through it all finds its way by the root key alone.
    let mut late = world.tool("github");
    late.poll().await;
    assert_eq!(late.seq(), tool.seq());
    let audit = activate(&world, &next(&world, KeyPurpose::Audit, "audit-2", &["audit"])).await;
    assert_eq!(audit.status, 200, "{audit:?}");
    assert_eq!(world.broker.keyring.audit().unwrap().name().as_str(), "audit-2", "nothing to wait with");
}

const VERIFIER: &str = r#"
[[identities]]
verifier = "github"
tools = ["github"]
key = "keys/github-tool.pub.pem"
"#;

#[tokio::test]
async fn a_verifier_that_reports_is_waited_for_a_quarter_of_an_hour_at_most() {
    let key = PrivateKey::from_seed(&[41; 32]).public();
    let policy = format!("{}{VERIFIER}", shortbread_tests::POLICY);
    for slow in [true, false] {
        let world =
            World::builder().policy(&policy).file("keys/github-tool.pub.pem", &key.to_pem()).start().await;
        let lease = Lease {
            instance: "i1".to_owned(),
            key: *key.as_bytes(),
            verifier: "github".parse().unwrap(),
            proof: [0; 32],
            tools: Vec::new(),
            label: None,
            since: world.clock.now(),
        };
        let policy = world.broker.policy.in_force().unwrap();
        let is_verifier = |identity: &&Identity| matches!(identity.principals[..], [Principal::Verifier(_)]);
        let proof = policy.identities().iter().find(is_verifier).map(fingerprint).unwrap();
        let lease = Lease { proof, ..lease };
        let now = || Now::of(&*world.clock);
        let room = world.broker.instances.room(&lease, now()).unwrap();
        world.broker.instances.admit(lease, key, room, now());
        let report = |n, keys_version| {
            let said = Said::Report(Report { keys_version, ..Report::default() });
            world.broker.instances.hear("i1", n, said, now()).unwrap();
        };
        assert_eq!(activate(&world, &next(&world, KeyPurpose::Token, "token-2", &[])).await.status, 200);
        let mut n = 0;
        for _ in 0..6 {
            world.clock.advance(Duration::from_secs(15));
            n += 1;
            report(n, 1);
        }
        assert_eq!(signs(&world).await, "token", "it does not know the document");
        let told = world.admin_read("keys.read", "/api/v1/keys").await.body.to_string();
        assert!(told.contains("\"behind\":1"), "{told}");
        if slow {
            while n * 15 < LATEST {
                world.clock.advance(Duration::from_secs(15));
                n += 1;
                report(n, 1);
            }
        } else {
            world.clock.advance(Duration::from_secs(2));
            report(n + 1, 2);
        }
        assert_eq!(signs(&world).await, "token-2");
    }
}

/// Tokens that a thief of the token key makes: under any name and date.
fn forged(world: &World, stolen: &PrivateKey, name: &str, issued: u64) -> String {
    let signer = LocalSigner::new(name.parse().unwrap(), stolen.clone());
    let right = Right {
        operation: READ.parse().unwrap(),
        access: Access::Read,
        windows: Windows::default(),
        forms: Forms::new(),
        alternatives: vec![Alternative { grant: "grant:1".into(), arguments: None }],
    };
    let minting = Minting {
        issuer: &world.issuer,
        principal: &Principal::Workflow("demo".parse().unwrap()),
        intent: &"triage".parse().unwrap(),
        task: &"tsk_1".parse().unwrap(),
        token: "tok_forged",
        holder: None,
        issued,
        expires: issued + 3000,
        rights: std::slice::from_ref(&right),
        audiences: &[("github".to_owned(), "https://tools.acme.example/github".to_owned())],
        sealed: false,
        approval: None,
        once: None,
    };
    mint(&minting, &signer, &SystemRandom).unwrap()
}

#[tokio::test]
async fn a_leaked_key_makes_nothing_that_passes() {
    for by_name in [true, false] {
        let world = World::start().await;
        let mut used = Use::of(&world, READ).await;
        let stolen = world.key("token");
        let now = world.clock.now().seconds();
        let good = forged(&world, &stolen, "token", now);
        assert_eq!(used.now(&good).await, ALLOWED, "before anyone knows");
        let names = ["token", "token-2", "token-3", "revocation", "root"];
        if by_name {
            let document = next(&world, KeyPurpose::Token, "token-2", &[]);
            assert_eq!(activate(&world, &document).await.status, 200);
            assert_eq!(world.revoke("key", "token").await.status, 200);
        } else {
            let document = next(&world, KeyPurpose::Token, "token-2", &["token"]);
            assert_eq!(activate(&world, &document).await.status, 200);
        }
        assert_eq!(signs(&world).await, "token-2", "nothing waits for a key that leaked");
        used.tool.poll().await;
        for name in names {
            for issued in [1, now - 1000, now, now + 20, now + DAY, FOREVER - 2_000_000] {
                let token = forged(&world, &stolen, name, issued);
                assert_ne!(used.now(&token).await, ALLOWED, "{name} {issued}");
                let passed = world.form("/oauth/revoke", &[("token", &token)]).await;
                assert_eq!(passed.status, 200, "RFC 7009 tells nothing");
                let admin = world.call("get", "/api/v1/keys", Some(&token), None).await;
                assert_ne!(admin.status, 200, "{name} {issued}");
            }
        }
        let fresh = ask(&world, READ).await.token().to_owned();
        assert_eq!(used.now(&fresh).await, ALLOWED, "who is in their right goes on");
        assert_ne!(used.now(&good).await, ALLOWED);
        // It stays so, whatever starts anew.
        let world = world.restart().await;
        assert_eq!(signs(&world).await, "token-2");
        let mut tool = world.tool("github");
        tool.poll().await;
        assert_ne!(tool.check(&good, "issues.read", &json!({})), ALLOWED);
    }
}

#[tokio::test]
async fn a_restart_in_the_middle_goes_on_where_it_was() {
    let world = World::start().await;
    let mut used = Use::of(&world, READ).await;
    assert_eq!(activate(&world, &next(&world, KeyPurpose::Token, "token-2", &[])).await.status, 200);
    pass(&world, UNREPORTED / 2).await;
    // broker.toml still names the old file, and the document of the file is still the first one.
    let world = world.restart().await;
    assert_eq!(named(&world.head().await), 2);
    assert_eq!(signs(&world).await, "token");
    assert_eq!(used.token_now().await, ALLOWED);
    pass(&world, UNREPORTED / 2).await;
    assert_eq!(signs(&world).await, "token-2");
    let fresh = ask(&world, READ).await.token().to_owned();
    assert_eq!(used.now(&fresh).await, ALLOWED);
    // And with the second document dropping it, the old file may go.
    assert_eq!(activate(&world, &next(&world, KeyPurpose::Token, "token-3", &["token"])).await.status, 200);
    let world = world
        .restart_after(|folder| {
            std::fs::remove_file(folder.join("keys/token.pem")).unwrap();
            std::fs::remove_file(folder.join("keys/token.pub.pem")).unwrap();
        })
        .await;
    assert_eq!(named(&world.head().await), 3);
    assert_eq!(signs(&world).await, "token-2");
}

#[tokio::test]
async fn an_answer_is_repeated_by_the_key_that_gave_it() {
    let world = World::start().await;
    let ask = || async {
        let body = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &world.assertion("workflow:demo", "demo")),
            ("scope", "github:issues.read"),
        ]
        .map(|(name, value)| format!("{name}={}", value.replace(':', "%3a")))
        .join("&");
        let request = world.http.post(format!("{}/oauth/token", world.issuer));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        world.send(request.header("idempotency-key", "once").body(body)).await
    };
    let first = ask().await.token().to_owned();
    let document = next(&world, KeyPurpose::Token, "token-2", &[]);
    assert_eq!(activate(&world, &document).await.status, 200);
    // As if the new key signed at once: the old one is revoked by name, and then even the repetition is refused.
    assert_eq!(ask().await.token(), first);
    world.revoke("key", "token").await;
    assert_eq!(ask().await.reason(), "revoked.key");
}

#[tokio::test]
async fn a_document_that_must_not_be_is_refused_and_changes_nothing() {
    let world = World::start().await;
    let document = next(&world, KeyPurpose::Token, "token-2", &[]);
    let root = world.key("root");
    let stranger = PrivateKey::from_seed(&[5; 32]);
    let current = world.broker.keyring.current().document.clone();
    let half = KeyDocument { version: 2, ..current.clone() };
    let mut half_missing = half.clone();
    half_missing.keys.push(DocumentKey {
        purpose: KeyPurpose::Token,
        name: "elsewhere".parse().unwrap(),
        key: stranger.public(),
        not_before: world.clock.now().seconds(),
        not_after: FOREVER,
    });
    let mut none = half.clone();
    none.keys.retain(|key| key.purpose != KeyPurpose::Audit);
    let mut short = half.clone();
    short.keys[0].not_after = world.clock.now().seconds() + 600;
    let other = KeyDocument { issuer: "https://other.example".to_owned(), ..half.clone() };
    for (signed, said) in [
        (document.sign(&stranger), "not believed"),
        (document.text(), "not believed"),
        (String::new(), "not believed"),
        (other.sign(&root), "not believed"),
        (current.sign(&root), "the next one is version 2"),
        (KeyDocument { version: 3, ..half.clone() }.sign(&root), "the next one is version 2"),
        (half_missing.sign(&root), "elsewhere.pem"),
        (none.sign(&root), "no audit key"),
        (short.sign(&root), "--overlap"),
    ] {
        let answer =
            world.admin("keys.rotate", "/api/v1/keys/document", &json!({ "document": signed })).await;
        assert_eq!((answer.status, answer.reason()), (409, "admin.conflict"), "{said}: {answer:?}");
        assert!(answer.text("/detail").contains(said), "{said}: {answer:?}");
    }
    assert_eq!(named(&world.head().await), 1);
    assert_eq!(world.broker.store.key_documents().await.unwrap().len(), 1);
    // A token for reading keys does not do.
    let token = world.operator("alice", "keys.read").await;
    let body = json!({ "document": document.sign(&root) });
    let refused = world.call("post", "/api/v1/keys/document", Some(&token), Some(&body)).await;
    assert!([401, 403].contains(&refused.status), "{refused:?}");
    // Two at once: one of them is put in force.
    let both = tokio::join!(activate(&world, &document), activate(&world, &document));
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let raised = KeyDocument { version: 3, break_glass: 9, ..document.clone() };
    assert_eq!(activate(&world, &raised).await.status, 200);
    let lowered = KeyDocument { version: 4, ..document };
    assert!(activate(&world, &lowered).await.text("/detail").contains("may only rise"));
}

const POLICY: &str = r#"
[tools.github]
audience = "https://tools.acme.example/github"
verbs."issues.read" = { access = "read" }
[[identities]]
workflow = "demo"
key = "keys/demo.pub.pem"
[[identities]]
operator = "alice"
key = "keys/alice.pub.pem"
[[grants]]
workflow = "demo"
tool = "github"
verbs = ["issues.read"]
[[grants]]
operator = "alice"
tool = "shortbread"
verbs = ["revocations.*", "policy.*", "keys.*"]
"#;

#[test]
fn the_program_rotates_encrypted_keys_with_the_root_key_elsewhere() {
    let (home, laptop, address) = (Home::new(), Home::new(), free_address());
    let url = format!("http://{address}");
    let config = format!(
        "issuer = \"{url}\"\nlisten = \"{address}\"\n[network]\nmetrics = \"127.0.0.1:0\"\n[keys]\npassphrase_file = \"passphrase\"\n"
    );
    home.write("broker.toml", &config);
    home.write("policy.toml", POLICY);
    home.write("passphrase", "correct horse\n");
    home.refused(
        &["init", "--config", "broker.toml", "--make-keys", "--encrypt"],
        &["passphrase", "chmod 600"],
    );
    std::process::Command::new("chmod").args(["600"]).arg(home.path("passphrase")).status().unwrap();
    for (purpose, out) in [("operator", "keys/alice.pem"), ("workflow", "keys/demo.pem")] {
        home.ok(&["keys", "generate", "--purpose", purpose, "--out", out]);
    }
    home.ok(&["init", "--config", "broker.toml", "--make-keys", "--encrypt"]);
    assert!(home.read("keys/token.pem").contains("ENCRYPTED PRIVATE KEY"));
    // The root key leaves the machine, with its passphrase.
    for name in ["keys/root.pem", "passphrase", "keys/key-document.txt"] {
        let to = laptop.path(name.trim_start_matches("keys/"));
        std::fs::copy(home.path(name), to).unwrap();
    }
    std::fs::remove_file(home.path("keys/root.pem")).unwrap();
    let mut broker = home.start(&["serve", "--config", "broker.toml"]);
    broker.wait_for("the broker listens");
    home.ok(&["login", "--broker", &url, "--key", "keys/alice.pem", "--root", "keys/root.pub.pem"]);

    let usage = home.run(&["keys", "rotate"]);
    assert_eq!(usage.code, 2, "{}", usage.err);
    assert_eq!(home.run(&["keys", "rotate", "--purpose", "token", "--overlap", "10m"]).code, 2);
    home.refused(&["keys", "rotate", "--drop", "token"], &["no token key that is valid now", "--purpose"]);
    let rotated = home.json(&["keys", "rotate", "--purpose", "token", "--encrypt"]);
    assert_eq!(rotated["version"], 2);
    let unsigned = home.path("keys/key-document-2.unsigned.txt");
    assert_eq!(rotated["document"], json!("keys/key-document-2.unsigned.txt"));
    let key = rotated["key"].as_str().unwrap();
    assert!(key.starts_with("keys/token-20") && home.read(key).contains("ENCRYPTED PRIVATE KEY"), "{key}");
    home.refused(&["keys", "rotate", "--purpose", "token"], &["is there already"]);
    home.refused(&["keys", "activate", "keys/key-document-2.unsigned.txt"], &["not believed"]);

    std::fs::copy(unsigned, laptop.path("key-document-2.unsigned.txt")).unwrap();
    let sign = ["keys", "sign", "key-document-2.unsigned.txt", "--root", "root.pem"];
    laptop.refused(&sign, &["encrypted", "SHORTBREAD_KEY_PASSPHRASE"]);
    let with = [&sign[..], &["--passphrase-file", "passphrase", "--previous", "key-document.txt"]].concat();
    let said = laptop.ok(&with);
    assert!(said.contains("new") && said.contains("validity") && said.contains("keys activate"), "{said}");
    laptop.refused(&with, &["is there already"]);
    laptop.refused(&["keys", "sign", "key-document-2.txt", "--root", "root.pem"], &["signed already"]);
    std::fs::copy(laptop.path("key-document-2.txt"), home.path("signed.txt")).unwrap();
    let done = home.json(&["keys", "activate", "signed.txt"]);
    assert_eq!(done["version"], 2);
    home.refused(&["keys", "activate", "signed.txt"], &["the next one is version 3"]);
    let listed = home.ok(&["keys", "list"]);
    assert!(
        listed.contains("key document 2") && listed.contains("waits") && listed.contains("signs"),
        "{listed}"
    );
    // The next rotation goes on from what the broker serves, not from the file.
    let third = home.json(&["keys", "rotate", "--break-glass-from", "100", "--out", "third.txt"]);
    assert_eq!(third["version"], 3);
    assert_eq!(third["changes"], json!([{ "change": "break_glass", "was": 0, "is": 100 }]));
    broker.signal("TERM");
    assert!(broker.wait().success());
    let mut again = home.start(&["serve", "--config", "broker.toml"]);
    again.wait_for("the broker listens");
    assert_eq!(home.json(&["keys", "list"])["version"], 2);
}
