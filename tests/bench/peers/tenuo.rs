//! tenuo's warrants with the same rights: read from their wire text, then its own check of chain, expiry, tool and
//! arguments.
//!
//! Its authorizer copies the whole revocation list for every call, so the list is asked here instead, through the
//! list's own hash set: that is the least it can cost.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shortbread_protocol::clock::{Clock as _, SystemClock};
use tenuo::constraints::{ConstraintSet, ConstraintValue};
use tenuo::planes::Authorizer;
use tenuo::revocation::SignedRevocationList;
use tenuo::wire::{self, WarrantStack};
use tenuo::{Signature, SigningKey};

use crate::Outcome;
use crate::verify::{CALLED, TOOL, VERBS};

/// How long a proof is a fresh one, in seconds; an older one costs tenuo more.
const WINDOW: u64 = 30;
const LIFE: Duration = Duration::from_secs(3000);

/// A chain of warrants as text, and the key of the last one's holder.
pub struct Warrant {
    text: String,
    holder: SigningKey,
    proof: RefCell<Option<(u64, Signature)>>,
}

/// A verifier of warrants, who can also issue them.
pub struct Warrants {
    authorizer: Authorizer,
    root: SigningKey,
    revoked: SignedRevocationList,
    clock: SystemClock,
    called: String,
    args: HashMap<String, ConstraintValue>,
}

impl Warrants {
    /// One that `root` is trusted by, with so many revoked ids.
    pub fn new(root: &[u8; 32], revoked: u32) -> Outcome<Self> {
        let root = SigningKey::from_bytes(root);
        let ids = (0..revoked).map(|n| format!("tnu_wrt_{n:032x}"));
        let mut revoked = SignedRevocationList::builder().version(1).revoke_all(ids).build(&root)?;
        revoked.build_cache();
        Ok(Self {
            authorizer: Authorizer::new().with_trusted_root(root.public_key()),
            root,
            revoked,
            clock: SystemClock::start(),
            called: format!("{TOOL}/{CALLED}"),
            args: HashMap::new(),
        })
    }

    /// Five rights without conditions on arguments, passed on `delegations` times with fewer of them.
    pub fn issue(&self, delegations: usize) -> Outcome<Warrant> {
        let mut holder = SigningKey::generate();
        let tools = VERBS.iter().map(|(verb, _)| format!("{TOOL}/{verb}"));
        let builder = tools
            .fold(tenuo::Warrant::builder(), |builder, tool| builder.capability(tool, ConstraintSet::new()));
        let mut chain = vec![builder.holder(holder.public_key()).ttl(LIFE).build(&self.root)?];
        for _ in 0..delegations {
            let (next, last) = (SigningKey::generate(), chain.last().ok_or("a chain has a first warrant")?);
            let child = last.attenuate().capability(&*self.called, ConstraintSet::new());
            chain.push(child.holder(next.public_key()).ttl(LIFE / 2).build(&holder)?);
            holder = next;
        }
        let text = match &chain[..] {
            [single] => wire::encode_base64(single)?,
            _ => URL_SAFE_NO_PAD.encode(wire::encode_stack(&WarrantStack::new(chain))?),
        };
        Ok(Warrant { text, holder, proof: RefCell::new(None) })
    }

    /// What `mint` does elsewhere: a warrant of five rights, as text; gives its length.
    pub fn mint(&self, holder: &tenuo::PublicKey) -> usize {
        let tools = VERBS.iter().map(|(verb, _)| format!("{TOOL}/{verb}"));
        let builder = tools
            .fold(tenuo::Warrant::builder(), |builder, tool| builder.capability(tool, ConstraintSet::new()));
        let made = builder.holder(holder.clone()).ttl(LIFE).build(&self.root);
        made.and_then(|made| wire::encode_base64(&made)).map_or(0, |text| text.len())
    }

    /// 1 when the chain allows the call to whoever presents it.
    pub fn check(&self, warrant: &Warrant, delegations: usize) -> usize {
        let Some(chain) = self.read(warrant, delegations) else { return 0 };
        let allowed = self.authorizer.verify_chain(&chain).is_ok()
            && chain.last().is_some_and(|leaf| leaf.check_constraints(&self.called, &self.args).is_ok());
        usize::from(allowed)
    }

    /// The same with a proof of the holder's key over this call.
    pub fn check_with_proof(&self, warrant: &Warrant, delegations: usize) -> usize {
        let Some(chain) = self.read(warrant, delegations) else { return 0 };
        let Some(proof) = self.proof(warrant, &chain) else { return 0 };
        let checked = self.authorizer.check_chain(&chain, &self.called, &self.args, Some(&proof), &[]);
        usize::from(checked.is_ok())
    }

    fn read(&self, warrant: &Warrant, delegations: usize) -> Option<Vec<tenuo::Warrant>> {
        let chain = if delegations == 0 {
            vec![wire::decode_base64(&warrant.text).ok()?]
        } else {
            wire::decode_stack(&URL_SAFE_NO_PAD.decode(&warrant.text).ok()?).ok()?.0
        };
        let revoked = chain.iter().any(|link| self.revoked.is_revoked(&link.id().to_string()));
        (!revoked).then_some(chain)
    }

    // Made once in a window by whoever calls: that it is timed now and then does not move a median.
    fn proof(&self, warrant: &Warrant, chain: &[tenuo::Warrant]) -> Option<Signature> {
        let window = self.clock.now().seconds() / WINDOW;
        let mut proof = warrant.proof.borrow_mut();
        if proof.as_ref().is_none_or(|(made, _)| *made != window) {
            let made = chain.last()?.sign(&warrant.holder, &self.called, &self.args).ok()?;
            *proof = Some((window, made));
        }
        proof.as_ref().map(|(_, proof)| proof.clone())
    }
}
