//! Forms of the catalogue, and constraints that do or do not go with them.

use super::super::fixture::policy;
use super::super::model::Limit;
use super::tests::{base, refused};

/// A verb whose arguments have every form, and a grant with one constraint on it.
fn with_forms(forms: &str, constraint: &str) -> String {
    let args = "[\"p\", \"u\", \"v\", \"r\", \"n\", \"x\"]";
    let verb = format!(
        "verbs.\"a.fetch\" = {{ access = \"read\", args = {args}, forms = {forms} }} # forms\n[tools.u]"
    );
    let grant = "[[grants]]\nworkflow = \"w\"\ntool = \"t\"\nverbs = [\"a.fetch\"]";
    let text = base().replace("[tools.u]", &verb);
    format!("{text}{grant}\nconstraints.\"a.fetch\" = {{ {constraint} }} # this\n")
}

const FORMS: &str = r#"{ p = "path", u = "url", v = "private_url", r = "repository", n = "integer" }"#;

#[test]
fn constants_are_kept_in_the_spelling_of_the_form() {
    for (constraint, expected) in [
        (r#"p = { path_under = "/srv//data/" }"#, r#"{"path_under":"/srv/data"}"#),
        (r#"p = { path_under = "/" }"#, r#"{"path_under":"/"}"#),
        (r#"p = { in = ["/a/./b/", "/c/../d"] }"#, r#"{"in":["/a/b","/d"]}"#),
        (r#"u = { host_in = ["API.acme.example:443"] }"#, r#"{"host_in":["api.acme.example"]}"#),
        (r#"u = { eq = "HTTPS://acme.example" }"#, r#"{"eq":"https://acme.example/"}"#),
        (r#"v = { host_in = ["http://localhost:80"] }"#, r#"{"host_in":["http://localhost"]}"#),
        (r#"r = { in = ["Acme/Web.git"] }"#, r#"{"in":["acme/web"]}"#),
        (r#"n = { eq = "7" }"#, r#"{"eq":7}"#),
        (r#"n = { min = 1, max = 7 }"#, r#"{"min":1,"max":7}"#),
        (r#"p = { any = true }"#, r#"{"any":true}"#),
        (r#"x = { prefix = "/srv/" }"#, r#"{"prefix":"/srv/"}"#),
    ] {
        let policy = policy(&with_forms(FORMS, constraint));
        let grant = policy.grants().last().unwrap();
        let limits = grant.verbs["a.fetch"].as_ref().unwrap();
        let Some(Limit::Fixed(kept)) = limits.values().next() else { panic!("{constraint}") };
        assert_eq!(serde_json::to_string(kept).unwrap(), expected);
    }
}

#[test]
fn constraints_that_do_not_go_with_a_form_are_refused() {
    for (constraint, says) in [
        (r#"p = { prefix = "/srv" }"#, "uses prefix, which does not go with the form path"),
        (r#"p = { subset = ["/srv"] }"#, "uses subset"),
        (r#"p = { max = 1 }"#, "uses min or max"),
        (r#"p = { host_in = ["a.example"] }"#, "uses host_in"),
        (r#"p = { eq = "/srv/../.." }"#, "leaves the root"),
        (r#"p = { in = ["/srv", "srv"] }"#, "is not an absolute path"),
        (r#"p = { path_under = "srv" }"#, "no absolute directory"),
        (r#"p = { path_under = "/srv", eq = "/srv/a" }"#, "do not go together"),
        (r#"p = { path_under = "/srv", claim = "sub" }"#, "combines claim with another kind"),
        (r#"u = { prefix = "https://" }"#, "uses prefix"),
        (r#"u = { path_under = "/srv" }"#, "uses path_under"),
        (r#"u = { host_in = [] }"#, "lists no host"),
        (r#"u = { host_in = ["*.acme.example"] }"#, "no host"),
        (r#"u = { host_in = ["10.0.0.1"] }"#, "leads to a private place"),
        (r#"u = { eq = "http://169.254.169.254/latest" }"#, "leads to a private place"),
        (r#"v = { host_in = ["0.0.0.0"] }"#, "no host"),
        (r#"r = { prefix = "acme/" }"#, "uses prefix"),
        (r#"r = { eq = "acme" }"#, "is not of the form owner/name"),
        (r#"n = { prefix = "1" }"#, "uses prefix"),
        (r#"n = { in = ["01"] }"#, "is no integer in plain digits"),
        (r#"x = { path_under = "/srv" }"#, "the catalogue gives the argument no such form"),
        (r#"x = { host_in = ["a.example"] }"#, "the catalogue gives the argument no such form"),
    ] {
        refused(&with_forms(FORMS, constraint), "# this", says);
    }
    let any = r#"p = { any = true }"#;
    refused(&with_forms(r#"{ q = "path" }"#, any), "# forms", "has a form and is not among the args");
    refused(&with_forms(r#"{ p = "regex" }"#, any), "# forms", "unknown variant");
    let unlisted = base().replace(
        "verbs.\"go\" = { access = \"read\"",
        "verbs.\"go\" = { access = \"read\", forms = { p = \"path\" }",
    );
    refused(&unlisted, "verbs.\"go\"", "has a form and is not among the args");
}
