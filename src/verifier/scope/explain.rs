//! Why a check refused, in a reason that a program can rely on and words that its holder understands.

use shortbread_protocol::biscuit::{Op, Term};
use shortbread_protocol::reason::Reason;

use super::evaluate::{Demand, Refusal, Run};
use super::{Alternative, Check, Condition, Right, Scope};

impl Scope {
    /// Runs once a call is refused, so it may take its time; the work is bounded as before.
    pub(super) fn refusal(&self, check: &Check, demand: &Demand<'_>, right: &Right) -> Refusal {
        let facets = self.no_facets();
        let mut run = Run::new(self, demand, right, &facets);
        // Alternatives for other operations say nothing about this call; where none is for it, all speak.
        let concerned: Vec<&Alternative> = self
            .alternatives(check)
            .iter()
            .filter(|alternative| {
                run.bound.clear();
                run.operation(alternative).unwrap_or(false)
            })
            .collect();
        let conditions = || concerned.iter().flat_map(|alternative| self.conditions(alternative));
        let asks = |wanted: fn(&Condition) -> bool| conditions().any(wanted);
        let place = Some((check.block, check.place));
        // First: where a proof might help, nothing else can be said before there is one.
        let (reason, detail) = if demand.holder.is_none() && asks(|c| matches!(c, Condition::Holder(_))) {
            (Reason::ProofRequired, None)
        } else if asks(|c| matches!(c, Condition::Time(_))) {
            (Reason::Expired, None)
        } else if asks(|c| matches!(c, Condition::RevocationAge(_))) {
            (if demand.revocation_age.is_none() { Reason::ListMissing } else { Reason::ListTooOld }, None)
        } else if check.block > 0 {
            (Reason::Narrowed, run.argument(&concerned))
        } else if asks(|c| matches!(c, Condition::Audience(_))) {
            (Reason::WrongAudience, None)
        } else if asks(|c| matches!(c, Condition::Holder(_))) {
            (Reason::WrongHolder, None)
        } else if asks(|c| matches!(c, Condition::ArgsSha256(_))) {
            (Reason::ApprovedCallOnly, None)
        } else if asks(|c| matches!(c, Condition::Unused(_))) {
            (Reason::AlreadyUsed, None)
        } else if asks(|c| matches!(c, Condition::Arg(..) | Condition::Facet(..) | Condition::Args(_))) {
            (Reason::ArgumentRefused, run.argument(&concerned))
        } else if mentions_audience(self, check) {
            (Reason::WrongAudience, None)
        } else {
            (Reason::NotGranted, None)
        };
        Refusal { reason, detail, check: place }
    }
}

// Names come from the token and the call, which may make them as long as they like.
fn short(name: &str) -> String {
    name.chars().take(64).collect()
}

// At another tool's audience no alternative is for this operation, and still the audience is what is wrong.
fn mentions_audience(scope: &Scope, check: &Check) -> bool {
    let mut conditions =
        scope.alternatives(check).iter().flat_map(|alternative| scope.conditions(alternative));
    conditions.any(|condition| matches!(condition, Condition::Audience(_)))
}

impl Run<'_> {
    /// Names the first argument that keeps the first concerned alternative from holding.
    fn argument(&mut self, concerned: &[&Alternative]) -> Option<String> {
        let alternative = concerned.first()?;
        self.bound.clear();
        self.operation(alternative).ok()?;
        let scope = self.scope;
        for condition in scope.conditions(alternative) {
            if self.condition(condition).unwrap_or(false) {
                continue;
            }
            return match condition {
                Condition::Arg(name, _) => Some(self.wrong(scope.program.text(*name), None)),
                Condition::Facet(place, _) => {
                    let refused = self.facet(*place).ok().flatten().and_then(|read| read.as_ref().err());
                    let (name, _) = scope.facet(*place)?;
                    Some(self.wrong(name, refused.map(|refused| refused.as_str())))
                }
                Condition::Args(_) => Some("the arguments of the call were not read".to_owned()),
                _ => None,
            };
        }
        for ops in scope.program.expressions(&alternative.query) {
            if !self.expression(ops).unwrap_or(false) {
                return self.about(alternative, ops);
            }
        }
        None
    }

    fn wrong(&self, name: &str, refused: Option<&str>) -> String {
        let there = self.demand.args.is_some_and(|args| args.names().any(|known| known == name));
        let otherwise = if there { "is not the granted one" } else { "is missing" };
        format!("argument {:?} {}", short(name), refused.unwrap_or(otherwise))
    }

    fn about(&self, alternative: &Alternative, ops: &[Op]) -> Option<String> {
        let scope = self.scope;
        let used = |term: &Term| ops.contains(&Op::Value(*term));
        let outside = |name: &str| Some(format!("argument {:?} is outside what is granted", short(name)));
        for condition in scope.conditions(alternative) {
            match condition {
                Condition::Arg(name, term @ Term::Var(_)) if used(term) => {
                    return outside(scope.program.text(*name));
                }
                Condition::Facet(place, term @ Term::Var(_)) if used(term) => {
                    return scope.facet(*place).and_then(|(name, _)| outside(name));
                }
                Condition::Args(term @ Term::Var(_)) if used(term) => return self.unlisted(ops),
                _ => {}
            }
        }
        None
    }

    fn unlisted(&self, ops: &[Op]) -> Option<String> {
        let [Op::Value(Term::Set(listed)), ..] = ops else {
            return None;
        };
        let listed = self.scope.program.set(*listed);
        let text = |term: &Term| match term {
            Term::Str(sym) => self.scope.program.text(*sym),
            _ => "",
        };
        // Sets are in the order of their texts.
        let known = |name: &&str| listed.binary_search_by(|term| text(term).cmp(*name)).is_ok();
        let extra = self.demand.args?.names().find(|name| !known(name))?;
        Some(format!("argument {:?} is not one that the grant lists", short(extra)))
    }
}
