//! Operators by a group of an identity provider: whoever is in the group, and which of the listed operators that is.

use serde_json::{Map, Value};

/// What a token must say beside the entry's claims so that it is one of the entry's operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The group that must be among the token's.
    pub group: String,
    /// The claim that lists them: texts, or one text.
    pub groups_claim: String,
    /// The claim that is the operator's name.
    pub named_by: String,
}

impl Membership {
    /// The name of whoever has these claims; none for those outside of the group. It is what the token says: whether the
    /// entry lists it is for the caller to see.
    #[must_use]
    pub fn named<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c str> {
        let inside = match claims.get(&self.groups_claim)? {
            Value::String(only) => *only == self.group,
            Value::Array(groups) => {
                groups.iter().all(Value::is_string) && groups.iter().any(|group| *group == self.group)
            }
            _ => false,
        };
        claims.get(&self.named_by)?.as_str().filter(|_| inside)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn membership() -> Membership {
        let text = str::to_owned;
        Membership {
            group: text("sre-oncall"),
            groups_claim: text("groups"),
            named_by: text("preferred_username"),
        }
    }

    fn named(claims: &Value) -> Option<String> {
        membership().named(claims.as_object().unwrap()).map(str::to_owned)
    }

    #[test]
    fn the_group_is_one_of_a_list_or_the_one_text() {
        let bob = Some("bob".to_owned());
        for groups in [json!(["sre-oncall"]), json!(["staff", "sre-oncall"]), json!("sre-oncall")] {
            assert_eq!(named(&json!({ "groups": groups, "preferred_username": "bob" })), bob, "{groups}");
        }
        for groups in [
            json!([]),
            json!(["sre"]),
            json!(["SRE-oncall"]),
            json!(["sre-oncall "]),
            json!("staff sre-oncall"),
            json!("staff,sre-oncall"),
            json!([["sre-oncall"]]),
            json!(["sre-oncall", 1]),
            json!({ "sre-oncall": true }),
            json!(null),
            json!(true),
        ] {
            assert_eq!(named(&json!({ "groups": groups, "preferred_username": "bob" })), None, "{groups}");
        }
        assert_eq!(named(&json!({ "preferred_username": "bob" })), None);
        assert_eq!(named(&json!({ "groups": "sre-oncall" })), None);
        for name in [json!(["bob"]), json!(1), json!(null)] {
            assert_eq!(named(&json!({ "groups": "sre-oncall", "preferred_username": name })), None);
        }
    }

    proptest! {
        #[test]
        fn nobody_outside_of_the_group_is_named(
            groups in proptest::collection::vec("[a-zA-Z ,_-]{0,12}|sre-oncall.|.sre-oncall", 0..6),
            name in "\\PC{0,12}",
        ) {
            prop_assume!(!groups.iter().any(|group| group == "sre-oncall"));
            prop_assert_eq!(named(&json!({ "groups": groups, "preferred_username": name })), None);
            prop_assert_eq!(named(&json!({ "groups": groups.join(","), "preferred_username": name })), None);
        }
    }
}
