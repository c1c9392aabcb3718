//! The policy file as it is written: its shape and the places of its parts, nothing judged yet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, de};
use shortbread_protocol::access::Access;
use shortbread_protocol::constraint::Scalar;
use shortbread_protocol::names::{
    ArgName, Intent, OperatorName, ToolName, VerbName, VerifierName, WorkflowName,
};
use shortbread_protocol::normalise::Form;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::nesting;
use super::problem::Problems;
use super::units::{Pace, Span};

/// A larger policy is refused unread.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// The whole file.
#[derive(Default)]
pub(super) struct Source {
    pub(super) tools: Vec<(Spanned<String>, ToolSource)>,
    pub(super) identities: Vec<Spanned<IdentitySource>>,
    pub(super) grants: Vec<Spanned<GrantSource>>,
    pub(super) forbids: Vec<Spanned<ForbidSource>>,
    pub(super) approvers: Vec<(Spanned<String>, ApproversSource)>,
    pub(super) tripwires: Vec<Spanned<TripwireSource>>,
    pub(super) rollback: Option<Spanned<RollbackSource>>,
    pub(super) gate: Option<Spanned<GateSource>>,
}

/// `[tools.NAME]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolSource {
    pub(super) audience: Spanned<String>,
    #[serde(default)]
    pub(super) verbs: BTreeMap<Spanned<VerbName>, VerbSource>,
    #[serde(default)]
    pub(super) windows: WindowsSource,
    pub(super) mode: Option<Spanned<String>>,
    pub(super) until: Option<Spanned<String>>,
}

/// `windows`: how old the revocation list may be for calls of a tool.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowsSource {
    pub(super) privileged: Option<Spanned<Span>>,
    pub(super) write: Option<Spanned<Span>>,
    /// Read to be refused with a reason.
    pub(super) read: Option<Spanned<de::IgnoredAny>>,
}

/// `verbs."NAME"`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerbSource {
    pub(super) access: Access,
    pub(super) args: Option<Vec<Spanned<ArgName>>>,
    #[serde(default)]
    pub(super) forms: BTreeMap<Spanned<ArgName>, Form>,
}

/// `[[identities]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentitySource {
    pub(super) workflow: Option<Spanned<WorkflowName>>,
    pub(super) workflows: Option<Spanned<Vec<WorkflowName>>>,
    pub(super) operator: Option<Spanned<OperatorName>>,
    pub(super) operators: Option<Spanned<Vec<Spanned<OperatorName>>>>,
    pub(super) verifier: Option<Spanned<VerifierName>>,
    pub(super) tools: Option<Spanned<Vec<Spanned<ToolName>>>>,
    pub(super) key: Option<Spanned<String>>,
    pub(super) issuer: Option<Spanned<String>>,
    pub(super) trust_domain: Option<Spanned<String>>,
    pub(super) spiffe_id: Option<Spanned<String>>,
    pub(super) audience: Option<Spanned<String>>,
    pub(super) claims: Option<Spanned<toml::Table>>,
    pub(super) group: Option<Spanned<String>>,
    pub(super) groups_claim: Option<Spanned<String>>,
    pub(super) named_by: Option<Spanned<String>>,
    pub(super) jwks_url: Option<Spanned<String>>,
    pub(super) jwks_file: Option<Spanned<String>>,
    pub(super) bundle_url: Option<Spanned<String>>,
    pub(super) bundle_file: Option<Spanned<String>>,
    pub(super) allow_private: Option<Spanned<bool>>,
    pub(super) reuse: Option<Spanned<String>>,
    pub(super) max_age: Option<Spanned<Span>>,
}

/// `[[grants]]`
#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantSource {
    pub(super) workflow: Option<Spanned<WorkflowName>>,
    pub(super) operator: Option<Spanned<OperatorName>>,
    #[serde(default)]
    pub(super) owners: Vec<Spanned<OperatorName>>,
    pub(super) intents: Option<Spanned<BTreeSet<Intent>>>,
    pub(super) tool: Spanned<ToolName>,
    pub(super) verbs: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) constraints: BTreeMap<Spanned<VerbName>, LimitsSource>,
    #[serde(default)]
    pub(super) any_arguments: bool,
    pub(super) max_ttl: Option<Spanned<Span>>,
    pub(super) approval: Option<Spanned<ApprovalSource>>,
    pub(super) proof: Option<Spanned<String>>,
    pub(super) rate: Option<Pace>,
    pub(super) budget: Option<Spanned<BudgetSource>>,
}

