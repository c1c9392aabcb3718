//! Stable reason codes: why something was refused, in words that a program can rely on and a stranger learns nothing from.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::revocations::SelectorKind;

macro_rules! reasons {
    ($($(#[doc = $group:literal])? $variant:ident = $code:literal, $retry:literal, $meaning:literal, $action:literal;)*) => {
        /// Why a request or a call was refused. Codes never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $variant,)*
            /// Something this token or request stands for is revoked; the code names what.
            Revoked(SelectorKind),
        }

        impl Reason {
            /// Every reason, for `explain` and for tests.
            #[must_use]
            pub fn all() -> Vec<Self> {
                let plain = [$(Self::$variant),*];
                plain.into_iter().chain(SelectorKind::ALL.into_iter().map(Self::Revoked)).collect()
            }

            /// The stable code, such as `revoked.workflow`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Revoked(kind) => kind.reason_code(),
                }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                    Self::Revoked(kind) => kind.reason_meaning(),
                }
            }

            /// What the person who meets it can do.
            #[must_use]
            pub const fn action(self) -> &'static str {
                match self {
                    $(Self::$variant => $action,)*
                    Self::Revoked(_) => "Do not retry. `shortbread revocations list` shows who revoked it, when and why; an operator can lift it.",
                }
            }

            /// Whether the same request may pass later without any change.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self {
                    $(Self::$variant => $retry,)*
                    Self::Revoked(_) => false,
                }
            }
        }
    };
}

