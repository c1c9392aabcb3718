//! Flow 2: bytes -> (seen before | profile check -> signature) -> revocation -> demand facts -> evaluate -> decision -> sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shortbread_protocol::call::Args;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::random::{Random, RandomError, SystemRandom};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;

use crate::cache::{Believed, Cache, DEFAULT_BYTES};
use crate::chain::{Token, TokenError, TokenKeys, decode};
use crate::decision::{Call, Checker, Checking, Decision, DecisionId, Outcome, Presented, Stage};
use crate::list::{Age, Seen, State, Trust};
use crate::observe::{Observe, Observed};
use crate::proof::{Bound, Proofs};
use crate::replay;
use crate::scope::{Demand, Refusal, Scope};
#[cfg(feature = "report")]
use crate::uses::BrokerUses;
use crate::uses::{Keep, LocalUses};
use crate::windows::Windows;

mod claim;

use claim::{Asked, Granted};

/// What a verifier is told about the place where it stands.
#[derive(Clone, Debug)]
pub struct Config {
    /// The audience of this tool service, exactly as the broker's catalogue has it.
    pub audience: String,
}

/// A sink that must record every decision has no room for this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unrecorded;

/// Where decisions go: a log, a metric, the broker.
pub trait Sink: Send + Sync {
    /// Takes note of a decision. It must be quick: the call waits.
    ///
    /// # Errors
    /// When the decision had to be recorded and was not: an allowed call is then denied with `record.unavailable`.
    fn record(&self, decision: &Decision, call: &Call<'_>) -> Result<(), Unrecorded>;
}

/// Decides about calls, offline.
pub struct Verifier {
    trust: Arc<Trust>,
    audience: String,
    windows: Windows,
    sink: Option<Arc<dyn Sink>>,
    cache: Cache,
    proofs: Proofs,
    observe: Option<Arc<Observe>>,
    keep: Keep,
    series: u64,
    count: Count,
}

// On a cache line of its own: every call writes it, and every call reads what stands beside it.
#[derive(Default)]
#[repr(align(128))]
struct Count(AtomicU64);

impl Verifier {
    /// A verifier that relies on what `trust` has learned.
    ///
    /// # Errors
    /// When the system gives no randomness for decision ids.
    pub fn new(trust: Arc<Trust>, config: Config) -> Result<Self, RandomError> {
        let mut series = [0; 8];
        SystemRandom.fill(&mut series)?;
        let proofs = Proofs::new(replay::DEFAULT_CAPACITY, trust.clock().now());
        Ok(Self {
            trust,
            audience: config.audience,
            windows: Windows::default(),
            sink: None,
            cache: Cache::of(DEFAULT_BYTES),
            proofs,
            observe: None,
            keep: Keep::Nobody,
            series: u64::from_be_bytes(series),
            count: Count::default(),
        })
    }

    /// With other windows than the default ones.
    #[must_use]
    pub fn windows(self, windows: Windows) -> Self {
        Self { windows, ..self }
    }

    /// With a place where every decision goes.
    #[must_use]
    pub fn sink(self, sink: Arc<dyn Sink>) -> Self {
        Self { sink: Some(sink), ..self }
    }

    /// With would-be denials let pass for as long as the broker says so; see [`observe`]. The reporter needs the same one.
    #[must_use]
    pub fn observe(self, observe: Arc<Observe>) -> Self {
        Self { observe: Some(observe), ..self }
    }

    /// With this instance by itself keeping which tokens were used, of those that are good once; see [`uses`](crate::uses).
    /// Right only where it is the one instance of its tools. The last of this and `uses_broker` counts.
    #[must_use]
    pub fn uses_local(self, uses: Arc<LocalUses>) -> Self {
        Self { keep: Keep::Local(uses), ..self }
    }

    /// With the broker keeping which tokens were used, for all instances; see [`uses`](crate::uses). The reporter needs the
    /// same one. Calls that need a claim pass only [`check_claiming`](Checker::check_claiming) then.
    #[cfg(feature = "report")]
    #[must_use]
    pub fn uses_broker(self, uses: Arc<BrokerUses>) -> Self {
        Self { keep: Keep::Broker(uses), ..self }
    }

    /// With so many bytes for tokens that were seen before instead of 64 MiB; with 0 every call costs its signatures.
    #[must_use]
    pub fn cache_bytes(self, bytes: usize) -> Self {
        Self { cache: Cache::of(bytes), ..self }
    }

    /// With room for so many used proofs at once instead of a million; see [`ReplayMemory`](replay::ReplayMemory). With
    /// none, calls with tokens that are bound to a key are refused.
    #[must_use]
    pub fn proof_capacity(self, proofs: usize) -> Self {
        Self { proofs: self.proofs.capacity(proofs), ..self }
    }

    /// How many used proofs are remembered, for a metric: as it nears the capacity, calls will be refused.
    #[must_use]
    pub fn proofs_remembered(&self) -> usize {
        self.proofs.remembered()
    }

