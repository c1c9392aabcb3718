//! The signature chain alone: whatever is done to a key or a signature, at whatever place, both libraries take it or
//! neither does.

use proptest::prelude::*;
use shortbread_protocol::biscuit::{
    Container, Proof, SignedBlock, seal_payload, signed_payload, write_container,
};
use shortbread_protocol::keys::PrivateKey;
use shortbread_verifier::chain::check_signatures;

use super::edge;
use super::model::{Alt, Block, Spec, Val, open, plain_authority, root};
use super::stock;

/// Whether a token's chain holds; fails when not all say the same.
#[track_caller]
fn holds(bytes: &[u8]) -> bool {
    let stock = stock::read(bytes).is_ok();
    assert_eq!(check_signatures(bytes, root().public()).is_ok(), stock, "{bytes:02x?}");
    // The blocks are within the profile, so nothing else can turn the token away.
    assert_eq!(open(bytes).is_ok(), stock, "{bytes:02x?}");
    stock
}

/// A token taken apart.
#[derive(Clone)]
struct Links {
    blocks: Vec<(Vec<u8>, [u8; 32], [u8; 64])>,
    end: End,
}

#[derive(Clone)]
enum End {
    Secret([u8; 32]),
    Seal([u8; 64]),
}

impl Links {
    fn of(later: usize, sealed: bool) -> Self {
        let keys = (0..=later).map(|at| Key::Honest(PrivateKey::from_seed(&[u8::try_from(at).unwrap(); 32])));
        signed(&blocks(later), &keys.collect::<Vec<_>>(), sealed)
    }

    fn written(&self) -> Vec<u8> {
        let blocks =
            self.blocks.iter().map(|(block, next_key, signature)| SignedBlock { block, next_key, signature });
        let proof = match &self.end {
            End::Secret(secret) => Proof::NextSecret(secret),
            End::Seal(seal) => Proof::Sealed(seal),
        };
        write_container(None, &blocks.collect::<Vec<_>>(), &proof)
    }

    fn signatures(&mut self) -> impl Iterator<Item = &mut [u8; 64]> {
        let seal = match &mut self.end {
            End::Secret(_) => None,
            End::Seal(seal) => Some(seal),
        };
        self.blocks.iter_mut().map(|(_, _, signature)| signature).chain(seal)
    }

    /// Every byte of a key, signature or secret.
    fn bytes(&mut self) -> impl Iterator<Item = &mut u8> {
        let end = match &mut self.end {
            End::Secret(secret) => &mut secret[..],
            End::Seal(seal) => &mut seal[..],
        };
        self.blocks.iter_mut().flat_map(|(_, key, signature)| key.iter_mut().chain(signature)).chain(end)
    }
}

/// A key that signs the next link: a good one, or one at the edge with what its forger knows.
enum Key {
    Honest(PrivateKey),
    Edge { public: [u8; 32], secret: u64, torsion: usize, commitment: Option<[u8; 32]> },
}

impl Key {
    fn public(&self) -> [u8; 32] {
        match self {
            Self::Honest(key) => *key.public().as_bytes(),
            Self::Edge { public, .. } => *public,
        }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        match self {
            Self::Honest(key) => key.sign(message),
            Self::Edge { public, secret, commitment: Some(bytes), .. } => {
                edge::with_commitment(public, *secret, 0, bytes, message)
            }
            Self::Edge { public, secret, torsion, commitment: None } => {
                edge::signature(public, *secret, 77, *torsion, message)
            }
        }
    }
}

fn blocks(later: usize) -> Vec<Vec<u8>> {
    let block = |verb| Block {
        facts: Vec::new(),
        checks: vec![vec![Alt::of(vec![("operation", vec![Val::text("github"), Val::text(verb)])])]],
    };
    let added = ["issues.read", "issues.write"].into_iter().cycle().take(later).map(block);
    let spec = Spec { blocks: std::iter::once(plain_authority()).chain(added).collect(), sealed: false };
    let bytes = spec.ours();
    Container::read(&bytes).unwrap().blocks.iter().map(|signed| signed.block.to_vec()).collect()
}

