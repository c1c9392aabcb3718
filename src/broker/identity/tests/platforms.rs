//! The README's examples, against tokens as each platform makes them, and against what attackers would try.

use super::*;
use crate::policy::fixture::{ADMIN, files};
use crate::policy::{Options, Policy};

const README: &str = include_str!("../../../../README.md");
const TENANT: &str = "3f0c1a52-7c1e-4b57-9d42-0a6f5b1f2c11";

/// All examples in one policy: no token may match two of them.
fn examples() -> Vec<Identity> {
    let blocks = README.split("```toml policy\n").skip(1).filter_map(|rest| rest.split("```").next());
    let blocks = blocks.filter(|block| block.starts_with("[[identities]]"));
    let text = blocks.fold(ADMIN.to_owned(), |all, block| all + block);
    let load = |path: &str| match path {
        "keys/cluster.jwks.json" => Ok(json!({ "keys": [rsa_jwk("rsa")] }).to_string()),
        "keys/acme.bundle.json" => {
            Ok(json!({ "keys": [with(rsa_jwk("rsa"), json!({ "use": "jwt-svid" }))] }).to_string())
        }
        path => files(path),
    };
    let options = Options { issuer: BROKER.to_owned() };
    let policy = Policy::compile(&text, "README.md", &load, &options).unwrap_or_else(|p| panic!("{p:?}"));
    policy.identities().to_vec()
}

