//! The broker's keys, its tokens and its lists, and verifiers that rely on them.

use std::sync::Arc;

use shortbread_broker::mint::{Minting, mint};
use shortbread_broker::policy::model::{Principal, Windows};
use shortbread_broker::policy::{Alternative, Right};
use shortbread_broker::signer::LocalSigner;
use shortbread_protocol::clock::{Clock, FOREVER, SystemClock};
use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::names::{Intent, Task};
use shortbread_protocol::normalise::Forms;
use shortbread_protocol::random::{SystemRandom, id};
use shortbread_protocol::revocations::{
    Cause, Delta, DeltaRef, Entry, FileRef, Head, RevokedId, SelectorKind, Snapshot, origin,
};
use shortbread_verifier::decision::{Call, Checker as _, Presented};
use shortbread_verifier::list::{Pin, Trust};
use shortbread_verifier::narrow::{Narrowing, narrow};
use shortbread_verifier::{Verifier, VerifierConfig};

use super::{AUDIENCE, CALLED, ISSUER, TOOL, VERBS};
use crate::Outcome;

/// Every list has some selectors beside its ids.
const REVOKED_WORKFLOWS: u64 = 100;
/// A cache that is soon full, with as many shards as the default one. A token weighs over 2 KiB.
pub const SMALL_CACHE: usize = 4 * 1024 * 1024;
pub const CALL: Call<'static> = Call { tool: TOOL, verb: CALLED, args: None };

/// Keys, and the particulars of the tokens that everything is measured with.
pub struct Bench {
    pub clock: Arc<SystemClock>,
    pub root: PrivateKey,
    pub token: PrivateKey,
    revocation: PrivateKey,
    pub signer: LocalSigner,
    principal: Principal,
    intent: Intent,
    task: Task,
    rights: Vec<Right>,
    audiences: Vec<(String, String)>,
}

/// What a verifier fetches, as it comes over the wire.
pub struct Files {
    pub document: Vec<u8>,
    pub head: Vec<u8>,
    pub snapshot: Vec<u8>,
}

impl Files {
    pub fn trust(&self, root: PublicKey, clock: Arc<SystemClock>) -> Outcome<Arc<Trust>> {
        let trust = Trust::new(Pin { issuer: ISSUER.to_owned(), root }, clock, None)?;
        trust.offer_keys(&self.document)?;
        trust.offer_head(&self.head)?;
        trust.offer_snapshot(&self.snapshot)?;
        Ok(Arc::new(trust))
    }
}

pub fn verifier(trust: &Arc<Trust>) -> Outcome<Verifier> {
    Ok(Verifier::new(Arc::clone(trust), VerifierConfig { audience: AUDIENCE.to_owned() })?)
}

/// 1 when the call is allowed.
pub fn allowed(verifier: &Verifier, text: &str) -> usize {
    usize::from(verifier.check(&Presented::bearer(text), &CALL).is_allowed())
}

impl Bench {
    pub fn new() -> Outcome<Self> {
        let clock = Arc::new(SystemClock::start());
        let key = || PrivateKey::generate(&SystemRandom);
        let token = key()?;
        let right = |(verb, access)| -> Outcome<Right> {
            let alternatives = vec![Alternative { grant: "grant:1".to_owned(), arguments: None }];
            Ok(Right {
                operation: format!("{TOOL}/{verb}").parse()?,
                access,
                windows: Windows::default(),
                forms: Forms::new(),
                alternatives,
            })
        };
        Ok(Self {
            root: key()?,
            revocation: key()?,
            signer: LocalSigner::new("token".parse()?, token.clone()),
            token,
            principal: Principal::Workflow("release-notes".parse()?),
            intent: "triage".parse()?,
            task: id("tsk_", clock.now(), &SystemRandom)?.parse()?,
            rights: VERBS.into_iter().map(right).collect::<Outcome<_>>()?,
            audiences: vec![(TOOL.to_owned(), AUDIENCE.to_owned())],
            clock,
        })
    }

    pub fn now(&self) -> u64 {
        self.clock.now().seconds()
    }

