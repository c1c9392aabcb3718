//! The check and the mint, beside the signatures they cannot do without and beside peers, in the same run.

use std::sync::Arc;

use shortbread_broker::mint::{Minting, mint};
use shortbread_broker::policy::model::Principal;
use shortbread_broker::policy::{Alternative, Right};
use shortbread_broker::signer::LocalSigner;
use shortbread_protocol::access::Access;
use shortbread_protocol::clock::{Clock, FOREVER, SystemClock};
use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::{Intent, Task};
use shortbread_protocol::normalise::Forms;
use shortbread_protocol::random::{SystemRandom, id};
use shortbread_protocol::revocations::{
    Cause, Entry, FileRef, Head, RevokedId, SelectorKind, Snapshot, origin,
};
use shortbread_verifier::chain;
use shortbread_verifier::decision::{Call, Checker as _, Outcome as Answer, Presented};
use shortbread_verifier::list::{Pin, RevocationSet, Trust};
use shortbread_verifier::scope::Demand;
use shortbread_verifier::{Verifier, VerifierConfig};

use crate::Outcome;
use crate::figure::{Figure, Target};
use crate::peers::{Jwt, Stock};
use crate::raw::Raw;
use crate::rounds::{Operation, interleaved, ratios};

pub const ISSUER: &str = "https://broker.acme.example";
pub const AUDIENCE: &str = "https://tools.acme.example/github";
pub const TOOL: &str = "github";
/// The five rights of the token, and the one that is used.
pub const VERBS: [(&str, Access); 5] = [
    ("issues.read", Access::Read),
    ("pulls.read", Access::Read),
    ("code.read", Access::Read),
    ("issues.write", Access::Write),
    ("pulls.write", Access::Write),
];
pub const CALLED: &str = "issues.write";

/// How much the list holds: a busy broker's.
const REVOKED_TOKENS: u32 = 10_000;
const REVOKED_WORKFLOWS: u64 = 100;

/// Keys, and the particulars of the token that everything is measured with.
struct Bench {
    clock: Arc<SystemClock>,
    root: PrivateKey,
    token: PrivateKey,
    revocation: PrivateKey,
    signer: LocalSigner,
    principal: Principal,
    intent: Intent,
    task: Task,
    token_id: String,
    rights: Vec<Right>,
    audiences: Vec<(String, String)>,
}