    /// How many signatures of proofs were checked so far, for a metric.
    #[must_use]
    pub fn proof_signatures(&self) -> u64 {
        self.proofs.signatures()
    }

    /// Unique among all verifiers: a random series, then a count.
    fn id(&self) -> DecisionId {
        DecisionId::new(self.series, self.count.0.fetch_add(1, Ordering::Relaxed))
    }

    /// A denial that the check fills in; it belongs to the request's trace or begins one.
    fn begin(&self, reason: Reason, trace: Option<[u8; 16]>) -> Decision {
        let id = self.id();
        let trace = trace.unwrap_or_else(|| id.trace());
        Decision { trace, ..Decision::denied(Some(id), reason) }
    }

    fn settle(&self, mut decision: Decision, call: &Call<'_>) -> Decision {
        let Some(sink) = &self.sink else { return decision };
        if sink.record(&decision, call) == Err(Unrecorded) && decision.is_allowed() {
            decision.outcome = Outcome::Deny;
            decision.reason = Some(Reason::RecordUnavailable);
            decision.observed = None;
            decision.stage = Stage::Record;
        }
        decision
    }

    /// Looks at a denial once more where its tool may be observed.
    #[cold]
    fn deny(&self, refusal: Refusal, token: Option<&Believed>, call: &Call<'_>, decision: &mut Decision) {
        let Refusal { reason, detail, .. } = refusal;
        decision.stage = stage_of(reason).unwrap_or(decision.stage);
        decision.reason = Some(reason);
        decision.detail = detail;
        // Only a refusal tells what would have been allowed.
        let rights = token.map(|token| token.scope().rights()).into_iter().flatten();
        decision.held = rights.map(|(tool, verb, _)| format!("{tool}:{verb}")).collect();
        let Some(observe) = &self.observe else { return };
        let now = Seen::now(self.trust.clock());
        match observe.judge(reason, token, call, &self.trust.glance(), now) {
            Observed::Denied => {}
            Observed::Stopped(revoked) => {
                decision.stage = Stage::Revocation;
                decision.reason = Some(revoked);
                decision.detail = None;
            }
            Observed::Passes => {
                decision.outcome = Outcome::Allow;
                decision.observed = decision.reason.take();
            }
        }
    }

    fn decide(
        &self,
        asked: &Asked<'_>,
        decision: &mut Decision,
        believed: &mut Option<Arc<Believed>>,
    ) -> Result<Granted, Refusal> {
        let state = self.trust.glance();
        let now = Seen::now(self.trust.clock());
        decision.at = now.wall;
        decision.list_seq = state.seq();
        decision.stage = Stage::Token;
        decision.step = state.step_at(now, &self.windows);
        let text = asked.presented.token.ok_or_else(|| because(Reason::TokenMissing))?;
        let token = &**believed.insert(self.believe(text, &Keys { state: &state, now: now.wall.seconds() })?);
        decision.caller = Some(token.caller());
        decision.stage = Stage::List;
        self.judge(asked, token, &state, now, decision)
    }

    /// The token, from before or by its signatures; either way the key that it names has to vouch for it now.
    fn believe(&self, text: &str, keys: &Keys<'_>) -> Result<Arc<Believed>, Refusal> {
        let epoch = keys.state.epoch();
        if let Some(token) = self.cache.find(text, epoch).filter(|token| keys.vouch_for(token)) {
            return Ok(token);
        }
        let bytes = decode(text).map_err(|flaw| refused(TokenError::from(flaw)))?;
        let token = Token::open(&bytes, keys).map_err(refused)?;
        let key = keys.named_by(token.scope()).ok_or_else(|| refused(TokenError::UnknownKey))?;
        let believed = Arc::new(Believed::new(text, token, key));
        self.cache.keep(&believed, epoch);
        Ok(believed)
    }

    fn judge(
        &self,
        asked: &Asked<'_>,
        token: &Believed,
        state: &State,
        now: Seen,
        decision: &mut Decision,
    ) -> Result<Granted, Refusal> {
        let (scope, call) = (token.scope(), asked.call);
        let list = state.set().ok_or_else(|| because(Reason::ListMissing))?;
        let age = match state.age_at(now) {
            Age::Seconds(age) => age,
            Age::Unsure => return Err(because(Reason::ClockUnsure)),
            Age::Expired => return Err(because(Reason::ListTooOld)),
            Age::None => return Err(because(Reason::ListMissing)),
        };
        decision.list_age = Some(age);
        decision.stage = Stage::Revocation;
        token.standing(list).map_err(because)?;
        scope.call_standing(list, call.tool, call.verb).map_err(because)?;
        decision.stage = Stage::Evaluate;
        let demand = Demand {
            now: now.wall.seconds(),
            audience: &self.audience,
            tool: call.tool,
            verb: call.verb,
            args: call.args,
            holder: None,
            // As if it were claimed, which comes last: so whatever else is wrong is found before.
            unused: scope.asks_unused().then(|| scope.id(SelectorKind::Token)).flatten(),
            revocation_age: Some(age),
            args_sha256: call.args.filter(|_| scope.asks_args_sha256()).and_then(Args::digest),
        };
        self.evaluate(asked, scope, &demand)
    }

