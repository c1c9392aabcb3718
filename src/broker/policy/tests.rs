use super::fixture::{EXAMPLE, files, policy};
use super::model::{KeySource, Limit, Principal, Proof};
use super::{Options, Policy};

#[test]
fn the_example_of_the_design_compiles() {
    let policy = policy(EXAMPLE);
    assert_eq!(policy.identities().len(), 7);
    assert_eq!(policy.operators().len(), 3);
    let grant = &policy.grants()[0];
    let write = grant.verbs["issues.write"].as_ref().unwrap();
    assert_eq!(write["repo"], Limit::Claim("repository".to_owned()));
    let approval = grant.approval.as_ref().unwrap();
    assert_eq!((approval.quorum, approval.sla.as_secs(), approval.expires.as_secs()), (1, 300, 900));
    let worker = &policy.identities()[2];
    assert_eq!((worker.entry.as_str(), worker.principals.len()), ("enrich+mail-merge", 2));
    let Proof::Oidc(oidc) = &worker.proof else { panic!("an issuer") };
    assert!(oidc.allow_private && oidc.reuse_until_expiry && oidc.keys == KeySource::Discovery);
    assert_eq!(oidc.claims["kubernetes.io"]["serviceaccount"]["name"], "worker");
    assert_eq!(policy.grants()[1].verbs.len(), 7, "revocations.*, policy.*, audit.read");
    let shortbread = &policy.catalogue().tools["shortbread"];
    assert_eq!(shortbread.audience, "https://broker.acme.example/api/v1");
}

#[test]
fn the_digest_covers_the_text_and_every_file() {
    let one = policy(EXAMPLE);
    assert_eq!(one.digest(), policy(EXAMPLE).digest());
    assert!(one.digest().starts_with("sha256:") && one.digest().len() == 71);
    assert_eq!(one.files().len(), 5);
    assert_ne!(one.digest(), policy(&format!("{EXAMPLE}\n")).digest());
    let other = |path: &str| files(if path.contains("alice") { "keys/mallory.pub.pem" } else { path });
    let options = Options { issuer: "https://broker.acme.example".to_owned() };
    let swapped = Policy::compile(EXAMPLE, "policy.toml", &other, &options).unwrap();
    assert_ne!(one.digest(), swapped.digest());
    assert_ne!(one.admin_surface(), swapped.admin_surface());
    // Compiled again from what it carries, it is the same policy.
    let own = |path: &str| one.files().get(path).cloned().ok_or_else(String::new);
    let again = Policy::compile(one.source(), "policy.toml", &own, &options).unwrap();
    assert_eq!(again.digest(), one.digest());
}

#[test]
fn the_admin_surface_is_operators_approvers_and_their_grants_alone() {
    let one = policy(EXAMPLE);
    let surface = |from: &str, to: &str| {
        assert!(EXAMPLE.contains(from), "{from}");
        policy(&EXAMPLE.replace(from, to)).admin_surface()
    };
    assert_eq!(surface("max_ttl = \"10m\"", "max_ttl = \"9m\""), one.admin_surface());
    assert_ne!(surface("\"audit.read\"", "\"audit.read\", \"keys.rotate\""), one.admin_surface());
    assert_ne!(surface("members = [\"carol\"]", "members = [\"carol\", \"bob\"]"), one.admin_surface());
    assert_ne!(surface("escalate = \"leads\"", ""), one.admin_surface());
    // What is forbidden to all is taken from operators too.
    let forbid = "[[forbids]]\ntool = \"shortbread\"\nverbs = [\"audit.*\"]\n";
    assert_ne!(policy(&format!("{EXAMPLE}\n{forbid}")).admin_surface(), one.admin_surface());
    let alice = "alice".parse().unwrap();
    assert!(!one.has_second_operator(&alice) && one.has_second_operator(&"bob".parse().unwrap()));
    assert_eq!(one.operators_with(&"approvals.decide".parse().unwrap()).len(), 2);
    assert!(matches!(one.identities()[3].principals[0], Principal::Operator(_)));
}
