//! What a workflow was granted against what it used, verb by verb.

use shortbread_protocol::admin::{FiguresAnswer, RightBody};
use shortbread_protocol::names::WorkflowName;

use crate::console::show::When;
use crate::console::visit::Visit;
use crate::report::Question;
use crate::reports::look;
use crate::signals::Looked;
use crate::text::{escape, grouped};

/// Over how many seconds.
const LONG: u64 = 30 * 86_400;

/// What there is to show of it.
#[derive(Default)]
pub(super) struct Used {
    pub(super) rows: Vec<Row>,
    /// When it was counted.
    pub(super) made: Option<When>,
    /// Why there is nothing, or not all of it.
    pub(super) note: String,
    /// It is being counted.
    pub(super) making: bool,
}

/// A verb.
pub(super) struct Row {
    pub(super) verb: String,
    pub(super) intent: String,
    pub(super) granted: String,
    pub(super) used: String,
    pub(super) denied: String,
    pub(super) last: Option<When>,
    /// Granted and never used, where calls are reported.
    pub(super) idle: bool,
}

/// The figures of the last thirty days, as they were counted last.
pub(super) fn used(visit: &Visit, name: &WorkflowName) -> Used {
    let only = format!("workflow={name}");
    let Ok(question) = Question::new("rights", LONG, None, Some(&only)) else { return Used::default() };
    let now = visit.broker.clock.now().seconds();
    match look(&visit.broker, &question) {
        Looked::Ready { answer, made, .. } => told(&answer, When::new(made.seconds(), now)),
        Looked::Making => Used { making: true, ..Used::default() },
        Looked::Failed(why) => Used { note: why.to_string(), ..Used::default() },
    }
}

fn told(answer: &FiguresAnswer, made: When) -> Used {
    let note = answer.cut.as_ref().map(|cut| format!("Not all of it: {cut}.")).unwrap_or_default();
    let rows = answer.rights.iter().map(|right| row(right, made.now)).collect();
    Used { rows, made: Some(made), note, making: false }
}

fn row(right: &RightBody, now: u64) -> Row {
    let unknown = || "not reported".to_owned();
    Row {
        verb: escape(&right.verb).into_owned(),
        intent: escape(&right.intent).into_owned(),
        granted: grouped(right.granted),
        used: if right.reported { grouped(right.used) } else { unknown() },
        denied: if right.reported { grouped(right.denied.values().sum()) } else { unknown() },
        last: right.last_used.map(|at| When::new(at, now)),
        idle: right.reported && right.used == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reports_is_not_called_unused() {
        let right = |reported, used| RightBody {
            verb: "github/issues.read".to_owned(),
            granted: 1200,
            used,
            reported,
            ..RightBody::default()
        };
        let said = |row: Row| (row.granted, row.used, row.idle);
        assert_eq!(said(row(&right(true, 0), 9)), ("1,200".to_owned(), "0".to_owned(), true));
        assert_eq!(said(row(&right(true, 3), 9)), ("1,200".to_owned(), "3".to_owned(), false));
        assert_eq!(said(row(&right(false, 0), 9)), ("1,200".to_owned(), "not reported".to_owned(), false));
    }
}