reasons! {
    TokenMissing = "token.missing", false, "The call carried no token.", "Send it as `Authorization: Bearer TOKEN`, or `Authorization: DPoP TOKEN` with a proof where it is bound to a key.";
    TokenMalformed = "token.malformed", false, "The bytes are not a Biscuit token in its one canonical spelling.", "Send the token exactly as the broker answered it.";
    ProfileViolation = "profile_violation", false, "The token is a Biscuit but breaks a rule of profile sb1; the detail names the rule.", "Narrow tokens with `shortbread attenuate` or our clients, which keep to the profile.";
    UnknownKey = "token.unknown_key", false, "No key in the key document may have signed this token.", "Check that the verifier follows the right broker; exchange for a new token.";
    BadSignature = "token.bad_signature", false, "A signature in the token's chain does not fit.", "The token was changed on the way or forged; exchange for a new one.";
    RevokedAll = "revoked.all", false, "An operator stopped everything that was issued before a moment.", "Do not retry. `shortbread revocations list` shows who stopped it, when and why; an operator can lift it.";
    RevokedBlock = "revoked.block", false, "This narrowed copy of the token was given back by its holder.", "Exchange for a new token.";
    Expired = "token.expired", false, "The token's life is over.", "Exchange for a new token.";
    NotYetValid = "token.not_yet_valid", true, "The token is not valid yet by this machine's clock.", "Wait a moment and retry. If it stays, check the clocks of the broker and the tool service.";
    WrongAudience = "token.wrong_audience", false, "The token is meant for another tool service.", "Ask for a token whose `resource` is this service.";
    NotGranted = "not_granted", false, "The token does not grant this verb of this tool.", "Ask the broker for the verb; the policy must grant it to the workflow.";
    ArgumentRefused = "argument_refused", false, "An argument lies outside what was granted, is missing, or is one that the grant does not list.", "Call with arguments that the token's `constraints` allow.";
    Narrowed = "narrowed", false, "Whoever passed this token on narrowed it; the narrower copy refuses this call.", "Ask the one who delegated for a wider copy.";
    ProofRequired = "proof.required", false, "The token is bound to a key and the call carried no proof of it.", "Send a DPoP proof made with the bound key.";
    ProofMalformed = "proof.malformed", false, "The DPoP proof could not be read, or there was more than one; the detail names the part.", "Send one `DPoP` header with a proof as RFC 9449 describes it, signed with EdDSA or ES256.";
    ProofMismatch = "proof.mismatch", false, "The DPoP proof was made for another request; the detail names the claim that differs.", "Make a new proof for each request, with its method, its URL, the token's hash and, for privileged verbs, the call.";
    ProofStale = "proof.stale", true, "The DPoP proof is older than 60 seconds, from the future, or from before the service started.", "Make a new proof for each request; check time synchronisation.";
    ProofSignature = "proof.bad_signature", false, "The signature of the DPoP proof does not fit its key.", "Make a new proof with the key that it names.";
    ProofReplayed = "proof.replayed", false, "This DPoP proof was used before.", "Make a new proof for each request, with a `jti` of its own.";
    ProofsFull = "proof.memory_full", true, "So many proofs came within a minute that no more can be remembered, and none is forgotten early.", "Retry in a minute. `shortbread_proofs_total` in the broker's metrics shows it; `[limits] proofs`, or a tool service's own setting, raises the limit.";
    WrongHolder = "proof.wrong_key", false, "The token is bound to another key than the one that made the proof.", "Use the key that was named at the exchange.";
    ApprovedCallOnly = "approval.other_call", false, "The token is good for one approved call, and this is not that call or its arguments were not read.", "Send exactly the arguments that were approved.";
    AlreadyUsed = "approval.used", false, "The approved call was already made, or its use could not be claimed.", "Ask for a new approval.";
    ClaimUnavailable = "approval.claim_unavailable", true, "The token is good once, and whoever keeps its use could not be asked.", "Retry later: nothing was run. If it is refused as used then, the claim had arrived; ask for a new approval.";
    ListMissing = "list.missing", true, "The verifier has no revocation list yet, so nothing is allowed.", "Check that the verifier can reach the broker or a mirror; `shortbread revocations status` shows whether the broker serves a fresh list.";
    ListTooOld = "list.too_old", true, "The verifier's revocation list is too old for this kind of access.", "Check that the verifier can reach the broker or a mirror; it recovers by itself. `shortbread revocations status` shows whether the broker serves a fresh list.";
    CallMalformed = "call.malformed", false, "The call could not be read: broken or duplicated members, too many or too large arguments.", "Send one JSON object with at most 64 members and 64 KiB, no member twice.";
    RecordUnavailable = "record.unavailable", true, "The tool service must record every decision, and there is no room or no disk for this one.", "Retry later. Whoever runs the tool service makes room on its disk, or lets it reach the broker so that waiting records are uploaded.";
    ClockUnsure = "clock.unsure", true, "The machine's clock jumped, so the age of the revocation list is unknown until the next one.", "It recovers with the next list. If it comes again, check the time synchronisation of the tool service's machine.";

    RequestMalformed = "request.malformed", false, "The request could not be read; the description names the part.", "Correct the named part.";
    GrantTypeUnknown = "request.grant_type", false, "This grant type is not served here.", "Use token-exchange, jwt-bearer or client_credentials.";
    IdentityInvalid = "identity.invalid", false, "The identity was not accepted: unreadable, expired, replayed, or not meant for this broker.", "Make a fresh assertion for this broker. `shortbread audit show DECISION_ID` shows an operator the exact cause.";
    IdentityUnmatched = "identity.unmatched", false, "The issuer is trusted but no identity entry of the policy matches exactly once.", "An operator compares the claims with `[[identities]]` of the policy; `shortbread audit show DECISION_ID` shows the exact cause.";
    WorkflowUnlisted = "identity.workflow_unlisted", false, "This identity may act for several workflows and the request named none of them.", "Send `client_id=workflow:NAME` with one that the identity entry lists.";
    IssuerUnavailable = "identity.issuer_unavailable", true, "The keys of the identity's issuer cannot be had right now.", "Retry after the given time.";
    ParentRefused = "exchange.parent", false, "This token cannot be exchanged for another one; the description says why.", "Send a living token that is bound to a key, is not sealed and is not an operator's, with a proof by its key that names the new key.";
    PolicyMissing = "policy.missing", true, "The broker has no policy in force, so it grants nothing.", "An operator activates one with `shortbread policy activate`.";
    PolicyDenied = "policy.not_granted", false, "No grant of the policy gives this workflow what it asked for.", "Ask for less, or ask an operator for a grant.";
    PolicyForbidden = "policy.forbidden", false, "The policy forbids this to everyone, whatever a grant says.", "Do not retry; the description names the verb.";
    IntentRefused = "policy.intent", false, "The grant does not cover this declared intent.", "Declare one of the intents that the policy lists for the workflow.";
    ConstraintRefused = "policy.constraint", false, "The arguments asked for have nothing in common with those granted, or a bound claim is missing.", "Ask for arguments inside the grant.";
ApprovalRequired = "approval.required", false, "A person must approve this first, and the request did not say that it waits.", "Send it again with `completion_mode=deferred` and a DPoP proof (`shortbread exchange --wait`), or ask for verbs that need no approval.";
    ApprovalPending = "approval.pending", true, "A person has to approve this and has not decided yet.", "Ask again with the deferral code after the interval that the answer names; `shortbread approvals list` shows what waits.";
    ApprovalDenied = "approval.denied", false, "The approvers denied this request.", "Do not retry the same request; `shortbread approvals show` has the reason they gave.";
    ApprovalExpired = "approval.expired", false, "Nobody approved this request in time, or the answer was not fetched in time.", "Ask again, and tell the approvers.";
    ApprovalCancelled = "approval.cancelled", false, "This request was taken back by who made it.", "Ask again if it is still needed.";
    ApprovalsFull = "approval.too_many", true, "So many requests of this workflow wait for a person that no more is taken.", "Wait until some are decided, or cancel some; `[limits] pending_approvals` is the limit.";
    DeferralUnknown = "approval.unknown_code", false, "No request waits under this deferral code for this client and key.", "Send the code with the client's identity and key that asked; one that was used is gone.";
    PollTooSoon = "approval.poll_too_soon", true, "The answer was asked for again too soon.", "Leave the interval that the answer names between two attempts, or send `Prefer: wait=55` to be answered once it is decided.";
    NotAsked = "approval.not_asked", false, "This operator is not among those who are asked to decide this request.", "Let a member of the groups that `shortbread approvals show` names decide; the next group is asked when the SLA is breached.";
    OwnRequest = "approval.own_request", false, "Nobody approves their own request, nor one of a workflow that they own; the detail says how they are tied to it.", "Let another approver decide.";
    ApprovalChanged = "approval.changed", false, "The request is not what was shown any more: another approver narrowed it.", "Look at it again with `shortbread approvals show`, then decide.";
    ApprovalClosed = "approval.closed", false, "This request is decided, expired or taken back.", "Nothing is left to decide; `shortbread approvals show` says how it ended.";
    BudgetSpent = "policy.budget", true, "The budget of the grant does not have this much left; the description says how much it has.", "Ask for less, or wait until earlier amounts leave the period.";
    TargetUnknown = "target.unknown", false, "The resource, location or tool is not in the catalogue, or they disagree.", "Use the audience that the catalogue gives the tool.";
    ScopeUnknown = "scope.unknown", false, "A tool, verb or constraint is not known; the description names it.", "Check the spelling against the broker's metadata document.";
    TooLarge = "token.too_large", false, "The token would be larger than 5 KiB.", "Ask for fewer verbs or shorter constraints, or split over two requests.";
    RateLimited = "rate.limited", true, "Too many requests.", "Wait as long as `Retry-After` says.";
    Overloaded = "overloaded", true, "The broker is at its limit of requests in flight.", "Wait as long as `Retry-After` says.";
    StoreUnavailable = "store.unavailable", true, "The broker could not make its record durable, so it answered nothing.", "Retry; operators see the cause in the log and on `/readyz`.";
    Unauthenticated = "admin.unauthenticated", false, "The admin API wants an operator's token.", "Run `shortbread login`, or send a token for the tool `shortbread` as `Authorization: DPoP TOKEN`, with a proof of its key.";
    NotPermitted = "admin.not_permitted", false, "This operator's token does not grant the verb.", "Ask another operator, or ask for a grant.";
    SignedOut = "console.signed_out", false, "Nobody is signed in to the console here, or not any more.", "Sign in: `shortbread console` prints a link; or use the button of your identity provider on the sign-in page.";
    LinkSpent = "console.link_spent", false, "The sign-in link was used, or is more than 60 seconds old.", "Run `shortbread console` again and open the new link.";
    ForeignForm = "console.foreign_form", false, "The form does not come from a page of this session.", "Open the page anew under the broker's own URL and send the form again.";
    SignInStale = "console.sign_in_stale", false, "Approving, lifting and activating want a sign-in of the last 15 minutes.", "Sign in again and repeat it: `shortbread console` prints a link.";
    Conflict = "admin.conflict", false, "The change does not fit what is stored now; the detail says how.", "Look at the current state and try again.";
    SecondOperator = "admin.second_operator", false, "Changing operators, approvers or their grants, or loosening what new versions are judged by, needs a second operator; the detail says what.", "Let another operator activate this version within an hour.";
    NoCase = "audit.no_case", false, "This decision cannot be made a case: the policy did not make it, or what it depended on is not kept.", "Name the exchange that the description names, or write the case by hand.";
    GateRefused = "admin.gate", false, "The policy version breaks a labelled case or a limit of the gate; the detail lists what.", "Change the policy, or name what is meant with `--accept ID`; `shortbread policy replay` shows every changed decision.";
    InstanceUnknown = "verifier.unknown", false, "No lease is known for the instance that signed this message.", "Take a lease with the verifier's identity, then send it again.";
    MessageReplayed = "verifier.replayed", false, "A message of this instance with the same number, or a later one, was taken before.", "Number messages upwards; take a new lease with a new key after a restart.";
    NotFound = "not_found", false, "There is nothing at this address or under this id.", "Check the spelling.";
    Internal = "internal", true, "The broker failed in a way it did not foresee.", "Retry once, then give an operator the decision id: it stands in the broker's log with the cause.";
}

impl Reason {
    /// The reason that has this code.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::all().into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_found_again() {
        let all = Reason::all();
        for reason in &all {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert!(reason.meaning().ends_with('.') && !reason.action().is_empty());
        }
    }
}
