//! What the audit log and the log say of an exchange, granted or refused.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shortbread_protocol::access::Access;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::dpop::Proof;
use shortbread_protocol::event::{Decision, Segment};
use shortbread_protocol::names::{Intent, Operation, ToolName, WorkflowName};
use shortbread_protocol::oauth::TokenAnswer;
use shortbread_protocol::random::{Random, RandomError};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::scope::Scope;

use super::exact::Exact;
use super::input::Known;
use super::parent::operations;
use super::proof;
use super::refusal::Refusal;
use super::request::Request;
use crate::approval::Wait;
use crate::identity::{Degraded, Verified};
use crate::policy::model::Principal;
use crate::policy::{Granted, Policy};
use crate::store::ErasableInput;
use crate::tripwire::Refused;

/// How far an exchange came, and what was known by then.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// The step that is under way.
    pub stage: &'static str,
    /// Who asks, once proved.
    pub(super) principal: Option<Principal>,
    /// The verbs that were asked for, as `tool/verb`.
    pub(super) requested: Vec<String>,
    /// What it is counted by.
    pub segment: Segment,
    /// The policy that decided.
    pub(super) policy: Option<String>,
    /// A stranger's refusal that is only counted for now: whoever floods the broker floods no log either.
    pub quiet: bool,
    /// A token was shown whose key was not proved: whoever sees a token could send it.
    pub(super) unproved: bool,
    /// By tool, the worst access that was asked for.
    worst: BTreeMap<ToolName, Access>,
    /// On what less than usual the decision rests.
    pub(super) degraded: Option<&'static str>,
    identity: Option<Value>,
    /// The thumbprint of the key that was proved.
    pub(super) holder: Option<String>,
    /// What the decision depends on.
    known: Option<Known>,
    /// What was shown and is good once, and until when: the assertion, or the proof beside one that may come again.
    pub(super) presented: Option<([u8; 32], Timestamp)>,
    /// The audiences that it is wanted for.
    pub(super) resources: Vec<String>,
    /// A proof of a key came with it, whatever it is worth.
    pub(super) shown: bool,
    /// The approval that it waits for, or comes from.
    pub(super) approval: Option<String>,
}

/// What the log says of a sub-agent's token.
pub(super) struct ChildFacts<'a> {
    /// Its id.
    pub(super) token: &'a str,
    /// The thumbprint of its key.
    pub(super) holder: &'a str,
    /// Its verbs, as `tool/verb`.
    pub(super) verbs: &'a [String],
    /// The parent's verbs that were not passed on though they were asked for, and why.
    pub(super) dropped: &'a BTreeMap<String, String>,
    /// The grants that give it.
    pub(super) grants: &'a [String],
    /// When it ends.
    pub(super) expires: u64,
}

/// What an entry says of the moment in which it is written.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    /// The last revocation that was considered.
    pub(super) revocation_seq: u64,
    /// How long it took so far, in microseconds.
    pub(super) latency_us: u64,
}

impl Trail {
    /// The request was read.
    pub(super) fn asked(&mut self, request: &Request) {
        self.requested = request.asked.iter().map(|asked| asked.operation.to_string()).collect();
        self.resources.clone_from(&request.resources);
        self.segment = Segment {
            workflow: None,
            intent: Some(request.intent.clone().unwrap_or_else(Intent::undeclared)),
            task: request.task.clone(),
            tool: request.asked.first().map(|asked| asked.operation.tool.to_string()),
            access: None,
            release: request.release.clone(),
        };
    }

    /// The identity was proved: its particulars go into the log as hashes.
    pub(super) fn proved(&mut self, identity: &Verified, principal: &Principal, known: Known) {
        let hash = |text: &str| hex::encode(Sha256::digest(text));
        self.identity = Some(json!({
            "iss": identity.issuer,
            "entry": identity.entry,
            "sub_sha256": hash(&identity.subject),
            "jti_sha256": identity.jti.as_deref().map(hash),
        }));
        self.segment.workflow = Some(principal.name().to_owned());
        self.degraded = identity.degraded.map(Degraded::code);
        self.principal = Some(principal.clone());
        self.known = Some(known);
        self.presented = Some((identity.replay.hash, identity.replay.keep_until));
    }

    /// Whether it is an operator who proved to be one.
    pub(super) fn is_operators(&self) -> bool {
        matches!(self.principal, Some(Principal::Operator(_)))
    }

