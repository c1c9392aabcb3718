//! Operators by a group of an identity provider.

use proptest::prelude::*;

use super::*;
use crate::policy::model::Membership;

fn oncall() -> Vec<Identity> {
    let text = str::to_owned;
    let membership = Membership {
        group: text("sre-oncall"),
        groups_claim: text("groups"),
        named_by: text("preferred_username"),
    };
    let proof = Proof::Oidc(Oidc { membership: Some(membership), claims: BTreeMap::new(), ..github() });
    let principals = ["bob", "carol"].map(|name| Principal::Operator(name.parse().unwrap()));
    vec![Identity { entry: text("bob+carol"), principals: principals.into(), tools: Vec::new(), proof }]
}

fn bob() -> Value {
    json!({ "iss": GITHUB, "aud": BROKER, "sub": "u-1", "iat": NOW - 5, "exp": NOW + 300,
        "groups": ["staff", "sre-oncall"], "preferred_username": "bob" })
}

#[tokio::test]
async fn whoever_is_in_the_group_is_the_one_operator_whom_the_token_names() {
    let world = World::new();
    let entries = oncall();
    for (told, name) in [("bob", "operator:bob"), ("carol", "operator:carol")] {
        let token = rs256(json!({}), &with(bob(), json!({ "preferred_username": told })));
        let found = world.identities.verify(&token, &entries).await.unwrap();
        let names: Vec<String> = found.principals.iter().map(ToString::to_string).collect();
        assert_eq!(names, [name]);
        assert!(found.principal(None).is_ok() && found.entry == "bob+carol");
    }
    let token = rs256(json!({}), &bob());
    let found = world.identities.verify(&token, &entries).await.unwrap();
    assert_eq!(found.principal(Some("operator:carol")), Err(IdentityError::WorkflowUnlisted));
}

#[tokio::test]
async fn everyone_else_is_nobody() {
    let world = World::new();
    for change in [
        json!({ "groups": ["staff"] }),
        json!({ "groups": null }),
        json!({ "groups": "staff sre-oncall" }),
        json!({ "preferred_username": "mallory" }),
        json!({ "preferred_username": "Bob" }),
        json!({ "preferred_username": ["bob"] }),
        json!({ "preferred_username": null }),
    ] {
        let token = rs256(json!({}), &with(bob(), change.clone()));
        let got = world.identities.verify(&token, &oncall()).await;
        assert!(matches!(got, Err(IdentityError::Unmatched)), "{change}: {got:?}");
    }
    let elsewhere = rs256(json!({}), &with(bob(), json!({ "aud": "another-client" })));
    assert_eq!(world.cause(&elsewhere, &oncall()).await, Cause::Audience);
}

#[tokio::test]
async fn other_claims_of_the_entry_are_demanded_too() {
    let world = World::new();
    let mut entries = oncall();
    let Proof::Oidc(oidc) = &mut entries[0].proof else { panic!("an issuer") };
    oidc.claims = members(json!({ "acr": "mfa" }));
    let token = rs256(json!({}), &bob());
    assert!(matches!(world.identities.verify(&token, &entries).await, Err(IdentityError::Unmatched)));
    let token = rs256(json!({}), &with(bob(), json!({ "acr": "mfa" })));
    assert!(world.identities.verify(&token, &entries).await.is_ok());
}

proptest! {
    #[test]
    fn nobody_outside_of_the_group_and_no_unlisted_name_is_ever_an_operator(
        groups in proptest::collection::vec("sre-oncall|staff|[a-z-]{1,12}|\\PC{0,8}", 0..5),
        name in "bob|carol|mallory|Bob|[a-z]{1,6}|\\PC{0,8}",
        asked in "bob|carol|mallory",
    ) {
        let entries = oncall();
        let inside = groups.iter().any(|group| group == "sre-oncall");
        let claims = json!({ "groups": groups, "preferred_username": name, "aud": BROKER });
        let claims = claims.as_object().cloned().unwrap();
        let principal = Principal::Operator(asked.parse().unwrap());
        let proved = Proved::Token { issuer: GITHUB, claims: &claims };
        let got = recall(&entries, &principal, &proved).is_ok();
        prop_assert_eq!(got, inside && name == asked && asked != "mallory");
    }
}
