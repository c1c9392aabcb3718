//! A token's blocks as Datalog for people to read. The text is never parsed again: it is escaped so that nothing
//! in a token can pass for something else on a screen.

use super::program::{Binary, Op, Predicate, Program, Query, Term, Unary};
use crate::clock::{FOREVER, Timestamp};

/// One line for each fact and then for each check of a block; 0 is the authority.
#[must_use]
pub fn block(program: &Program, block: u8) -> Vec<String> {
    let facts = program.facts.iter().filter(|fact| fact.block == block);
    let checks = program.checks.iter().filter(|check| check.block == block);
    facts
        .map(|fact| predicate(program, &fact.predicate))
        .chain(checks.map(|check| check_line(program, program.queries(check))))
        .collect()
}

/// The check at `place` (from 0) of a block, such as a refusal names; `None` when there is no such check.
#[must_use]
pub fn check(program: &Program, block: u8, place: u8) -> Option<String> {
    let mut checks = program.checks.iter().filter(|check| check.block == block);
    checks.nth(usize::from(place)).map(|check| check_line(program, program.queries(check)))
}

fn check_line(program: &Program, queries: &[Query]) -> String {
    let alternatives: Vec<String> = queries.iter().map(|query| alternative(program, query)).collect();
    format!("check if {}", alternatives.join(" or "))
}

fn alternative(program: &Program, query: &Query) -> String {
    let facts = program.predicates(query).iter().map(|asked| predicate(program, asked));
    let parts: Vec<String> =
        facts.chain(program.expressions(query).map(|ops| expression(program, ops))).collect();
    parts.join(", ")
}

fn predicate(program: &Program, predicate: &Predicate) -> String {
    let terms: Vec<String> = program.terms(predicate).iter().map(|shown| term(program, shown)).collect();
    format!("{}({})", word(program.text(predicate.name)), terms.join(", "))
}

fn term(program: &Program, shown: &Term) -> String {
    match shown {
        Term::Var(variable) => format!("${}", word(program.variable(*variable))),
        Term::Int(number) => number.to_string(),
        Term::Str(sym) => quoted(program.text(*sym)),
        Term::Date(seconds) if *seconds <= FOREVER => Timestamp::from_seconds(*seconds).to_string(),
        Term::Date(seconds) => format!("second {seconds}"),
        Term::Bytes(span) => format!("hex:{}", hex::encode(program.bytes(*span))),
        Term::Bool(flag) => flag.to_string(),
        Term::Set(span) => match program.set(*span) {
            [] => "{,}".to_owned(),
            members => {
                let members: Vec<String> = members.iter().map(|member| term(program, member)).collect();
                format!("{{{}}}", members.join(", "))
            }
        },
    }
}

/// An operand, and whether it must stand in parentheses beside another operation.
struct Operand {
    text: String,
    open: bool,
}

impl Operand {
    fn closed(mut self) -> String {
        if self.open {
            self.text.insert(0, '(');
            self.text.push(')');
        }
        self.text
    }
}

fn expression(program: &Program, ops: &[Op]) -> String {
    let mut stack = Vec::new();
    for op in ops {
        let shown = match op {
            Op::Value(value) => Some(Operand { text: term(program, value), open: false }),
            Op::Unary(op) => stack.pop().map(|operand| unary(*op, operand)),
            Op::Binary(op) => stack.pop().zip(stack.pop()).map(|(right, left)| binary(*op, left, right)),
        };
        let Some(shown) = shown else {
            return "(not an expression)".to_owned();
        };
        stack.push(shown);
    }
    match (stack.pop(), stack.is_empty()) {
        (Some(whole), true) => whole.text,
        _ => "(not an expression)".to_owned(),
    }
}

fn unary(op: Unary, operand: Operand) -> Operand {
    match op {
        Unary::Negate => {
            let mut text = operand.closed();
            text.insert(0, '!');
            Operand { text, open: false }
        }
        Unary::Parens => Operand { text: Operand { open: true, ..operand }.closed(), open: false },
        Unary::Length => Operand { text: operand.closed() + ".length()", open: false },
    }
}