/// A platform's token, whom it makes, and claims that an attacker's token has instead.
struct Platform {
    /// The client id where the entry leaves a choice.
    client: Option<&'static str>,
    workflow: &'static str,
    claims: Value,
    attacks: Vec<(&'static str, Value)>,
}

fn timed(claims: Value) -> Value {
    with(json!({ "aud": BROKER, "iat": NOW - 5, "nbf": NOW - 5, "exp": NOW + 3595 }), claims)
}

fn github_actions() -> Platform {
    Platform {
        client: None,
        workflow: "release-notes",
        claims: with(github_claims(), json!({ "ref_type": "branch", "runner_environment": "github-hosted" })),
        attacks: vec![
            ("another repository of the same name", json!({ "repository_id": "999999" })),
            (
                "the name and the subject alone",
                json!({ "repository_id": "1", "repository_owner_id": "2", "repository": "acme/web" }),
            ),
            ("a pull request from a fork", json!({ "event_name": "pull_request", "environment": null })),
            ("pull_request_target", json!({ "event_name": "pull_request_target" })),
            ("another environment", json!({ "environment": "staging" })),
            ("an id as a number", json!({ "repository_id": 456_789 })),
        ],
    }
}

fn gitlab() -> Platform {
    Platform {
        client: None,
        workflow: "nightly-report",
        claims: timed(json!({
            "iss": "https://gitlab.com", "sub": "project_path:acme/report:ref_type:branch:ref:main",
            "jti": "63ab75f4-2606-4f0e-a500-86f90ab13a85", "namespace_id": "72", "namespace_path": "acme",
            "project_id": "78", "project_path": "acme/report", "user_id": "1", "user_email": "a@acme.example",
            "pipeline_id": "574", "pipeline_source": "schedule", "job_id": "302", "ref": "main",
            "ref_type": "branch", "ref_protected": "true", "runner_id": 1, "iat": NOW - 1800,
            "ci_config_ref_uri": "gitlab.com/acme/report//.gitlab-ci.yml@refs/heads/main",
        })),
        attacks: vec![
            ("a fork of the same path", json!({ "project_id": "79" })),
            ("an unprotected branch", json!({ "ref_protected": "false" })),
            ("a merge request", json!({ "pipeline_source": "merge_request_event" })),
            ("protected as a truth value", json!({ "ref_protected": true })),
        ],
    }
}

fn service_account(namespace: &str, name: &str, uid: &str) -> Value {
    json!({
        "namespace": namespace, "node": { "name": "node-1", "uid": "1f0a" },
        "pod": { "name": "worker-7d9f", "uid": "77aa" }, "serviceaccount": { "name": name, "uid": uid },
        "warnafter": NOW + 3607,
    })
}

fn kubernetes() -> Platform {
    let uid = "8a3f5a7e-6c0f-4c0e-9a3b-2f0f6f1d7c11";
    let bound = |namespace, name, uid| json!({ "kubernetes.io": service_account(namespace, name, uid) });
    Platform {
        client: Some("workflow:enrich"),
        workflow: "enrich",
        claims: timed(json!({
            "iss": "https://kubernetes.default.svc", "aud": [BROKER], "sub": "system:serviceaccount:agents:worker",
            "jti": "c9f1a5de-1a1c-4f0e-8a53-6a1e8d0f2a10", "iat": NOW - 1800, "nbf": NOW - 1800,
            "kubernetes.io": service_account("agents", "worker", uid),
        })),
        attacks: vec![
            ("another namespace", bound("default", "worker", uid)),
            ("another service account", bound("agents", "other", uid)),
            ("one made anew under the same name", bound("agents", "worker", "0000")),
            ("names in the subject alone", json!({ "kubernetes.io": null })),
            ("members on the outside", json!({ "kubernetes.io": null, "namespace": "agents" })),
        ],
    }
}

fn spiffe() -> Platform {
    Platform {
        client: None,
        workflow: "indexer",
        claims: json!({ "sub": "spiffe://acme.example/agents/indexer", "aud": [BROKER], "iat": NOW - 120,
            "exp": NOW + 180 }),
        attacks: vec![
            ("another path", json!({ "sub": "spiffe://acme.example/agents/other" })),
            ("a child's path", json!({ "sub": "spiffe://acme.example/agents/indexer/x" })),
            ("the trust domain itself", json!({ "sub": "spiffe://acme.example/" })),
        ],
    }
}

fn google() -> Platform {
    Platform {
        client: None,
        workflow: "forecast",
        claims: timed(json!({
            "iss": "https://accounts.google.com", "sub": "112010400000000710080", "azp": "112010400000000710080",
            "email": "forecast@acme-agents.iam.gserviceaccount.com", "email_verified": true, "nbf": null,
            "google": { "compute_engine": { "project_id": "acme-agents", "project_number": 739_419_398_126_u64,
                "zone": "europe-west1-b", "instance_id": "152986662232938449", "instance_name": "vm-1" } },
        })),
        attacks: vec![
            ("another account with the same address", json!({ "sub": "1", "azp": "1" })),
            ("another client", json!({ "azp": "407408718192.apps.googleusercontent.com" })),
            ("the subject as a number", json!({ "sub": null, "user": "112010400000000710080" })),
        ],
    }
}

fn aws() -> Platform {
    let account =
        |id: &str, org: &str| json!({ "aws_account": id, "org_id": org, "source_region": "eu-west-1" });
    Platform {
        client: None,
        workflow: "billing",
        claims: timed(json!({
            "iss": "https://abc123-def456-ghi789-jkl012.tokens.sts.global.api.aws",
            "sub": "arn:aws:iam::123456789012:role/Billing", "jti": "5c1f7a3e-8a5d-4b0c-9e7e-2f1d9c3b6a77",
            "exp": NOW + 895, "https://sts.amazonaws.com/": account("123456789012", "o-abc1234567"),
        })),
        attacks: vec![
            ("another role", json!({ "sub": "arn:aws:iam::123456789012:role/Other" })),
            (
                "another account",
                json!({ "https://sts.amazonaws.com/": account("210987654321", "o-abc1234567") }),
            ),
            (
                "another organisation",
                json!({ "https://sts.amazonaws.com/": account("123456789012", "o-evil") }),
            ),
            (
                "a tag of the caller's making",
                json!({ "https://sts.amazonaws.com/": { "request_tags": {
                "aws_account": "123456789012", "org_id": "o-abc1234567" } } }),
            ),
        ],
    }
}

fn azure() -> Platform {
    Platform {
        client: None,
        workflow: "tickets",
        claims: timed(json!({
            "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"), "tid": TENANT, "ver": "2.0",
            "aud": "0b1d6f7a-1c55-4a0e-8f35-5d2c9b6e4a90", "azp": "5b7c1d90-2f64-4c8e-a1b3-0e9d8c7b6a55",
            "azpacr": "2", "oid": "c4a1f2d8-93b7-4e2b-8d6c-7f1e0a5b3d22", "idtyp": "app",
            "sub": "c4a1f2d8-93b7-4e2b-8d6c-7f1e0a5b3d22", "uti": "AbCdEf", "rh": "0.A",
            "iat": NOW - 40_000, "nbf": NOW - 40_000, "exp": NOW + 46_400,
        })),
        attacks: vec![
            ("another identity of the tenant", json!({ "oid": "00000000-0000-0000-0000-000000000001" })),
            ("another tenant", json!({ "tid": "00000000-0000-0000-0000-000000000002" })),
            (
                "the id in another claim",
                json!({ "oid": null, "appid": "c4a1f2d8-93b7-4e2b-8d6c-7f1e0a5b3d22" }),
            ),
        ],
    }
}

fn platforms() -> Vec<Platform> {
    vec![github_actions(), gitlab(), kubernetes(), spiffe(), google(), aws(), azure()]
}

fn world(entries: &[Identity]) -> World {
    let world = World::new();
    for entry in entries {
        let Proof::Oidc(oidc) = &entry.proof else { continue };
        let base = oidc.issuer.trim_end_matches('/');
        let keys = format!("{base}/keys");
        let discovery = format!("{base}/.well-known/openid-configuration");
        world.net.serve(&discovery, &json!({ "issuer": oidc.issuer, "jwks_uri": keys }));
        world.net.serve(&keys, &json!({ "keys": [rsa_jwk("rsa")] }));
    }
    world
}