    pub fn minting<'a>(&'a self, token: &'a str, holder: Option<&'a str>) -> Minting<'a> {
        let now = self.now();
        Minting {
            issuer: ISSUER,
            principal: &self.principal,
            intent: &self.intent,
            task: &self.task,
            token,
            holder,
            issued: now,
            expires: now + 3000,
            rights: &self.rights,
            audiences: &self.audiences,
            sealed: false,
            approval: None,
            once: None,
        }
    }

    pub fn token_id(&self) -> Outcome<String> {
        Ok(id("tok_", self.clock.now(), &SystemRandom)?)
    }

    /// A token that nobody has seen; bound to a key where there is a thumbprint.
    pub fn token(&self, holder: Option<&str>) -> Outcome<String> {
        Ok(mint(&self.minting(&self.token_id()?, holder), &self.signer, &SystemRandom)?)
    }

    /// A token narrowed so many times: to fewer verbs and a shorter life each time.
    pub fn narrowed(&self, blocks: usize) -> Outcome<String> {
        (0..blocks).try_fold(self.token(None)?, |text, at| self.copy(&text, at))
    }

    /// A narrower copy: two verbs, then one.
    pub fn copy(&self, text: &str, at: usize) -> Outcome<String> {
        let verbs = ["issues.write", "issues.read"].iter().take(if at == 0 { 2 } else { 1 });
        let operations = verbs.map(|verb| format!("{TOOL}/{verb}").parse()).collect::<Result<_, _>>()?;
        let until = Some(self.now() + 2000 - 500 * at as u64);
        let by = Narrowing { operations: Some(operations), until, ..Narrowing::default() };
        Ok(narrow(text, &by, &SystemRandom)?)
    }

    /// What a verifier relies on that follows a list of so many ids.
    pub fn trust(&self, ids: u32) -> Outcome<Arc<Trust>> {
        self.files(ids)?.trust(self.root.public(), Arc::clone(&self.clock))
    }

    /// The files of a list that revokes none of the tokens.
    pub fn files(&self, ids: u32) -> Outcome<Files> {
        let document = self.document()?;
        let snapshot = self.snapshot(ids).encode(&origin(ISSUER));
        let head = self.head(&snapshot, KeyDocument::hash(&document));
        Ok(Files { document, head, snapshot })
    }

    pub fn snapshot(&self, ids: u32) -> Snapshot {
        let entry = |n: u64| Entry {
            kind: SelectorKind::Workflow,
            value: format!("retired-{n}"),
            before: FOREVER,
            until: None,
            seq: n + 1,
            cause: Cause::Retired,
        };
        let until = u32::try_from(self.now() + 3600).unwrap_or(u32::MAX);
        let mut ids: Vec<RevokedId> = revoked(ids).map(|id| RevokedId { id, until }).collect();
        ids.sort_unstable();
        Snapshot { seq: REVOKED_WORKFLOWS, entries: (0..REVOKED_WORKFLOWS).map(entry).collect(), ids }
    }

    /// The sequence of the contents of the lists made here.
    pub const fn contents(&self) -> u64 {
        REVOKED_WORKFLOWS
    }

    /// The next head: the same snapshot, and a delta that leads on from it.
    pub fn head_with(&self, files: &Files, delta: &Delta, bytes: &[u8]) -> Vec<u8> {
        let sha256 = KeyDocument::hash(bytes);
        let to = FileRef { seq: delta.seq, sha256, bytes: bytes.len() as u64 };
        let head = Head {
            seq: delta.seq + 1,
            deltas: vec![DeltaRef { from: delta.from, to }],
            ..self.heading(&files.snapshot, KeyDocument::hash(&files.document))
        };
        head.sign(&origin(ISSUER), &self.revocation).into_bytes()
    }

    fn document(&self) -> Outcome<Vec<u8>> {
        let listed = |purpose, name: &str, key: &PrivateKey| -> Outcome<DocumentKey> {
            let not_before = self.now() - 60;
            Ok(DocumentKey {
                purpose,
                name: name.parse()?,
                key: key.public(),
                not_before,
                not_after: FOREVER,
            })
        };
        let keys = vec![
            listed(KeyPurpose::Token, "token", &self.token)?,
            listed(KeyPurpose::Revocation, "revocation", &self.revocation)?,
        ];
        let document = KeyDocument { version: 1, issuer: ISSUER.to_owned(), break_glass: 0, keys };
        Ok(document.sign(&self.root).into_bytes())
    }

    fn head(&self, snapshot: &[u8], document: [u8; 32]) -> Vec<u8> {
        self.heading(snapshot, document).sign(&origin(ISSUER), &self.revocation).into_bytes()
    }

    fn heading(&self, snapshot: &[u8], document: [u8; 32]) -> Head {
        let now = self.now();
        let sha256 = KeyDocument::hash(snapshot);
        Head {
            seq: REVOKED_WORKFLOWS + 1,
            issued: now,
            next: now + 5,
            expires: now + 900,
            global: 0,
            snapshot: FileRef { seq: REVOKED_WORKFLOWS, sha256, bytes: snapshot.len() as u64 },
            deltas: Vec::new(),
            keys: (1, document),
        }
    }
}

/// So many revoked ids, none of them of a token that is measured.
pub fn revoked(ids: u32) -> impl Iterator<Item = [u8; 16]> {
    (0..ids).map(|n| RevokedId::hash(&n.to_be_bytes()))
}