pub fn measure() -> Outcome<Vec<Figure>> {
    let bench = Bench::new()?;
    let text = mint(&bench.minting(), &bench.signer, &SystemRandom)?;
    let bytes = chain::decode(&text)?;
    let raw = Raw::of(&bytes, &bench.token)?;
    let verifier = bench.verifier()?;
    let call = Call { tool: TOOL, verb: CALLED, args: None };
    let scope = chain::peek(&bytes)?;
    let list = bench.list().1;
    let stock = Stock::new(&text, raw.public()?, bench.clock.now().seconds())?;
    let jwt = Jwt::new(&bench.token, bench.clock.now().seconds())?;
    let demand = bench.demand();
    if verifier.check(&Presented::bearer(&text), &call).outcome != Answer::Allow
        || scope.evaluate(&demand).is_err()
    {
        return Err("the token that is measured is not allowed its call".into());
    }
    let check = || usize::from(verifier.check(&Presented::bearer(&text), &call).outcome == Answer::Allow);
    let mut operations: [(&str, Operation<'_>); 10] = [
        ("raw signatures of a check", Box::new(|| raw.check())),
        ("check at first sight", Box::new(check)),
        ("check again", Box::new(check)),
        ("profile check and compilation", Box::new(|| chain::peek(&bytes).map_or(0, |scope| scope.weight()))),
        ("revocation lookups", Box::new(|| usize::from(scope.standing(&list, TOOL, CALLED).is_ok()))),
        ("evaluation", Box::new(|| usize::from(scope.evaluate(&demand).is_ok()))),
        ("raw signatures of a mint", Box::new(|| raw.mint())),
        (
            "mint",
            Box::new(|| mint(&bench.minting(), &bench.signer, &SystemRandom).map_or(0, |text| text.len())),
        ),
        ("biscuit-auth", Box::new(|| stock.check())),
        ("jsonwebtoken", Box::new(|| jwt.check())),
    ];
    Ok(figures(interleaved(&mut operations)))
}

fn figures(samples: Vec<Vec<f64>>) -> Vec<Figure> {
    let of = |at: usize| samples.get(at).cloned().unwrap_or_default();
    let us = |name: &str, at: usize| Figure::of(name, "us", of(at));
    vec![
        us("verify.raw (strict verification, secret to public)", 0),
        us("verify.first_sight", 1),
        Figure::of("verify.first_sight / raw", "x", ratios(&of(1), &of(0))).target(Target::AtMost(1.15)),
        us("verify.again", 2).target(Target::AtMost(0.25)),
        us("verify.part.profile_and_compile", 3),
        us("verify.part.revocation", 4),
        us("verify.part.evaluate", 5),
        us("mint.raw (key generation, signature)", 6),
        us("mint", 7),
        Figure::of("mint / raw", "x", ratios(&of(7), &of(6))).target(Target::AtMost(1.25)),
        us("peer.biscuit-auth 6.0.0 (from_base64, authorize)", 8),
        us("peer.jsonwebtoken 11 (EdDSA, scope check)", 9),
    ]
}

impl Bench {
    fn new() -> Outcome<Self> {
        let clock = Arc::new(SystemClock::start());
        let key = || PrivateKey::generate(&SystemRandom);
        let token = key()?;
        let right = |(verb, access): (&str, Access)| -> Outcome<Right> {
            let alternatives = vec![Alternative { grant: "grant:1".to_owned(), arguments: None }];
            Ok(Right { operation: format!("{TOOL}/{verb}").parse()?, access, forms: Forms::new(), alternatives })
        };
        Ok(Self {
            root: key()?,
            revocation: key()?,
            signer: LocalSigner::new("token".parse()?, token.clone()),
            token,
            principal: Principal::Workflow("release-notes".parse()?),
            intent: "triage".parse()?,
            task: id("tsk_", clock.now(), &SystemRandom)?.parse()?,
            token_id: id("tok_", clock.now(), &SystemRandom)?,
            rights: VERBS.into_iter().map(right).collect::<Outcome<_>>()?,
            audiences: vec![(TOOL.to_owned(), AUDIENCE.to_owned())],
            clock,
        })
    }

    fn minting(&self) -> Minting<'_> {
        let now = self.clock.now().seconds();
        Minting {
            issuer: ISSUER,
            principal: &self.principal,
            intent: &self.intent,
            task: &self.task,
            token: &self.token_id,
            holder: None,
            issued: now,
            expires: now + 3000,
            rights: &self.rights,
            audiences: &self.audiences,
            sealed: false,
        }
    }

    fn demand(&self) -> Demand<'static> {
        Demand {
            now: self.clock.now().seconds(),
            audience: AUDIENCE,
            tool: TOOL,
            verb: CALLED,
            args: None,
            holder: None,
            unused: None,
            revocation_age: Some(1),
            args_sha256: None,
        }
    }

    fn verifier(&self) -> Outcome<Verifier> {
        let pin = Pin { issuer: ISSUER.to_owned(), root: self.root.public() };
        let clock: Arc<dyn Clock> = self.clock.clone();
        let trust = Trust::new(pin, clock, None)?;
        let document = self.document();
        trust.offer_keys(&document)?;
        let snapshot = self.list().0;
        trust.offer_head(&self.head(&snapshot, KeyDocument::hash(&document)))?;
        trust.offer_snapshot(&snapshot)?;
        Ok(Verifier::new(Arc::new(trust), VerifierConfig { audience: AUDIENCE.to_owned() })?)
    }

    fn document(&self) -> Vec<u8> {
        let listed = |purpose, name: &str, key: &PrivateKey| {
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(DocumentKey {
                purpose,
                name: name.parse()?,
                key: key.public(),
                not_before: self.clock.now().seconds() - 60,
                not_after: FOREVER,
            })
        };
        let keys = [
            listed(KeyPurpose::Token, "token", &self.token),
            listed(KeyPurpose::Revocation, "revocation", &self.revocation),
        ];
        let keys = keys.into_iter().flatten().collect();
        let document = KeyDocument { version: 1, issuer: ISSUER.to_owned(), break_glass: 0, keys };
        document.sign(&self.root).into_bytes()
    }

    /// A list that revokes nothing of the token, as bytes and ready for lookups.
    fn list(&self) -> (Vec<u8>, RevocationSet) {
        let entry = |n: u64| Entry {
            kind: SelectorKind::Workflow,
            value: format!("retired-{n}"),
            before: FOREVER,
            until: None,
            seq: n + 1,
            cause: Cause::Retired,
        };
        let until = u32::try_from(self.clock.now().seconds() + 3600).unwrap_or(u32::MAX);
        let id = |n: u32| RevokedId { id: RevokedId::hash(&n.to_be_bytes()), until };
        let mut ids: Vec<RevokedId> = (0..REVOKED_TOKENS).map(id).collect();
        ids.sort_unstable();
        let entries = (0..REVOKED_WORKFLOWS).map(entry).collect();
        let snapshot = Snapshot { seq: REVOKED_WORKFLOWS, entries, ids };
        (snapshot.encode(&origin(ISSUER)), RevocationSet::new(snapshot, 0))
    }

    fn head(&self, snapshot: &[u8], document: [u8; 32]) -> Vec<u8> {
        let now = self.clock.now().seconds();
        let head = Head {
            seq: REVOKED_WORKFLOWS + 1,
            issued: now,
            next: now + 5,
            expires: now + 900,
            global: 0,
            snapshot: FileRef {
                seq: REVOKED_WORKFLOWS,
                sha256: KeyDocument::hash(snapshot),
                bytes: snapshot.len() as u64,
            },
            deltas: Vec::new(),
            keys: (1, document),
        };
        head.sign(&origin(ISSUER), &self.revocation).into_bytes()
    }
}