#[tokio::test]
async fn every_platforms_token_is_its_workflow_and_an_attackers_is_nobody() {
    let entries = examples();
    let world = world(&entries);
    for platform in platforms() {
        let token = rs256(json!({}), &platform.claims);
        let verified = world.identities.verify(&token, &entries).await;
        let verified = verified.unwrap_or_else(|error| panic!("{}: {error:?}", platform.workflow));
        let principal = verified.principal(platform.client).unwrap();
        assert_eq!(principal.to_string(), format!("workflow:{}", platform.workflow));
        assert!(verified.principal(Some("workflow:demo")).is_err());
        for (name, change) in platform.attacks {
            let token = rs256(json!({}), &with(platform.claims.clone(), change));
            let refused = world.identities.verify(&token, &entries).await.unwrap_err();
            let nobody = [IdentityError::Unmatched, Cause::Missing("sub").into()].contains(&refused);
            assert!(nobody, "{}: {name}: {refused:?}", platform.workflow);
        }
    }
}

#[tokio::test]
async fn no_platforms_token_passes_in_another_form() {
    let entries = examples();
    let world = world(&entries);
    let stranger = EncodingKey::from_rsa_pem(keys::TEST_ONLY_STRANGER.as_bytes()).unwrap();
    let secret = EncodingKey::from_secret(keys::TEST_ONLY_RSA_N.as_bytes());
    for Platform { workflow, claims, .. } in platforms() {
        let header = json!({ "alg": "RS256", "kid": "rsa" });
        let hmac = json!({ "alg": "HS256", "kid": "rsa" });
        let changed = |change: Value| rs256(json!({}), &with(claims.clone(), change));
        for (token, cause) in [
            (changed(json!({ "aud": [claims["aud"], "https://other.example"] })), Cause::Audience),
            (changed(json!({ "aud": [BROKER, BROKER] })), Cause::Audience),
            (changed(json!({ "aud": "https://other.example" })), Cause::Audience),
            (changed(json!({ "aud": null })), Cause::Missing("aud")),
            // What a legacy service-account secret of Kubernetes looks like.
            (changed(json!({ "exp": null })), Cause::Missing("exp")),
            (changed(json!({ "iat": NOW - 90_000, "exp": NOW + 90_000 })), Cause::TooOld),
            (rs256(json!({ "typ": "logout+jwt" }), &claims), Cause::Type),
            (rs256(json!({ "typ": "dpop+jwt" }), &claims), Cause::Type),
            (rs256(json!({ "alg": "none" }), &claims), Cause::Algorithm),
            (signed(&hmac, &claims, &secret, jsonwebtoken::Algorithm::HS256), Cause::Algorithm),
            (signed(&header, &claims, &secret, jsonwebtoken::Algorithm::HS256), Cause::Signature),
            (signed(&header, &claims, &stranger, jsonwebtoken::Algorithm::RS256), Cause::Signature),
            (es256(json!({ "kid": "rsa" }), &claims), Cause::OtherAlgorithm),
            (rs256(json!({ "kid": "other" }), &claims), Cause::UnknownKey),
        ] {
            assert_eq!(world.cause(&token, &entries).await, cause, "{workflow}");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_handed_out_again_may_be_old_where_the_entry_says_so() {
    let entries = examples();
    let world = world(&entries);
    for Platform { workflow, claims, .. } in platforms() {
        let old = with(claims, json!({ "iat": NOW - 601, "nbf": null }));
        let verified = world.identities.verify(&rs256(json!({}), &old), &entries).await;
        let lets = ["nightly-report", "enrich", "indexer", "forecast", "tickets"].contains(&workflow);
        assert_eq!(verified.is_ok(), lets, "{workflow}: {verified:?}");
    }
}

#[tokio::test]
async fn a_pod_or_a_node_may_be_demanded_too() {
    let mut entries = examples();
    let worker = entries.iter_mut().find(|entry| entry.entry == "enrich+mail-merge").unwrap();
    let Proof::Oidc(oidc) = &mut worker.proof else { panic!("an issuer") };
    oidc.claims = members(json!({ "sub": "system:serviceaccount:agents:worker",
        "kubernetes.io": { "pod": { "uid": "77aa" }, "node": { "name": "node-1" } } }));
    let world = world(&entries);
    let Platform { claims, .. } = kubernetes();
    assert!(world.identities.verify(&rs256(json!({}), &claims), &entries).await.is_ok());
    for (pod, node) in
        [(json!({ "uid": "0" }), "node-1"), (json!({ "uid": "77aa" }), "node-2"), (json!([]), "node-1")]
    {
        let change = json!({ "kubernetes.io": { "pod": pod, "node": { "name": node } } });
        let refused =
            world.identities.verify(&rs256(json!({}), &with(claims.clone(), change)), &entries).await;
        assert_eq!(refused.unwrap_err(), IdentityError::Unmatched);
    }
}
