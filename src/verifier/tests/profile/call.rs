//! The boundary of a call: what cannot be read is refused before any token is looked at.

use shortbread_protocol::biscuit::{Alternative, Binary, Value};
use shortbread_protocol::call::{Args, MAX_ARGS_BYTES};
use shortbread_protocol::reason::Reason;
use shortbread_verifier::decision::Checker as _;

use super::write::{Block, by_holder};
use super::{decide, verifier};

fn members(count: usize) -> String {
    let members: Vec<String> = (0..count).map(|n| format!("\"a{n}\":{n}")).collect();
    format!("{{{}}}", members.join(","))
}

fn sized(bytes: usize) -> String {
    let json = format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    assert_eq!(json.len(), bytes);
    json
}

#[test]
fn a_call_that_cannot_be_read_is_malformed() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    for (json, says) in [
        (members(65), "there are more than 64 arguments"),
        (sized(MAX_ARGS_BYTES + 1), "the arguments have more than 64 KiB"),
        (r#"{"a":1,"a":1}"#.to_owned(), "a member stands twice in one object"),
        (r#"{"a":{"b":1,"b":2}}"#.to_owned(), "a member stands twice in one object"),
        (r#"{"a":1,"\u0061":2}"#.to_owned(), "a member stands twice in one object"),
        ("[1]".to_owned(), "the arguments are not a JSON object"),
        ("{} {}".to_owned(), "the arguments are not sound JSON"),
        (deep, "the arguments are not sound JSON"),
    ] {
        let error = Args::from_json(json.as_bytes()).unwrap_err().to_string();
        let decision = verifier().refuse(Reason::CallMalformed, &error, None);
        assert!(!decision.is_allowed() && decision.reason == Some(Reason::CallMalformed));
        assert!(decision.detail.unwrap().contains(says), "{error}");
    }
    assert!(Args::from_json(members(64).as_bytes()).is_ok());
    assert!(Args::from_json(sized(MAX_ARGS_BYTES).as_bytes()).is_ok());
}

/// Whether a child that lists the argument `x`, and asks for its value if `bound`, lets a call with it through.
fn allowed(json: &str, bound: bool) -> bool {
    let listed = Value::Set(vec![Value::Str("x")]);
    let asked = Alternative::new().fact("args", [Value::Var("names")]);
    let asked = if bound { asked.fact("arg", [Value::Str("x"), Value::Var("x")]) } else { asked };
    let token = by_holder(&Block::asking(asked.holds(listed, Binary::Contains, Value::Var("names"))));
    decide(&verifier(), &token, Some(&Args::from_json(json.as_bytes()).unwrap())).is_allowed()
}

#[test]
fn a_value_without_a_type_is_named_and_has_no_value() {
    for json in [r#"{"x":1}"#, r#"{"x":"t"}"#, r#"{"x":true}"#, r#"{"x":[]}"#, r#"{"x":[1,2]}"#] {
        assert!(allowed(json, true), "{json}");
    }
    for value in ["null", "1.5", "1e3", "-0", "{}", r#"["a",1]"#, "[null]", "[[1]]", "9223372036854775808"] {
        let json = format!("{{\"x\":{value}}}");
        assert!(allowed(&json, false) && !allowed(&json, true), "{json}");
        assert!(!allowed(&format!("{{\"x\":1,\"y\":{value}}}"), false), "an argument that is not listed");
    }
}

#[test]
fn integers_in_hashed_arguments_stay_within_two_to_the_53() {
    let digest = |value: &str| Args::from_json(format!("{{\"x\":{value}}}").as_bytes()).unwrap().digest();
    for exact in ["9007199254740992", "-9007199254740992", "[9007199254740992]", "{\"y\":0}"] {
        assert!(digest(exact).is_some(), "{exact}");
    }
    for other in [
        "9007199254740993",
        "-9007199254740993",
        "[[9007199254740993]]",
        "{\"y\":9007199254740993}",
        "1.5",
        "-0",
    ] {
        assert!(digest(other).is_none(), "{other}");
    }
}
