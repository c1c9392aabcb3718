//! The shipped alert rules are sound: they can be read, name metrics that there are, and say what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use yaml_rust2::{Yaml, YamlLoader};

/// What operators must be woken for or should look at, by the words of the rules' names.
const WANTED: [&str; 20] = [
    "NoHeadSigned",
    "BrokerAbsent",
    "ListNearExpiry",
    "VerifierSilent",
    "VerifierBehind",
    "ExchangeErrors",
    "StoreFailing",
    "StoreReserve",
    "LogUnsigned",
    "LogNotAnchored",
    "IssuerBreakerOpen",
    "KeyNearItsEnd",
    "ApprovalOverdue",
    "ApprovalExpired",
    "ApprovalsPiledUp",
    "TripwireTripped",
    "TripwireCapped",
    "PolicyTakenBack",
    "PolicyBreached",
    "WebhookFailing",
];

/// Words of the query language that are no metrics.
const WORDS: [&str; 12] = [
    "or",
    "and",
    "unless",
    "by",
    "without",
    "on",
    "ignoring",
    "offset",
    "bool",
    "group_left",
    "group_right",
    "inf",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository").to_owned()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

fn rules() -> Vec<Yaml> {
    let documents = YamlLoader::load_from_str(&text("schema/alerts.yaml")).expect("YAML");
    let [document] = documents.as_slice() else { panic!("one document") };
    let groups = document["groups"].as_vec().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_vec().expect("rules").clone()).collect()
}

/// What the broker describes: each metric and whether it is a counter.
fn described() -> BTreeMap<String, bool> {
    let source = text("src/broker/telemetry.rs");
    let mut found = BTreeMap::new();
    for (kind, counter) in
        [("describe_counter!", true), ("describe_gauge!", false), ("describe_histogram!", false)]
    {
        for after in source.split(kind).skip(1).filter(|after| after.starts_with('(')) {
            let name = after.split('"').nth(1).expect("a name");
            assert!(found.insert(name.to_owned(), counter).is_none(), "{name} is described twice");
        }
    }
    found
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Mark(char),
}

/// The words and marks of an expression, without texts, numbers and durations.
fn tokens(expression: &str) -> Vec<Token> {
    let (mut found, mut chars) = (Vec::new(), expression.chars().peekable());
    while let Some(c) = chars.next() {
        if c == '"' {
            assert!(chars.by_ref().any(|c| c == '"'), "a text that does not end: {expression}");
        } else if c.is_ascii_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || "_:.".contains(*c)) {
                word.push(c);
            }
            if !c.is_ascii_digit() {
                found.push(Token::Word(word));
            }
        } else if !c.is_whitespace() {
            found.push(Token::Mark(c));
        }
    }
    found
}

/// The metrics of an expression: words that are no function, no word of the language and no label.
fn metrics(expression: &str) -> BTreeSet<String> {
    let tokens = tokens(expression);
    let (mut found, mut open) = (BTreeSet::new(), Vec::new());
    for (at, token) in tokens.iter().enumerate() {
        let next = tokens.get(at + 1);
        match token {
            Token::Mark(c @ ('(' | '[' | '{')) => {
                let before = at.checked_sub(1).and_then(|at| tokens.get(at));
                let labels = matches!(before, Some(Token::Word(word)) if ["by", "on", "without", "ignoring"].contains(&word.as_str()));
                open.push((*c, labels));
            }
            Token::Mark(c @ (')' | ']' | '}')) => {
                let fits = open
                    .pop()
                    .is_some_and(|(open, _)| matches!((open, c), ('(', ')') | ('[', ']') | ('{', '}')));
                assert!(fits, "{c} closes nothing: {expression}");
            }
            Token::Mark(_) => {}
            Token::Word(word) => {
                let label = open.last().is_some_and(|(open, labels)| *open != '(' || *labels);
                let function = next == Some(&Token::Mark('('));
                let grouped =
                    matches!(next, Some(Token::Word(word)) if ["by", "without"].contains(&word.as_str()));
                if !label && !function && !grouped && !WORDS.contains(&word.as_str()) {
                    found.insert(word.clone());
                }
            }
        }
    }
    assert!(open.is_empty(), "something stays open: {expression}");
    found
}

