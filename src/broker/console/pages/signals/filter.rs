//! What the page is asked to show: a period, and the segments that count. Pure.

use serde::Deserialize;

use crate::report::Question;

/// The periods that can be chosen; the first is what a page without a choice has.
const PERIODS: [(&str, u64, &str); 4] = [
    ("1d", 86_400, "the last day"),
    ("1h", 3600, "the last hour"),
    ("7d", 7 * 86_400, "the last 7 days"),
    ("30d", 30 * 86_400, "the last 30 days"),
];
/// The accesses that can be chosen.
const ACCESSES: [&str; 3] = ["read", "write", "privileged"];
/// What the segments of the table are told apart by.
const BY: &str = "workflow,tool";

/// The query.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
pub(in crate::console) struct Wanted {
    /// `1h`, `1d`, `7d` or `30d`; a day unless told.
    period: Option<String>,
    /// This workflow alone, or `operator:NAME`.
    workflow: Option<String>,
    /// This tool alone.
    tool: Option<String>,
    /// This declared purpose alone.
    intent: Option<String>,
    /// `read`, `write` or `privileged` alone.
    access: Option<String>,
    /// This release alone.
    release: Option<String>,
}

/// One field of the form.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) value: String,
    /// What is wrong with it; empty where nothing is.
    pub(super) wrong: &'static str,
    /// What can be chosen; empty where anything can be written.
    pub(super) choices: &'static [&'static str],
}

/// The form as it was sent.
pub(super) struct Filters {
    pub(super) fields: Vec<Field>,
    pub(super) period: &'static str,
    /// What is asked for; nothing where a field is wrong.
    pub(super) question: Option<Question>,
}

impl Filters {
    /// Reads the query.
    pub(super) fn of(wanted: Wanted) -> Self {
        let field = |name, label, value: Option<String>, choices: &'static [&'static str]| {
            let value = value.map(|value| value.trim().to_owned()).unwrap_or_default();
            let wrong = wrong(&value, choices);
            Field { name, label, value, wrong, choices }
        };
        let mut fields = vec![
            field("workflow", "Workflow", wanted.workflow, &[]),
            field("tool", "Tool", wanted.tool, &[]),
            field("intent", "Intent", wanted.intent, &[]),
            field("access", "Access", wanted.access, &ACCESSES),
            field("release", "Release", wanted.release, &[]),
        ];
        let period = wanted.period.unwrap_or_default();
        let chosen = PERIODS.into_iter().find(|(name, ..)| *name == period);
        let (period, long, _) = chosen.unwrap_or(PERIODS[0]);
        let sound = fields.iter().all(|field| field.wrong.is_empty());
        let pairs = fields.iter().filter(|field| !field.value.is_empty());
        let only: Vec<String> = pairs.map(|field| format!("{}={}", field.name, field.value)).collect();
        let question = sound.then(|| Question::new("segments", long, Some(BY), Some(&only.join(","))));
        let question = question.and_then(Result::ok);
        if sound && question.is_none() {
            fields.iter_mut().for_each(|field| field.wrong = "these filters cannot be asked for together");
        }
        Self { fields, period, question }
    }

    /// What can be chosen: name, words, and whether it is chosen.
    pub(super) fn periods(&self) -> Vec<(&'static str, &'static str, bool)> {
        PERIODS.into_iter().map(|(name, _, words)| (name, words, name == self.period)).collect()
    }

    /// The value of a field, if it has one.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.name == name);
        field.map(|field| field.value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether anything is filtered out.
    pub(super) fn is_narrow(&self) -> bool {
        self.fields.iter().any(|field| !field.value.is_empty())
    }

    /// The query of the same page for these values instead.
    pub(super) fn with(&self, instead: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("period", self.period);
        for field in &self.fields {
            let other = instead.iter().find(|(name, _)| *name == field.name).map(|(_, value)| *value);
            let value = other.unwrap_or(&field.value);
            if !value.is_empty() {
                query.append_pair(field.name, value);
            }
        }
        query.finish()
    }
}

fn wrong(value: &str, choices: &[&str]) -> &'static str {
    if value.is_empty() {
        ""
    } else if !choices.is_empty() && !choices.contains(&value) {
        "choose read, write or privileged, or any"
    } else if value.contains(',') {
        "write one name, without a comma"
    } else if value.len() > 128 {
        "write a name of 128 letters at most"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_field_by_field() {
        let filters = Filters::of(Wanted {
            period: Some("7d".to_owned()),
            workflow: Some(" release-notes ".to_owned()),
            access: Some("write".to_owned()),
            tool: Some(String::new()),
            ..Wanted::default()
        });
        let asked = Question::new("segments", 604_800, Some(BY), Some("workflow=release-notes,access=write"));
        assert_eq!(filters.question, asked.ok());
        assert!(filters.is_narrow() && filters.value("tool").is_none());
        assert_eq!(
            filters.with(&[("tool", "git hub"), ("workflow", "a&b")]),
            "period=7d&workflow=a%26b&tool=git+hub&access=write"
        );
        assert_eq!(Filters::of(Wanted::default()).period, "1d");
    }

    #[test]
    fn what_is_wrong_stands_at_its_field() {
        for (name, value) in [("tool", "a,workflow=b"), ("access", "all"), ("release", &*"r".repeat(129))] {
            let mut wanted = Wanted::default();
            let place = match name {
                "tool" => &mut wanted.tool,
                "access" => &mut wanted.access,
                _ => &mut wanted.release,
            };
            *place = Some(value.to_owned());
            let filters = Filters::of(wanted);
            let wrong: Vec<_> =
                filters.fields.iter().filter(|one| !one.wrong.is_empty()).map(|one| one.name).collect();
            assert_eq!((wrong, filters.question), (vec![name], None));
        }
    }
}