    /// Evaluates the scope; with a proof where the token is bound to a key, and then twice: no proof is looked at for a
    /// call that would be refused with any, and without one that holds no such token is good for anything.
    fn evaluate(&self, asked: &Asked<'_>, scope: &Scope, demand: &Demand<'_>) -> Result<Granted, Refusal> {
        let Asked { presented, call, .. } = asked;
        let holder = scope.id(SelectorKind::Holder);
        let (access, bound) = match scope.evaluate(demand) {
            Ok(access) => (access, holder.is_some()),
            Err(refusal) if refusal.reason == Reason::ProofRequired => {
                (scope.access(call.tool, call.verb).ok_or(refusal)?, true)
            }
            Err(refusal) => return Err(refusal),
        };
        if demand.revocation_age.is_none_or(|age| age > self.windows.of(access)) {
            return Err(because(Reason::ListTooOld));
        }
        self.can_be_claimed(asked, scope, demand)?;
        if !bound {
            return Ok(Granted { access, claims: claim::lacks_use(scope, demand) });
        }
        let token = presented.token.unwrap_or_default();
        let now = Timestamp::from_seconds(demand.now);
        let holder =
            self.proofs.holder(presented.proof.as_ref(), &Bound { token, holder, access }, call, now)?;
        let proved = Demand { holder: Some(holder.thumbprint()), ..*demand };
        let access = scope.evaluate(&proved)?;
        Ok(Granted { access, claims: claim::lacks_use(scope, &proved) })
    }
}

impl Checker for Verifier {
    fn check(&self, presented: &Presented<'_>, call: &Call<'_>) -> Decision {
        let judged = self.offline(&Asked { presented, call, waits: false });
        self.here(judged, call)
    }

    fn check_claiming<'a>(&'a self, presented: &'a Presented<'a>, call: &'a Call<'a>) -> Checking<'a> {
        let judged = self.offline(&Asked { presented, call, waits: true });
        #[cfg(feature = "report")]
        if let (Keep::Broker(uses), true) = (&self.keep, judged.claims()) {
            return Box::pin(self.there(judged, uses, call));
        }
        Box::pin(std::future::ready(self.here(judged, call)))
    }

    fn refuse(&self, reason: Reason, detail: &str, trace: Option<[u8; 16]>) -> Decision {
        let mut decision = self.begin(reason, trace);
        let (state, now) = (self.trust.glance(), Seen::now(self.trust.clock()));
        decision.at = now.wall;
        decision.list_seq = state.seq();
        decision.step = state.step_at(now, &self.windows);
        decision.detail = Some(detail.to_owned());
        self.settle(decision, &Call { tool: "", verb: "", args: None })
    }
}

struct Keys<'a> {
    state: &'a State,
    now: u64,
}

impl Keys<'_> {
    fn valid(&self, name: &str) -> Option<&PublicKey> {
        let key = self.state.token_key(name)?;
        (key.not_before <= self.now && self.now < key.not_after).then_some(&key.key)
    }

    fn named_by(&self, scope: &Scope) -> Option<&PublicKey> {
        self.valid(scope.id(SelectorKind::Key)?)
    }

    /// Whether a token that was seen before would be believed now: by the same issuer, and the key that it names is
    /// still the very one that its signatures were checked with, and valid.
    fn vouch_for(&self, token: &Believed) -> bool {
        token.scope().id(SelectorKind::Issuer) == Some(self.state.issuer())
            && self.named_by(token.scope()).is_some_and(|key| token.is_by(key))
    }
}

impl TokenKeys for Keys<'_> {
    fn issuer(&self) -> &str {
        self.state.issuer()
    }

    fn token_key(&self, name: &str) -> Option<PublicKey> {
        self.valid(name).copied()
    }
}

// What is asked within the evaluation, and has a stage of its own.
fn stage_of(reason: Reason) -> Option<Stage> {
    match reason {
        Reason::ListTooOld => Some(Stage::List),
        Reason::ProofRequired
        | Reason::ProofMalformed
        | Reason::ProofMismatch
        | Reason::ProofStale
        | Reason::ProofSignature
        | Reason::ProofReplayed
        | Reason::ProofsFull
        | Reason::WrongHolder => Some(Stage::Proof),
        Reason::Revoked(_) | Reason::RevokedAll | Reason::RevokedBlock => Some(Stage::Revocation),
        _ => None,
    }
}

fn because(reason: Reason) -> Refusal {
    Refusal { reason, detail: None, check: None }
}

fn refused(error: TokenError) -> Refusal {
    Refusal { detail: Some(error.to_string()), ..because(error.reason()) }
}

#[cfg(test)]
mod tests;
