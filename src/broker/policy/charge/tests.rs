use serde_json::{Map, json};
use shortbread_protocol::constraint::{Arguments, Constraint, Scalar};
use shortbread_protocol::reason::Reason;

use super::super::decide::{Asked, Granted, Possession, Refusal, Request, decide};
use super::super::diff::diff;
use super::super::fixture::{ADMIN, compile, operation, policy, workflow};
use super::*;

const BASE: &str = r#"
[tools.payments]
audience = "https://payments.example"
verbs.refund = { access = "write", args = ["amount", "order"], forms = { amount = "integer" } }
verbs.credit = { access = "write", args = ["amount"] }
verbs.void = { access = "write", args = ["order"] }
[[identities]]
workflow = "desk"
key = "keys/desk.pub.pem"
"#;

const REFUND: &str = r#"
[[grants]]
workflow = "desk"
tool = "payments"
verbs = ["refund", "credit"]
constraints.refund = { amount = { min = 1, max = 500 }, order = { any = true } }
constraints.credit = { amount = { in = [10, 700] } }
"#;

const BUDGET: &str = "budget = { argument = \"amount\", limit = 1000, per = \"24h\" }";

fn with(grants: &str) -> String {
    format!("{BASE}{ADMIN}{grants}\n")
}

fn budgeted() -> String {
    with(&format!("{REFUND}{BUDGET}"))
}

fn ask(text: &str, asked: &[(&str, Option<Constraint>)]) -> Result<Granted, Refusal> {
    let asked: Vec<Asked> = asked
        .iter()
        .map(|(verb, amount)| Asked {
            operation: operation(&format!("payments/{verb}")),
            arguments: amount.clone().map(|amount| {
                let mut arguments = Arguments::from([("amount".parse().unwrap(), amount)]);
                if *verb == "refund" {
                    arguments.insert("order".parse().unwrap(), Constraint::anything());
                }
                arguments
            }),
        })
        .collect();
    let request = Request {
        principal: &workflow("desk"),
        claims: &Map::new(),
        intent: None,
        asked: &asked,
        ttl: None,
        possession: Possession::Proved,
    };
    decide(&policy(text), &request)
}

fn at_most(max: i64) -> Option<Constraint> {
    Some(Constraint { max: Some(max), ..Constraint::default() })
}

fn amounts(text: &str, asked: &[(&str, Option<Constraint>)]) -> Vec<u64> {
    ask(text, asked).unwrap().charges.iter().map(Charge::amount).collect()
}

#[test]
fn a_budget_is_of_an_argument_that_every_verb_bounds() {
    let told = |grant: &str| -> Vec<String> {
        let problems = compile(&with(grant)).expect_err(grant);
        problems.iter().map(|problem| format!("{}: {}", problem.message, problem.fix)).collect()
    };
    let grant = |verbs: &str, more: &str| {
        format!(
            "[[grants]]\nworkflow = \"desk\"\ntool = \"payments\"\nverbs = {verbs}\nany_arguments = true\n{BUDGET}\n{more}"
        )
    };
    for (grant, says) in [
        (grant("[\"refund\"]", ""), "refund does not bound amount"),
        (
            grant("[\"refund\", \"void\"]", "constraints.refund = { amount = { max = 1 } }"),
            "constraints.\"void\" = { amount = { max = … } }",
        ),
        (
            grant("[\"refund\"]", "constraints.refund = { amount = { any = true } }"),
            "refund does not bound amount",
        ),
        (
            grant("[\"refund\"]", "constraints.refund = { amount = { min = 1 } }"),
            "refund does not bound amount",
        ),
        (
            grant("[\"credit\"]", "constraints.credit = { amount = { eq = \"all\" } }"),
            "credit does not bound amount",
        ),
        (format!("{REFUND}{}", BUDGET.replace("1000", "0")), "a budget of 0 lets nothing pass"),
        (format!("{REFUND}{}", BUDGET.replace("1000", "-5")), "a budget of -5 lets nothing pass"),
        (format!("{REFUND}{}", BUDGET.replace("24h", "59s")), "per 59s is not per 1m to 744h"),
        (format!("{REFUND}{}", BUDGET.replace("24h", "745h")), "per 745h is not per 1m to 744h"),
        (format!("{REFUND}{}", BUDGET.replace("limit", "most")), "unknown field"),
        (
            format!(
                "[[grants]]\noperator = \"alice\"\ntool = \"shortbread\"\nverbs = [\"audit.read\"]\n{BUDGET}"
            ),
            "budget on the tool shortbread could lock operators out",
        ),
    ] {
        let told = told(&grant);
        assert!(told.iter().any(|line| line.contains(says)), "{says:?} is not among {told:?}");
    }
    policy(&budgeted());
    policy(&with(&format!("{REFUND}{}", BUDGET.replace("24h", "744h"))));
}

#[test]
fn the_charge_is_the_most_that_the_token_may_be_used_for() {
    let text = budgeted();
    assert_eq!(amounts(&text, &[("refund", None)]), [500]);
    assert_eq!(amounts(&text, &[("refund", at_most(120))]), [120]);
    assert_eq!(amounts(&text, &[("refund", at_most(120)), ("refund", at_most(80))]), [120]);
    assert_eq!(amounts(&text, &[("refund", at_most(9999))]), [500]);
    // Of several verbs the worst: the token is good once for all of them.
    assert_eq!(amounts(&text, &[("refund", None), ("credit", None)]), [700]);
    assert_eq!(amounts(&text, &[("credit", Some(Constraint::exactly(Scalar::Int(10))))]), [10]);
    assert_eq!(amounts(&with(REFUND), &[("refund", None)]), [0_u64; 0]);
    let refused = ask(&text, &[("refund", at_most(0))]).unwrap_err();
    assert_eq!(refused.reason, Reason::ConstraintRefused);
}