#[test]
fn every_alert_says_what_is_wrong_and_what_to_run() {
    let rules = rules();
    let names: BTreeSet<_> = rules.iter().map(|rule| rule["alert"].as_str().expect("a name")).collect();
    assert_eq!(names.len(), rules.len(), "a name is taken twice");
    let wanted: BTreeSet<_> = WANTED.iter().map(|name| format!("Shortbread{name}")).collect();
    assert_eq!(names.iter().map(ToString::to_string).collect::<BTreeSet<_>>(), wanted);
    let commands = text("src/cli/cli.rs");
    for rule in &rules {
        let name = rule["alert"].as_str().unwrap();
        let severity = rule["labels"]["severity"].as_str().expect(name);
        assert!(["page", "ticket"].contains(&severity), "{name}");
        for part in ["summary", "description", "runbook"] {
            let said = rule["annotations"][part].as_str().unwrap_or_default();
            assert!(
                said.len() > 10 && said.matches("{{").count() == said.matches("}}").count(),
                "{name} {part}"
            );
        }
        let runbook = rule["annotations"]["runbook"].as_str().unwrap();
        let mut words = runbook.split(' ');
        assert_eq!(words.next(), Some("shortbread"), "{name}");
        let (first, rest) = words.next().expect(name).split_at(1);
        let command = format!("    {}{rest}", first.to_uppercase());
        assert!(commands.contains(&command), "{name}: there is no command {runbook}");
        if let Some(span) = rule["for"].as_str() {
            let digits = span.trim_end_matches(['s', 'm', 'h']);
            assert!(digits.len() + 1 == span.len() && digits.parse::<u32>().is_ok(), "{name}: {span}");
        }
        let known: BTreeSet<_> = ["alert", "expr", "for", "labels", "annotations"].into();
        let keys = rule.as_hash().unwrap().keys().map(|key| key.as_str().unwrap());
        assert!(keys.into_iter().all(|key| known.contains(key)), "{name}");
    }
}

#[test]
fn every_metric_of_an_alert_is_one_that_the_broker_describes() {
    let described = described();
    for rule in rules() {
        let (name, expression) =
            (rule["alert"].as_str().unwrap(), rule["expr"].as_str().expect("an expression"));
        let named = metrics(expression);
        assert!(!named.is_empty(), "{name} names no metric");
        for metric in &named {
            let counter =
                described.get(metric).unwrap_or_else(|| panic!("{name}: there is no metric {metric}"));
            // What only rises says nothing as it stands.
            let changes = ["rate(", "increase(", "unless "]
                .iter()
                .any(|f| expression.contains(&format!("{f}{metric}")));
            assert!(!counter || changes, "{name}: {metric} only rises");
        }
        let compared = ["> ", "== ", "< ", "absent("].iter().any(|sign| expression.contains(sign));
        assert!(compared, "{name} would always hold");
    }
}

#[test]
fn every_metric_of_the_broker_is_described() {
    let described = described();
    let (mut folders, mut used) = (vec![root().join("src/broker")], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let source = std::fs::read_to_string(&path).expect("a file");
                for kind in ["counter!(", "gauge!(", "histogram!("] {
                    let mut before = "";
                    for after in source.split(kind) {
                        if !before.is_empty() && !before.ends_with("describe_") {
                            used.extend(after.split('"').nth(1).map(str::to_owned));
                        }
                        before = after;
                    }
                }
            }
        }
    }
    assert!(used.len() > 10, "{used:?}");
    let missing: Vec<_> = used.iter().filter(|name| !described.contains_key(*name)).collect();
    assert!(missing.is_empty(), "not described in telemetry.rs: {missing:?}");
}

#[test]
fn the_reader_of_expressions_sees_metrics_alone() {
    let expression = r#"sum by (job, source) (rate(a_total{x=~"b|c", y="("}[5m])) > 0.01 * max(d) or (e unless e offset 15m)"#;
    assert_eq!(metrics(expression), ["a_total", "d", "e"].map(str::to_owned).into());
    for bad in ["sum(a", "a)", "a[5m)", "a{x=\"}"] {
        assert!(std::panic::catch_unwind(|| metrics(bad)).is_err(), "{bad}");
    }
}