/// `budget`
#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetSource {
    pub(super) argument: Spanned<ArgName>,
    pub(super) limit: Spanned<i64>,
    pub(super) per: Spanned<Span>,
}

/// `constraints."VERB"`
pub(super) type LimitsSource = BTreeMap<Spanned<ArgName>, LimitSource>;

/// `{ eq = … }` and its kin, or `{ claim = "repository" }`.
#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitSource {
    pub(super) claim: Option<String>,
    pub(super) eq: Option<Scalar>,
    #[serde(rename = "in")]
    pub(super) one_of: Option<BTreeSet<Scalar>>,
    pub(super) subset: Option<BTreeSet<Scalar>>,
    pub(super) prefix: Option<String>,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) path_under: Option<String>,
    pub(super) host_in: Option<BTreeSet<String>>,
    #[serde(default)]
    pub(super) any: bool,
}

/// `approval`
#[derive(PartialEq)]
pub(super) enum ApprovalSource {
    /// `"none"`, said out loud.
    None,
    /// A demand.
    Demand(DemandSource),
}

/// `approval = { … }`
#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct DemandSource {
    pub(super) access: Option<Vec<Access>>,
    pub(super) verbs: Option<Vec<Spanned<String>>>,
    pub(super) approvers: Spanned<String>,
    pub(super) quorum: Option<Spanned<i64>>,
    pub(super) sla: Option<Span>,
    pub(super) expires: Option<Spanned<Span>>,
}

/// `[[forbids]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ForbidSource {
    pub(super) workflow: Option<Spanned<WorkflowName>>,
    pub(super) workflows: Option<Vec<Spanned<WorkflowName>>>,
    pub(super) intents: Option<Spanned<BTreeSet<Intent>>>,
    pub(super) tool: Option<Spanned<ToolName>>,
    pub(super) verbs: Option<Vec<Spanned<String>>>,
    pub(super) access: Option<Vec<Access>>,
}

/// `[rollback]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackSource {
    pub(super) max_denied: Option<Spanned<f64>>,
    pub(super) max_needs_approval: Option<Spanned<f64>>,
    pub(super) min_requests: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) segments: Vec<Spanned<RollbackSegmentSource>>,
}

/// `[[rollback.segments]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackSegmentSource {
    pub(super) workflow: Option<Spanned<WorkflowName>>,
    pub(super) tool: Option<Spanned<ToolName>>,
    pub(super) access: Option<Access>,
    pub(super) max_denied: Option<Spanned<f64>>,
    pub(super) max_needs_approval: Option<Spanned<f64>>,
}

/// `[gate]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GateSource {
    pub(super) max_newly_denied: Option<Spanned<f64>>,
    pub(super) max_approval_load: Option<Spanned<f64>>,
    pub(super) min_cases: Option<Spanned<i64>>,
    pub(super) cases: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) segments: Vec<Spanned<GateSegmentSource>>,
}

/// `[[gate.segments]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GateSegmentSource {
    pub(super) workflow: Option<Spanned<WorkflowName>>,
    pub(super) intent: Option<Intent>,
    pub(super) tool: Option<Spanned<ToolName>>,
    pub(super) access: Option<Access>,
    pub(super) max_newly_denied: Option<Spanned<f64>>,
    pub(super) min_cases: Option<Spanned<i64>>,
}

/// `[[tripwires]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TripwireSource {
    pub(super) name: Spanned<String>,
    pub(super) access: Access,
    pub(super) refusals: Spanned<i64>,
    pub(super) within: Spanned<Span>,
    pub(super) tool: Option<Spanned<ToolName>>,
    pub(super) workflow: Option<Spanned<WorkflowName>>,
    pub(super) max_per_hour: Option<Spanned<i64>>,
}

