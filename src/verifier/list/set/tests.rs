//! What a list answers.

use proptest::prelude::*;
use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::revocations::{Cause, Entry, Removed};

use super::*;

fn set() -> RevocationSet {
    let parts = [
        (SelectorKind::Workflow, "payroll", 50),
        (SelectorKind::Workflow, "payroll", 40),
        (SelectorKind::Access, "payments/write", FOREVER),
        (SelectorKind::Token, "tok_1", FOREVER),
        (SelectorKind::Token, "tok_2", 7),
        (SelectorKind::Holder, "last", 1),
    ];
    let parts = parts.map(|(kind, value, before)| (kind, value.to_owned(), before));
    RevocationSet::from_parts(9, parts.to_vec(), vec![RevokedId::hash(b"block")])
}

#[test]
fn entries_are_found_by_kind_and_value() {
    let set = set();
    assert_eq!(set.before(SelectorKind::Workflow, "payroll"), Some(50));
    assert_eq!(set.before(SelectorKind::Operator, "payroll"), None);
    assert_eq!(set.before(SelectorKind::Workflow, "payrol"), None);
    assert_eq!(set.before(SelectorKind::Holder, "last"), Some(1));
    assert_eq!(set.global(), 9);
}

#[test]
fn pairs_are_found_without_being_joined_by_the_caller() {
    let set = set();
    assert_eq!(set.before_pair(SelectorKind::Access, "payments", "write"), Some(FOREVER));
    assert_eq!(set.before_pair(SelectorKind::Access, "payments", "read"), None);
    assert_eq!(set.before_pair(SelectorKind::Access, "payments/", "write"), None);
    assert_eq!(set.before_pair(SelectorKind::Access, &"x".repeat(200), "write"), None);
}

#[test]
fn a_token_dead_for_good_is_found_by_its_hash() {
    let set = set();
    assert!(set.has_id(&RevokedId::hash(b"tok_1")) && set.has_id(&RevokedId::hash(b"block")));
    assert!(!set.has_id(&RevokedId::hash(b"tok_2")));
    assert_eq!(set.before(SelectorKind::Token, "tok_2"), Some(7));
}

#[test]
fn only_a_list_without_anything_is_empty() {
    assert!(RevocationSet::default().is_empty());
    assert!(!RevocationSet::default().with_global(1).is_empty());
    assert!(!RevocationSet::from_parts(0, Vec::new(), vec![[0; 16]]).is_empty());
    assert!(!set().with_global(0).is_empty());
}

#[test]
fn other_contents_are_another_generation() {
    let set = set();
    assert_eq!(set.generation(), set.clone().with_global(set.global()).generation());
    let others = [set.with_global(1), RevocationSet::default(), RevocationSet::default(), self::set()];
    let mut generations: Vec<_> = others.iter().chain([&set]).map(RevocationSet::generation).collect();
    generations.sort_unstable();
    generations.dedup();
    assert!(generations.len() == 5 && !generations.contains(&0));
}

const TOKENS: [&str; 3] = ["tok_1", "tok_2", "tok_3"];
const KEPT: [SelectorKind; 3] = [SelectorKind::Workflow, SelectorKind::Key, SelectorKind::Token];

fn entry(kind: SelectorKind, value: &str, before: u64) -> Entry {
    let value = value.to_owned();
    Entry { kind, value, before, until: None, seq: 1, cause: Cause::Freeze }
}

/// A delta from `seq`: what is set and what is removed, by small numbers that meet often.
fn delta() -> impl Strategy<Value = Delta> {
    let before = prop_oneof![Just(FOREVER), 1..3_u64];
    let selectors = prop::collection::btree_map((0..3_usize, 0..3_usize), prop::option::of(before), 0..5);
    let ids = prop::collection::btree_map(0..6_u8, any::<bool>(), 0..5);
    (selectors, ids).prop_map(|(selectors, ids)| {
        let mut delta = Delta::default();
        for ((kind, value), before) in selectors {
            let (kind, value) = (KEPT[kind], TOKENS[value].to_owned());
            match before {
                Some(before) => delta.entries.push(entry(kind, &value, before)),
                None => delta.removed.push(Removed { kind, value }),
            }
        }
        for (id, came) in ids {
            // The first three are those of the tokens themselves.
            let id = RevokedId::hash(TOKENS.get(usize::from(id)).map_or(&[id], |token| token.as_bytes()));
            if came { delta.ids.push(RevokedId { id, until: 9 }) } else { delta.ids_removed.push(id) }
        }
        delta.ids.sort_unstable();
        delta.ids_removed.sort_unstable();
        delta
    })
}

fn assert_same(one: &RevocationSet, other: &RevocationSet) {
    assert_eq!((one.seq(), one.is_empty()), (other.seq(), other.is_empty()));
    for kind in SelectorKind::ALL {
        assert_eq!(one.mentions(kind), other.mentions(kind), "{kind}");
        for value in TOKENS {
            assert_eq!(one.before(kind, value), other.before(kind, value), "{kind} {value}");
        }
    }
    for id in TOKENS.iter().map(|token| token.as_bytes()).chain([[3].as_slice(), &[4], &[5], &[6]]) {
        assert_eq!(one.has_id(&RevokedId::hash(id)), other.has_id(&RevokedId::hash(id)), "{id:?}");
    }
    assert!(one.has_same_keys(other) && other.has_same_keys(one));
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

proptest! {
    #[test]
    fn a_chain_of_deltas_answers_as_the_snapshot_of_the_end(
        deltas in prop::collection::vec((delta(), any::<bool>()), 1..8),
    ) {
        let mut whole = Snapshot::default();
        let mut set = RevocationSet::new(whole.clone(), 7);
        for (seq, (delta, merge)) in deltas.into_iter().enumerate() {
            let delta = Delta { from: seq as u64, seq: seq as u64 + 1, ..delta };
            let before = set.clone();
            set = before.with_delta(&delta);
            whole.apply(&delta).unwrap();
            let end = RevocationSet::new(whole.clone(), 7);
            assert_same(&set, &end);
            let bytes = whole.encode("o");
            assert_same(&RevocationSet::read(SnapshotView::open(&bytes, "o").unwrap(), 7), &end);
            let same = before.entries(SelectorKind::Key).collect::<BTreeMap<_, _>>()
                == end.entries(SelectorKind::Key).collect();
            prop_assert_eq!(before.has_same_keys(&set), same);
            prop_assert_ne!(before.generation(), set.generation());
            if merge {
                let merged = set.merged();
                assert_same(&merged, &end);
                prop_assert_eq!(merged.generation(), set.generation());
                set = merged;
            }
        }
    }
}

#[test]
fn many_changes_make_a_list_heavy_until_they_are_merged() {
    let ids = (0..=u32::try_from(MAX_CHANGES).unwrap())
        .map(|n| RevokedId { id: RevokedId::hash(&n.to_be_bytes()), until: 1 });
    let base = RevocationSet::default();
    let set = base.with_delta(&Delta { seq: 1, ids: ids.collect(), ..Delta::default() });
    assert!(set.is_heavy() && !set.merged().is_heavy() && !base.is_heavy());
    // A list with changes shares what it was made from.
    assert!(Arc::ptr_eq(&set.base, &base.base));
}