    /// A key was proved, or none was shown.
    pub(super) fn held_by(&mut self, proof: Option<&Proof>, identity: &Verified) {
        self.holder = proof.map(|proof| proof.thumbprint().to_owned());
        if let Some(known) = &mut self.known {
            known.held(proof::possession(identity, proof));
        }
        if let Some(proof) = proof.filter(|_| identity.reuse) {
            self.presented = Some((proof.id(), proof.until()));
        }
    }

    /// What is kept of what the decision depends on; nothing before an identity or a key is proved.
    ///
    /// # Errors
    /// When there is no randomness.
    pub(super) fn input(&self, random: &dyn Random) -> Result<Option<ErasableInput>, RandomError> {
        self.known.as_ref().filter(|_| !self.unproved).map(|known| known.erasable(random)).transpose()
    }

    /// The parent of the token that is asked for was opened.
    pub(super) fn descends(&mut self, request: &Request, principal: &Principal, parent: &str, scope: &Scope) {
        self.segment.workflow = Some(principal.name().to_owned());
        self.segment.intent = scope.id(SelectorKind::Intent).and_then(|intent| intent.parse().ok());
        self.segment.task = scope.id(SelectorKind::Task).and_then(|task| task.parse().ok());
        self.principal = Some(principal.clone());
        self.identity = Some(json!({ "parent": parent }));
        self.unproved = true;
        let named = request.asked.iter().map(|asked| asked.operation.clone());
        let mut verbs: Vec<Operation> = named.collect();
        if verbs.is_empty() {
            // Whoever names none asks for all.
            verbs = operations(scope).map(|(operation, _)| operation).collect();
            let held = operations(scope).map(|(operation, access)| (operation.tool, access));
            self.counted_by(&held.collect::<Vec<_>>());
            self.requested = verbs.iter().map(ToString::to_string).collect();
        }
        self.known = Some(Known::of_holder(request, principal, self.segment.intent.as_ref(), &verbs));
    }

    /// The holder of the parent proved its key.
    pub(super) fn passed_by_holder(&mut self, proof: &Proof) {
        self.presented = Some((proof.id(), proof.until()));
        self.unproved = false;
    }

    /// A policy was found.
    pub(super) fn under(&mut self, policy: &Policy) {
        self.policy = Some(policy.digest().to_owned());
        let mut asked = Vec::new();
        self.worst.clear();
        for operation in self.requested.iter().filter_map(|text| text.parse::<Operation>().ok()) {
            let Some(verb) = policy.catalogue().verb(&operation) else { continue };
            asked.push((operation.tool.clone(), verb.access));
            let worst = self.worst.entry(operation.tool).or_insert(verb.access);
            *worst = verb.access.max(*worst);
        }
        self.counted_by(&asked);
    }

    // By the worst of all that is asked for, and the tool that it is asked of.
    fn counted_by(&mut self, asked: &[(ToolName, Access)]) {
        // Of several the first: `max_by_key` would give the last.
        let Some((tool, access)) = asked.iter().rev().max_by_key(|(_, access)| *access) else { return };
        self.segment.tool = Some(tool.to_string());
        self.segment.access = Some(access.to_string());
    }

    /// What tripwires count of a refusal: only that of a proved workflow, and only for a task that it named.
    pub(super) fn refusals(&self, reason: Reason, decision: &Decision) -> Vec<Refused> {
        let (Some(Principal::Workflow(workflow)), Some(task), false) =
            (&self.principal, &self.segment.task, self.unproved)
        else {
            return Vec::new();
        };
        let refused = |(tool, access): (&ToolName, &Access)| Refused {
            workflow: workflow.clone(),
            task: task.clone(),
            tool: tool.clone(),
            access: *access,
            reason,
            decision: decision.id.clone(),
            at: decision.at,
        };
        self.worst.iter().map(refused).collect()
    }

    /// The workflow that asks, once proved.
    pub(super) fn proved_workflow(&self) -> Option<&WorkflowName> {
        match &self.principal {
            Some(Principal::Workflow(workflow)) if !self.unproved => Some(workflow),
            _ => None,
        }
    }