fn signed(blocks: &[Vec<u8>], keys: &[Key], sealed: bool) -> Links {
    let root = Key::Honest(root());
    let signers = std::iter::once(&root).chain(keys);
    let links: Vec<_> = signers
        .zip(blocks.iter().zip(keys))
        .map(|(signer, (block, next))| {
            let next = next.public();
            (block.clone(), next, signer.sign(&signed_payload(block, &next)))
        })
        .collect();
    let (block, next_key, signature) = links.last().unwrap();
    let end = match keys.last().unwrap() {
        last if sealed => End::Seal(last.sign(&seal_payload(&SignedBlock { block, next_key, signature }))),
        Key::Honest(key) => End::Secret(*key.seed()),
        Key::Edge { .. } => End::Secret([1; 32]),
    };
    Links { blocks: links, end }
}

/// All keys and commitments at the edge that a forger could put somewhere.
fn forgers() -> Vec<Key> {
    let small = edge::small();
    let mixed = (0..8).map(|torsion| (edge::mixed(torsion).compress().to_bytes(), edge::SECRET));
    let mut all = Vec::new();
    for (public, secret) in small.iter().map(|key| (*key, 0)).chain(mixed) {
        all.extend((0..8).map(|torsion| Key::Edge { public, secret, torsion, commitment: None }));
        all.extend(small.iter().map(|r| Key::Edge { public, secret, torsion: 0, commitment: Some(*r) }));
    }
    let unreduced = edge::unreduced().into_iter();
    let unknown = |public| Key::Edge { public, secret: edge::SECRET, torsion: 0, commitment: None };
    all.extend(unreduced.map(unknown));
    all
}

#[test]
fn honest_chains_hold_at_every_length() {
    for later in 0..8 {
        for sealed in [false, true] {
            assert!(holds(&Links::of(later, sealed).written()), "{later} {sealed}");
        }
    }
}

#[test]
fn no_byte_of_a_key_signature_or_secret_can_be_changed() {
    for (later, sealed) in [(0, false), (0, true), (1, false), (3, true), (7, false), (7, true)] {
        let links = Links::of(later, sealed);
        for at in 0..links.clone().bytes().count() {
            let mut changed = links.clone();
            *changed.bytes().nth(at).unwrap() ^= 1 << (at % 8);
            assert!(!holds(&changed.written()), "{later} {sealed} {at}");
        }
    }
}

#[test]
fn edge_keys_are_the_same_to_both_at_every_place() {
    let blocks = blocks(2);
    let (mut taken, mut refused) = (0, 0);
    for forger in forgers() {
        let Key::Edge { public, secret, torsion, commitment } = forger else { continue };
        for place in 0..blocks.len() {
            let keys: Vec<_> = (0u8..3)
                .map(|at| match usize::from(at) == place {
                    true => Key::Edge { public, secret, torsion, commitment },
                    false => Key::Honest(PrivateKey::from_seed(&[at; 32])),
                })
                .collect();
            // The last key signs only what seals the token.
            let sealed = place + 1 == blocks.len();
            if holds(&signed(&blocks, &keys, sealed).written()) { taken += 1 } else { refused += 1 }
        }
    }
    // A key with a part of small order signs when the parts happen to cancel out.
    assert!(taken > 10 && refused > 1000, "{taken} {refused}");
}

#[test]
fn no_signature_has_another_spelling_at_any_place() {
    for (later, sealed) in [(0, true), (3, false), (7, true)] {
        let links = Links::of(later, sealed);
        for place in 0..links.clone().signatures().count() {
            let mut spellings = 0;
            for times in 1..16 {
                let mut changed = links.clone();
                let signature = changed.signatures().nth(place).unwrap();
                let Some(other) = edge::shifted(signature, times) else { break };
                *signature = other;
                assert!(!holds(&changed.written()), "{later} {place} {times}");
                spellings += 1;
            }
            assert!(spellings >= 14);
            for commitment in edge::small() {
                let mut changed = links.clone();
                changed.signatures().nth(place).unwrap()[..32].copy_from_slice(&commitment);
                assert!(!holds(&changed.written()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_agree_on_any_damage(
        later in 0..8_usize,
        sealed: bool,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        forger in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        let mut keys: Vec<_> =
            (0..=later).map(|at| Key::Honest(PrivateKey::from_seed(&[u8::try_from(at).unwrap(); 32]))).collect();
        if let Some((place, which)) = forger {
            let (at, mut all) = (place.index(keys.len()), forgers());
            keys[at] = all.swap_remove(which.index(all.len()));
        }
        let mut links = signed(&blocks(later), &keys, sealed);
        for (at, value) in damage {
            let count = links.bytes().count();
            *links.bytes().nth(at.index(count)).unwrap() = value;
        }
        holds(&links.written());
    }
}
