//! Tools whose calls are observed for a while instead of enforced: which, and whether it is not for too long.

use std::collections::BTreeMap;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::ToolName;
use shortbread_protocol::observe::MAX_OBSERVE;

use super::Policy;
use super::problem::{Problem, Problems};

impl Policy {
    /// The tools that are not enforced at this moment, and until when.
    #[must_use]
    pub fn observed(&self, now: Timestamp) -> BTreeMap<&ToolName, Timestamp> {
        let tools = self.catalogue().tools.iter();
        tools.filter_map(|(name, tool)| Some((name, tool.observed_until(now)?))).collect()
    }

    /// What speaks against putting this policy in force at this moment, though it compiles: a tool that would be observed
    /// no longer, or for too long. `file` is how problems name the policy.
    #[must_use]
    pub fn untimely(&self, file: &str, now: Timestamp) -> Vec<Problem> {
        let mut problems = Problems::new(file, self.source());
        for (name, tool) in &self.catalogue().tools {
            let Some(observe) = tool.observe else { continue };
            let (until, at) = (observe.until, observe.place..observe.place);
            if until <= now {
                let message = format!("{name} is observed until {until}, which is over");
                problems.add(at, message, "take mode and until out: it is enforced; or name a later end");
            } else if until.since(now) > MAX_OBSERVE {
                let last = now.plus(MAX_OBSERVE);
                let message = format!("{name} is observed until {until}, which is more than 90 days ahead");
                problems.add(
                    at,
                    message,
                    format!("name an end before {last}; it can be named anew when that comes near"),
                );
            }
        }
        problems.into_sorted()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{ADMIN, compile};
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_176_000);

    fn policy(mode: &str) -> String {
        format!(
            "[tools.t]\naudience = \"https://t.example/t\"\nverbs.\"a.read\" = {{ access = \"read\" }}\n{mode}\n{ADMIN}"
        )
    }

    #[test]
    fn a_tool_is_observed_until_its_end_and_enforced_from_then_on() {
        let read = compile(&policy("mode = \"observe\"\nuntil = \"2026-12-31T00:00:00Z\"")).unwrap();
        let (tool, until): (ToolName, Timestamp) =
            ("t".parse().unwrap(), "2026-12-31T00:00:00Z".parse().unwrap());
        assert_eq!(read.observed(NOW), BTreeMap::from([(&tool, until)]));
        assert_eq!(read.observed(until), BTreeMap::new());
        for enforced in ["", "mode = \"enforce\""] {
            let read = compile(&policy(enforced)).unwrap();
            assert!(read.observed(NOW).is_empty() && read.untimely("policy.toml", NOW).is_empty());
        }
    }

    #[test]
    fn what_is_said_wrongly_is_named_with_its_line_and_a_fix() {
        for (mode, line, says) in [
            ("mode = \"watch\"", 4, "no mode"),
            ("mode = \"observe\"", 4, "without an end"),
            ("until = \"2026-12-31T00:00:00Z\"", 4, "not observed"),
            ("mode = \"enforce\"\nuntil = \"2026-12-31T00:00:00Z\"", 5, "not observed"),
            ("mode = \"observe\"\nuntil = \"2026-12-31\"", 5, "no moment"),
            ("mode = \"observe\"\nuntil = \"2026-12-31T00:00:00+01:00\"", 5, "no moment"),
        ] {
            let problems = compile(&policy(mode)).unwrap_err();
            let found = problems.iter().find(|problem| problem.message.contains(says));
            let found = found.unwrap_or_else(|| panic!("{mode}: {problems:?}"));
            assert!(found.line == line && !found.fix.is_empty(), "{found}");
        }
    }

    #[test]
    fn an_end_that_is_past_or_more_than_90_days_ahead_is_untimely() {
        let end = NOW.plus(MAX_OBSERVE);
        for (until, says) in [
            (NOW.to_string(), Some("over")),
            (Timestamp::from_seconds(NOW.seconds() + 1).to_string(), None),
            (end.to_string(), None),
            (Timestamp::from_seconds(end.seconds() + 1).to_string(), Some("90 days")),
        ] {
            let read = compile(&policy(&format!("mode = \"observe\"\nuntil = {until:?}"))).unwrap();
            let problems = read.untimely("policy.toml", NOW);
            assert_eq!(problems.len(), usize::from(says.is_some()), "{until}");
            for problem in &problems {
                assert!(problem.line == 5 && problem.message.contains(says.unwrap()), "{problem}");
            }
        }
    }
}