/// `[approvers.NAME]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApproversSource {
    pub(super) members: Spanned<Vec<Spanned<OperatorName>>>,
    pub(super) escalate: Option<Spanned<String>>,
}

impl<'de> Deserialize<'de> for ApprovalSource {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ApprovalVisitor)
    }
}

struct ApprovalVisitor;

impl<'de> Visitor<'de> for ApprovalVisitor {
    type Value = ApprovalSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"none\" or a table with approvers, quorum, sla, expires and access or verbs")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ApprovalSource, E> {
        if text == "none" {
            Ok(ApprovalSource::None)
        } else {
            Err(E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ApprovalSource, A::Error> {
        DemandSource::deserialize(MapAccessDeserializer::new(map)).map(ApprovalSource::Demand)
    }
}

/// Reads the file part by part, so that one bad part does not hide the next.
pub(super) fn read(text: &str, problems: &mut Problems) -> Source {
    let mut source = Source::default();
    if text.len() > MAX_BYTES {
        problems.add(0..0, "the policy is larger than 1 MiB", "split the tools over several brokers");
        return source;
    }
    if let Some(at) = nesting::too_deep(text) {
        problems.add(
            at..at,
            "brackets and dots nest too deep here",
            "write fewer levels; no policy needs as many",
        );
        return source;
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        report(error, 0..0, problems);
    }
    if !errors.is_empty() {
        return source;
    }
    for (name, value) in table.into_inner() {
        match &**name.get_ref() {
            "tools" => source.tools = named(value, problems),
            "approvers" => source.approvers = named(value, problems),
            "identities" => source.identities = listed(value, problems),
            "grants" => source.grants = listed(value, problems),
            "forbids" => source.forbids = listed(value, problems),
            "tripwires" => source.tripwires = listed(value, problems),
            "rollback" => source.rollback = part(value, problems),
            "gate" => source.gate = part(value, problems),
            other => problems.add(
                name.span(),
                format!("{other:?} is no part of a policy"),
                "use [tools.NAME], [[identities]], [[grants]], [[forbids]], [[tripwires]], [rollback], [gate] and [approvers.NAME]",
            ),
        }
    }
    source
}

fn named<T: DeserializeOwned>(
    value: Spanned<DeValue<'_>>,
    problems: &mut Problems,
) -> Vec<(Spanned<String>, T)> {
    let at = value.span();
    let DeValue::Table(table) = value.into_inner() else {
        problems.add(
            at,
            "a list or value stands where named tables belong",
            "write [tools.NAME] or [approvers.NAME]",
        );
        return Vec::new();
    };
    let entries = table.into_iter().filter_map(|(name, value)| {
        let part = part(value, problems)?;
        Some((Spanned::new(name.span(), name.get_ref().to_string()), part.into_inner()))
    });
    entries.collect()
}

fn listed<T: DeserializeOwned>(value: Spanned<DeValue<'_>>, problems: &mut Problems) -> Vec<Spanned<T>> {
    let at = value.span();
    let DeValue::Array(array) = value.into_inner() else {
        problems.add(
            at,
            "a table or value stands where a list of tables belongs",
            "write the name in double brackets, such as [[grants]]",
        );
        return Vec::new();
    };
    array.into_iter().filter_map(|value| part(value, problems)).collect()
}

fn part<T: DeserializeOwned>(value: Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<Spanned<T>> {
    let at = value.span();
    match T::deserialize(ValueDeserializer::from(value)) {
        Ok(part) => Some(Spanned::new(at, part)),
        Err(error) => {
            report(&error, at, problems);
            None
        }
    }
}

fn report(error: &toml::de::Error, within: std::ops::Range<usize>, problems: &mut Problems) {
    let message = error.message();
    let fix = if message.starts_with("unknown field") {
        "correct the spelling, or take it out"
    } else if message.starts_with("missing field") {
        "add it"
    } else if message.starts_with("duplicate") {
        "say it once"
    } else if message.contains("is not valid: ") {
        "choose a name that keeps to that rule"
    } else {
        "write a value of the kind that is expected there"
    };
    problems.add(error.span().unwrap_or(within), message, fix);
}
