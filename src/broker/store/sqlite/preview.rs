//! What a change would touch, read from the tokens that may still live; nothing is changed.

use std::collections::{BTreeSet, HashSet};

use rusqlite::Connection;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::revocations::SelectorKind;

use super::descent;
use super::sql::{int, strange};
use crate::store::revocations::{Change, Revocations, Standing};
use crate::store::{Hit, NAMED, Preview, Target, Tie, Touched};

/// By how much ids and `issued` may disagree about the order of tokens, in seconds: a clock that was set.
const DISORDER: u64 = 86_400;

/// Reads tokens from the newest back, as far as any that still lives can lie.
pub(super) fn of(
    conn: &Connection,
    targets: &[Target],
    now: Timestamp,
    list: &Revocations,
    longest_life: u64,
) -> rusqlite::Result<Preview> {
    let oldest = now.seconds().saturating_sub(longest_life.saturating_add(DISORDER));
    let asked = targets.iter().map(|target| Asked::new(conn, target, now)).collect::<Result<Vec<_>, _>>()?;
    let lifted = lifted(conn, targets, now, list)?;
    let mut preview = Preview { each: vec![Touched::default(); targets.len()], ..Preview::default() };
    let sql = "SELECT issued, expires, selectors, exempt, principal, id FROM token ORDER BY id DESC";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let issued = int(row, 0)?;
        if issued < oldest {
            break;
        }
        if int(row, 1)? <= now.seconds() {
            continue;
        }
        let text = row.get_ref(2)?.as_str()?;
        let selectors = serde_json::from_str(text).map_err(|_| strange(2, text))?;
        let standing = Standing { issued, selectors, blocks: Vec::new(), exempt_global: row.get(3)? };
        let token = Token { id: row.get_ref(5)?.as_str()?, principal: row.get_ref(4)?.as_str()?, standing };
        let stands = list.standing(&token.standing).is_ok();
        let revives = !stands && lifted.standing(&token.standing).is_ok();
        let mut touched = false;
        for (asked, each) in asked.iter().zip(&mut preview.each) {
            if asked.reaches(&token) {
                touched = true;
                each.count(&token, stands, revives);
            }
        }
        if touched {
            preview.all.count(&token, stands, revives);
        }
    }
    Ok(preview)
}

struct Token<'r> {
    id: &'r str,
    principal: &'r str,
    standing: Standing,
}

/// What is asked about, with the tokens that hang on it though they do not bear it.
struct Asked<'t> {
    target: &'t Target,
    hanging: HashSet<String>,
}

impl<'t> Asked<'t> {
    fn new(conn: &Connection, target: &'t Target, now: Timestamp) -> rusqlite::Result<Self> {
        let hanging = match target {
            Target::All => Vec::new(),
            Target::Selector(selector) => {
                let tie = Tie::Selector(selector.kind(), selector.value().to_owned());
                descent::hanging_on(conn, &tie, now)?
            }
        };
        Ok(Self { target, hanging: hanging.into_iter().map(|descendant| descendant.token).collect() })
    }

    fn reaches(&self, token: &Token<'_>) -> bool {
        match self.target {
            Target::All => !token.standing.exempt_global,
            Target::Selector(selector) => {
                let borne = token
                    .standing
                    .selectors
                    .iter()
                    .any(|(kind, value)| *kind == selector.kind() && value == selector.value());
                borne || self.hanging.contains(token.id)
            }
        }
    }
}

/// The list as a lift that lets old tokens live again would leave it.
fn lifted(
    conn: &Connection,
    targets: &[Target],
    now: Timestamp,
    list: &Revocations,
) -> rusqlite::Result<Revocations> {
    let mut left = list.clone();
    // In the order in which a lift goes through them.
    let targets: BTreeSet<&Target> = targets.iter().collect();
    for target in &targets {
        left.apply(match target {
            Target::All => Change::Global(None),
            Target::Selector(selector) => Change::Remove(selector.kind(), selector.value().into()),
        });
    }
    for target in targets {
        descent::revived(conn, list, &mut left, target, now)?;
    }
    Ok(left)
}

impl Touched {
    fn count(&mut self, token: &Token<'_>, stands: bool, revives: bool) {
        if stands {
            return self.living.count(token);
        }
        self.revoked.count(token);
        if revives {
            self.revived.count(token);
        }
    }
}

impl Hit {
    fn count(&mut self, token: &Token<'_>) {
        self.tokens += 1;
        self.ids.insert(token.id.to_owned());
        if self.ids.len() > NAMED {
            self.ids.pop_last();
        }
        let name = token.principal.strip_prefix("workflow:").unwrap_or(token.principal);
        if !self.workflows.contains(name) {
            self.workflows.insert(name.to_owned());
        }
        let tools = token.standing.selectors.iter().filter(|(kind, _)| *kind == SelectorKind::Tool);
        self.tools.extend(tools.filter_map(|(_, name)| name.parse().ok()));
    }
}