#[test]
fn what_is_below_zero_takes_nothing_and_gives_nothing_back() {
    let grant = format!(
        "[[grants]]\nworkflow = \"desk\"\ntool = \"payments\"\nverbs = [\"credit\"]\n\
         constraints.credit = {{ amount = {{ max = -5 }} }}\n{BUDGET}"
    );
    assert_eq!(amounts(&with(&grant), &[("credit", None)]), [0]);
}

#[test]
fn grants_of_the_same_verbs_share_a_budget() {
    let smaller = "[[grants]]\nworkflow = \"desk\"\ntool = \"payments\"\nverbs = [\"credit\", \"refund\"]\n\
         constraints.credit = { amount = { max = 900 } }\nconstraints.refund = { amount = { max = 1 }, order = { any = true } }\n\
         budget = { argument = \"amount\", limit = 950, per = \"48h\" }";
    let both = with(&format!("{REFUND}{BUDGET}\n{smaller}"));
    let charges = ask(&both, &[("credit", None)]).unwrap().charges;
    let [charge] = charges.as_slice() else { panic!("{charges:?}") };
    assert_eq!((charge.amount(), charge.limit, charge.per), (900, 950, Duration::from_secs(48 * 3600)));
    let one = ask(&budgeted(), &[("credit", None)]).unwrap().charges;
    assert_eq!(one[0].budget, charge.budget);
}

#[test]
fn a_call_says_itself_how_much_it_is() {
    let granted = ask(&budgeted(), &[("refund", None)]).unwrap();
    let charge = &granted.charges[0];
    let forms = &granted.rights[0].forms;
    let of = |amount: Value| {
        let args = json!({ "amount": amount, "order": "o-1" });
        charge.of_call(&operation("payments/refund"), args.as_object().unwrap(), forms)
    };
    assert_eq!(of(json!(120)).unwrap().amount(), 120);
    assert_eq!(of(json!("120")).unwrap().amount(), 120);
    assert_eq!(of(json!(0)).unwrap().amount(), 0);
    for bad in [json!(-1), json!(null), json!([1]), json!("x"), json!(true)] {
        assert!(of(bad).unwrap_err().contains("give amount as an integer of at least 0"));
    }
}

#[test]
fn what_is_left_of_the_verbs_is_what_is_charged() {
    let charge = ask(&budgeted(), &[("refund", None), ("credit", None)]).unwrap().charges.remove(0);
    let left = charge.left(|verb| verb.verb.as_str() == "refund").unwrap();
    assert_eq!((left.amount(), left.verbs.len()), (500, 1));
    assert_eq!(charge.left(|_| false), None);
    assert!(charge.concerns(&operation("payments/credit")) && !left.concerns(&operation("payments/credit")));
}

#[test]
fn taking_a_budget_out_or_making_it_larger_widens() {
    let says = |from: &str, to: &str| -> Vec<String> {
        let found = diff(&policy(&with(from)), &policy(&with(to)));
        found.effects.iter().map(|e| format!("{} {}", e.class.as_str(), e.text)).collect()
    };
    let of =
        |limit: &str, per: &str| format!("{REFUND}{}", BUDGET.replace("1000", limit).replace("24h", per));
    let verbs = "credit, refund";
    let told = |limit: &str, per: &str| format!("{limit} of amount in {per} over {verbs}");
    let expected = |class: &str, from: &str, to: &str| {
        vec![format!("{class} payments/credit, payments/refund: budget {from} -> {to}")]
    };
    let base = of("1000", "24h");
    assert_eq!(says(&base, REFUND), expected("widens", &told("1000", "24h"), "any"));
    assert_eq!(says(REFUND, &base), expected("narrows", "any", &told("1000", "24h")));
    for (limit, per) in [("1001", "24h"), ("1000", "23h")] {
        assert_eq!(says(&base, &of(limit, per)), expected("widens", &told("1000", "24h"), &told(limit, per)));
        assert_eq!(
            says(&of(limit, per), &base),
            expected("narrows", &told(limit, per), &told("1000", "24h"))
        );
    }
    assert_eq!(says(&base, &base), Vec::<String>::new());
}

#[test]
fn bounds_are_of_integers() {
    let int = Scalar::Int;
    let text = |text: &str| Scalar::Text(text.to_owned());
    let one_of = |values: &[Scalar]| Constraint {
        one_of: Some(values.iter().cloned().collect()),
        ..Constraint::default()
    };
    assert_eq!(most(&Constraint::exactly(int(7))), Some(7));
    assert_eq!(most(&Constraint::exactly(int(-7))), Some(0));
    assert_eq!(most(&Constraint::exactly(text("7"))), None);
    assert_eq!(most(&one_of(&[int(3), int(9)])), Some(9));
    assert_eq!(most(&one_of(&[text("a")])), None);
    assert_eq!(most(&Constraint::anything()), None);
    assert_eq!(most(&Constraint { min: Some(1), ..Constraint::default() }), None);
}