fn binary(op: Binary, left: Operand, right: Operand) -> Operand {
    let (sign, method) = match op {
        Binary::LessThan => (" < ", false),
        Binary::GreaterThan => (" > ", false),
        Binary::LessOrEqual => (" <= ", false),
        Binary::GreaterOrEqual => (" >= ", false),
        Binary::Equal => (" === ", false),
        Binary::Contains => (".contains(", true),
        Binary::Prefix => (".starts_with(", true),
        Binary::Suffix => (".ends_with(", true),
    };
    let mut text = left.closed();
    text.push_str(sign);
    if method {
        text.push_str(&right.text);
        text.push(')');
    } else {
        text.push_str(&right.closed());
    }
    Operand { text, open: !method }
}

// Names are plain words in honest tokens; any other is quoted, so that it cannot look like more than a name.
fn word(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { name.to_owned() } else { quoted(name) }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '\'' => out.push(c),
            // Control, bidirectional, invisible and combining characters come out as `\u{…}`.
            _ => out.extend(c.escape_debug()),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Alternative, BlockWriter, Expr, Symbols, Value, read_block};
    use super::*;

    fn read(write: impl FnOnce(&mut BlockWriter)) -> Program {
        let mut writer = BlockWriter::after(Symbols::default());
        write(&mut writer);
        let mut program = Program::default();
        read_block(&mut program, 1, &writer.finish()).unwrap();
        program
    }

    fn shown(text: &str) -> String {
        block(&read(|writer| writer.fact("note", &[Value::Str(text)])), 1).concat()
    }

    #[test]
    fn texts_cannot_pass_for_something_else() {
        assert_eq!(shown(r#"a"); right("x\"#), r#"note("a\"); right(\"x\\")"#);
        assert_eq!(shown("it's\n\t\u{1b}[2J\0"), r#"note("it's\n\t\u{1b}[2J\0")"#);
        assert_eq!(
            shown("a\u{202e}b\u{2066}\u{200b}\u{feff}\u{2028}"),
            r#"note("a\u{202e}b\u{2066}\u{200b}\u{feff}\u{2028}")"#
        );
        assert_eq!(shown("zażółć 🙂"), "note(\"zażółć 🙂\")");
        for bad in
            "\u{61c}\u{200d}\u{200e}\u{200f}\u{202a}\u{2069}\u{ad}\u{e0041}\u{85}\u{7f}\u{a0}\u{301}".chars()
        {
            assert!(shown(&bad.to_string()).is_ascii(), "{:x}", u32::from(bad));
        }
    }

    #[test]
    fn names_that_are_no_words_are_quoted() {
        let program = read(|writer| {
            writer.check(&[Alternative::new().fact("a(1), b", [Value::Var("x\u{202e}")])]);
        });
        assert_eq!(check(&program, 1, 0).unwrap(), r#"check if "a(1), b"($"x\u{202e}")"#);
        assert_eq!((check(&program, 1, 1), check(&program, 0, 0)), (None, None));
    }

    #[test]
    fn every_form_of_term_and_operation_is_shown() {
        let program = read(|writer| {
            let first = Alternative::new()
                .fact("time", [Value::Var("now")])
                .holds(Value::Var("now"), Binary::LessThan, Value::Date(1_795_176_000))
                .holds(Value::Bytes(&[1, 255]), Binary::Equal, Value::Bytes(&[]))
                .holds(
                    Value::Set(vec![Value::Int(-2), Value::Int(1)]),
                    Binary::Contains,
                    Value::Set(Vec::new()),
                );
            // Without parentheses of its own: (1 < 2) === !true, and what is no expression at all.
            let second = Alternative::new()
                .expression(vec![
                    Expr::Value(Value::Int(1)),
                    Expr::Value(Value::Int(2)),
                    Expr::Binary(Binary::LessThan),
                    Expr::Value(Value::Bool(true)),
                    Expr::Unary(Unary::Negate),
                    Expr::Binary(Binary::Equal),
                ])
                .expression(vec![Expr::Binary(Binary::Equal)])
                .holds(Value::Date(u64::MAX), Binary::Suffix, Value::Str("x"));
            writer.check(&[first, second]);
        });
        assert_eq!(
            block(&program, 1),
            [concat!(
                "check if time($now), $now < 2026-11-20T12:00:00Z, hex:01ff === hex:, {-2, 1}.contains({,})",
                " or (1 < 2) === !true, (not an expression), second 18446744073709551615.ends_with(\"x\")"
            )]
        );
    }
}