    /// What the decision depends on, as far as it is known.
    pub(super) const fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// Whether a token was to be passed on.
    pub(super) fn is_childs(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.get("parent").is_some())
    }

    /// Whom the entry concerns.
    #[must_use]
    pub(super) fn subject(&self) -> String {
        let slashed = |principal: &Principal| principal.to_string().replacen(':', "/", 1);
        self.principal.as_ref().map_or_else(|| "unknown".to_owned(), slashed)
    }

    /// The particulars of a granted exchange.
    #[must_use]
    pub(super) fn granted(
        &self,
        granted: &Granted,
        tokens: &[(&str, Option<&Exact>)],
        expires: u64,
        now: Moment,
    ) -> Value {
        let rights = granted.rights.iter().map(|right| right.operation.to_string()).collect::<Vec<_>>();
        let dropped = granted.dropped.iter().map(|(o, reason)| dropped(o.to_string(), reason.code()));
        let mut own = json!({
            "reasons": granted.grants, "token": tokens.first().map(|(token, _)| token), "expires": expires,
            "granted": rights, "dropped": dropped.collect::<Vec<_>>(),
        });
        let calls = tokens.iter().filter_map(|(token, call)| {
            let Exact { operation, args_sha256, .. } = (*call)?;
            Some(json!({ "token": token, "verb": operation, "args_sha256": hex::encode(args_sha256) }))
        });
        let calls: Vec<Value> = calls.collect();
        if let Some(own) = own.as_object_mut().filter(|_| !calls.is_empty()) {
            own.insert("calls".to_owned(), calls.into());
        }
        self.allowed(own, now)
    }

    /// The particulars of what becomes of a request that waits for a person.
    #[must_use]
    pub(super) fn about(&self, own: Value, now: Moment) -> Value {
        self.entry(own, now)
    }

    /// What it is that the request waits for, or waited: the client has proved its key.
    pub(super) fn resumes(&mut self, wait: &Wait, principal: &Principal) {
        self.requested = wait.shown.operations().iter().map(ToString::to_string).collect();
        self.resources.clone_from(&wait.requested.resources);
        self.segment = wait.requested.segment.clone();
        self.identity = Some(wait.requested.identity.clone());
        self.principal = Some(principal.clone());
        self.holder = Some(wait.shown.holder.clone());
        self.approval = Some(wait.record.id.clone());
    }

    /// What the log says of the identity.
    pub(super) fn identity(&self) -> Value {
        self.identity.clone().unwrap_or_default()
    }

    /// The particulars of an answer that is given once more.
    #[must_use]
    pub(super) fn repeated(&self, grants: &[String], answer: &TokenAnswer, now: Moment) -> Value {
        let held = answer.scope.split(' ').filter_map(|scope| Operation::from_scope(scope).ok());
        let own = json!({
            "repeated": true, "reasons": grants, "token": answer.shortbread.token_id,
            "granted": held.map(|operation| operation.to_string()).collect::<Vec<_>>(),
            "dropped": all_dropped(&answer.shortbread.dropped),
        });
        self.allowed(own, now)
    }

    /// The particulars of a sub-agent's token.
    #[must_use]
    pub(super) fn passed_on(&self, child: &ChildFacts<'_>, now: Moment) -> Value {
        let own = json!({
            "reasons": child.grants, "token": child.token, "expires": child.expires, "holder": child.holder,
            "granted": child.verbs, "dropped": all_dropped(child.dropped),
        });
        self.allowed(own, now)
    }

    /// The particulars of a refusal; `count` refusals of strangers may share one entry.
    #[must_use]
    pub(super) fn refused(&self, refusal: &Refusal, count: u64, from: Option<String>, now: Moment) -> Value {
        let own = json!({
            "outcome": "deny", "reasons": [refusal.reason.code()], "detail": refusal.detail,
            "cause": refusal.cause, "granted": [], "error_class": refusal.error_class(), "count": count,
            "from": from, "degraded": refusal.degraded.map(Degraded::code).or(self.degraded),
        });
        self.entry(own, now)
    }

    fn allowed(&self, own: Value, now: Moment) -> Value {
        let mut data = self.entry(own, now);
        if let Some(data) = data.as_object_mut() {
            data.insert("outcome".to_owned(), "allow".into());
        }
        data
    }

    // What every entry says, and what is its own.
    fn entry(&self, own: Value, now: Moment) -> Value {
        let mut data = json!({
            "workflow": self.segment.workflow, "task": self.segment.task, "holder": self.holder,
            "identity": self.identity, "requested": self.requested, "policy": self.policy,
            "revocation_seq": now.revocation_seq, "segment": self.segment, "stage": self.stage,
            "approval": self.approval, "error_class": null, "latency_us": now.latency_us, "degraded": self.degraded,
        });
        if let (Some(data), Value::Object(own)) = (data.as_object_mut(), own) {
            data.extend(own);
        }
        data
    }
}

fn all_dropped(by_verb: &BTreeMap<String, String>) -> Vec<Value> {
    by_verb.iter().map(|(verb, reason)| dropped(verb.clone(), reason)).collect()
}

fn dropped(verb: String, reason: &str) -> Value {
    json!({ "verb": verb, "reason": reason })
}
