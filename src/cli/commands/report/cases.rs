//! How the labelled cases stand, in words.

use shortbread_protocol::admin::{CasesBody, OpenCaseBody};

use super::figures::NOTHING;
use crate::text::{count, grouped};

/// The head over cases that do not hold.
pub(super) const OPEN: [&str; 5] = ["case", "expected", "got", "mechanism", "note"];

/// A case that does not hold, under [`OPEN`].
pub(super) fn open_case(open: &OpenCaseBody) -> [String; 5] {
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or_else(|| NOTHING.to_owned());
    [
        open.id.clone(),
        open.expected.clone(),
        open.got.clone(),
        or_nothing(&open.mechanism),
        or_nothing(&open.note),
    ]
}

/// How many there are, how many of them do not hold, and what went wrong where they come from.
pub(super) fn labelled(told: &CasesBody) -> String {
    if told.labelled == 0 {
        return "the policy in force has no labelled case; `shortbread audit case` makes one of a decision"
            .to_owned();
    }
    let open = told.open.len() as u64 + told.unnamed;
    let head =
        format!("{} of the policy in force, {} open", count(told.labelled, "labelled case"), grouped(open));
    if told.mechanisms.is_empty() {
        return head;
    }
    let parts = told.mechanisms.iter().map(|(mechanism, cases)| format!("{mechanism} {}", grouped(*cases)));
    format!("{head}; from incidents: {}", parts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted_by_mechanism() {
        let mut told = CasesBody { labelled: 3, ..CasesBody::default() };
        assert_eq!(labelled(&told), "3 labelled cases of the policy in force, 0 open");
        told.mechanisms = [("other".to_owned(), 1), ("stale-credential".to_owned(), 2)].into();
        told.open.push(OpenCaseBody {
            id: "INC-1".to_owned(),
            expected: "deny".to_owned(),
            got: "allow".to_owned(),
            mechanism: None,
            note: Some("INC-1".to_owned()),
        });
        let said = labelled(&told);
        assert!(said.ends_with("1 open; from incidents: other 1, stale-credential 2"), "{said}");
        assert_eq!(open_case(&told.open[0]), ["INC-1", "deny", "allow", NOTHING, "INC-1"]);
    }
}
