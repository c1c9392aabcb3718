//! Logs made and damaged by hand: what was done is what is named.

use proptest::prelude::*;
use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::note;

use super::*;

const ISSUER: &str = "https://b.example";
const LOG: &str = "b.example/log";

fn key(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[seed; 32])
}

fn bodies(count: usize) -> Vec<Vec<u8>> {
    let body =
        |at| format!("{{\"id\":\"dec_{at}\",\"time\":\"2026-11-20T12:00:{:02}Z\",\"data\":{at}}}", at % 60);
    (0..count).map(|at| body(at).into_bytes()).collect()
}

fn root(leaves: &[Hash]) -> Hash {
    let mut range = Range::default();
    leaves.iter().for_each(|leaf| range.push(*leaf));
    range.root()
}

fn leaves(bodies: &[Vec<u8>]) -> Vec<Hash> {
    bodies.iter().map(|body| leaf(body)).collect()
}

fn export(bodies: &[Vec<u8>]) -> Vec<u8> {
    bodies.iter().flat_map(|body| [body.as_slice(), b"\n"].concat()).collect()
}

fn checkpoint(leaves: &[Hash], seed: u8) -> String {
    use base64::Engine as _;
    let root = base64::engine::general_purpose::STANDARD.encode(root(leaves));
    note::sign(&format!("{LOG}\n{}\n{root}\n", leaves.len()), LOG, &key(seed))
}

fn document(version: u64, audit: u8) -> String {
    let entry = |purpose, name: &str, seed| DocumentKey {
        purpose,
        name: name.parse().unwrap(),
        key: key(seed).public(),
        not_before: 1,
        not_after: FOREVER,
    };
    let keys = vec![entry(KeyPurpose::Audit, "a1", audit), entry(KeyPurpose::Token, "t1", 50)];
    KeyDocument { version, issuer: ISSUER.to_owned(), break_glass: 0, keys }.sign(&key(1))
}

/// A proof of the entries from `first` up to `next` in a log of these leaves.
fn proof(leaves: &[Hash], first: usize, next: usize) -> Vec<u8> {
    let covered = |from: usize, to: usize| -> Vec<Hash> {
        let whole = |(level, n): (u32, u64)| {
            let from = usize::try_from(n << level).unwrap();
            root(&leaves[from..from + (1 << level)])
        };
        subtrees(from as u64, to as u64).into_iter().map(whole).collect()
    };
    let size = leaves.len();
    let places = [first as u64, next as u64, size as u64];
    let mut out = Vec::new();
    Head::new(LOG, places, &covered(0, first), &covered(next, size)).write(&mut out).unwrap();
    leaves[first..next].iter().for_each(|leaf| write_leaf(&mut out, leaf).unwrap());
    let tail = Tail { checkpoint: checkpoint(leaves, 2), keys: vec![document(1, 2)] };
    tail.write(&mut out).unwrap();
    out
}

fn held(leaves: &[Hash], sizes: &[usize]) -> Vec<Held> {
    let notes: String = sizes.iter().map(|size| checkpoint(&leaves[..*size], 2)).collect();
    read_held(notes.as_bytes()).unwrap()
}

fn check(export: &[u8], proof: &[u8], held: &[Held]) -> Result<Report, ProofError> {
    asked(export, proof, held, Asked { partial: true, ..Asked::default() })
}

fn asked(export: &[u8], proof: &[u8], held: &[Held], asked: Asked) -> Result<Report, ProofError> {
    let asked = Asked { log: Some(LOG.to_owned()), ..asked };
    verify(export, proof, &Trust::Root(key(1).public()), held, &asked, &mut |_, _| {})
}

#[track_caller]
fn told(export: &[u8], proof: &[u8], held: &[Held]) -> (Report, String) {
    let report = check(export, proof, held).unwrap();
    let said = report.complaints().join("\n");
    assert_eq!(report.is_good(), said.is_empty(), "{report:?}");
    (report, said)
}

#[test]
fn what_is_whole_passes_in_full_and_in_part() {
    for size in [0, 1, 2, 5, 255, 256, 257, 700] {
        let bodies = bodies(size);
        let leaves = leaves(&bodies);
        for (first, next) in [(0, size), (size / 3, size), (0, size / 2), (size / 3, size / 2), (size, size)]
        {
            let sizes: Vec<usize> = (0..=size).step_by(7).chain([size]).collect();
            let (report, said) =
                told(&export(&bodies[first..next]), &proof(&leaves, first, next), &held(&leaves, &sizes));
            assert!(report.is_good() || report.outside.compared == 0, "{size} {first} {next}: {said}");
            assert!(report.root && report.damages == 0 && report.unsigned.is_none());
        }
    }
}

/// One damage, and how it is to be named.
#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, usize),
    Remove(usize, usize),
    Insert(usize),
    Swap(usize),
    Move(usize, usize),
    Cut(usize),
    Leaf(usize),
    Forge(usize),
}

fn damages(size: usize) -> impl Strategy<Value = Damage> {
    let at = 0..size;
    prop_oneof![
        (at.clone(), 0..8usize).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (at.clone(), 1..400usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        (0..=size).prop_map(Damage::Insert),
        (0..size.max(2) - 1).prop_map(Damage::Swap),
        (at.clone(), at.clone()).prop_map(|(a, b)| Damage::Move(a, b)),
        at.clone().prop_map(Damage::Cut),
        at.clone().prop_map(Damage::Leaf),
        at.prop_map(Damage::Forge),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn one_damage_is_named_where_it_is(size in 2usize..900, part in 0usize..3, damage in damages(900)) {
        let whole = bodies(size);
        let true_leaves = leaves(&whole);
        // A part of the log is checked as the whole is.
        let first = if part == 0 { 0 } else { size / (part + 2) };
        let count = size - first;
        let (mut lines, mut shown) = (whole[first..].to_vec(), true_leaves.clone());
        let (fault, at): (Fault, usize) = match damage {
            Damage::Flip(at, bit) => {
                let at = at % count;
                let byte = at % lines[at].len();
                lines[at][byte] ^= 1 << bit;
                // A flip can make the end of a line.
                prop_assume!(lines[at][byte] != b'\n');
                (Fault::Changed, at)
            }
            Damage::Remove(at, many) => {
                let at = at % count;
                lines.drain(at..(at + many).min(count));
                // Further than anyone looks ahead, or at the end: then it is another word for the same place.
                (if at + many >= count { Fault::Cut } else { Fault::Removed }, at)
            }
            Damage::Insert(at) => {
                let at = at % (count + 1);
                lines.insert(at, b"{\"id\":\"dec_forged\",\"time\":\"2026-11-20T12:00:00Z\"}".to_vec());
                (Fault::Inserted, at)
            }
            Damage::Swap(at) => {
                prop_assume!(count > 1);
                let at = at % (count - 1);
                lines.swap(at, at + 1);
                (Fault::Reordered, at)
            }
            Damage::Move(a, b) => {
                let (a, b) = (a % count, b % count);
                prop_assume!(a != b);
                lines.swap(a, b);
                (Fault::Reordered, a.min(b))
            }
            Damage::Cut(at) => {
                let at = at % count;
                lines.truncate(at);
                (Fault::Cut, at)
            }
            Damage::Leaf(at) => {
                let at = at % count;
                shown[first + at][0] ^= 1;
                (Fault::Changed, at)
            }
            Damage::Forge(at) => {
                let at = at % count;
                lines[at].extend(b" ");
                shown[first + at] = leaf(&lines[at]);
                (Fault::Changed, at)
            }
        };
        let sizes: Vec<usize> = (first..=size).step_by(37).filter(|size| *size > 0).collect();
        let kept = held(&true_leaves, &sizes);
        // The proof's checkpoint is the true one: what is forged is signed by nobody.
        let mut file = proof(&shown, first, size);
        let (true_note, forged) = (checkpoint(&true_leaves, 2), checkpoint(&shown, 2));
        let escape = |note: &str| serde_json::to_string(note).unwrap();
        let text = String::from_utf8(file).unwrap().replace(&escape(&forged), &escape(&true_note));
        file = text.into_bytes();
        let report = check(&export(&lines), &file, &kept).unwrap();
        let said = report.complaints().join("\n");
        prop_assert!(!report.is_good() && !said.is_empty(), "{damage:?}");
        let place = (first + at) as u64;
        if matches!(damage, Damage::Forge(_)) {
            prop_assert!(report.damages == 0 && !report.root, "{report:?}");
            let from = report.outside.last_match.as_ref().map_or(first as u64, |mark| mark.size);
            let to = report.outside.first_failure.as_ref().map_or(size as u64, |mark| mark.size);
            prop_assert!(from <= place && place < to && to - from <= 74, "{from} {place} {to}: {said}");
            return Ok(());
        }
        let finding = &report.findings[0];
        prop_assert_eq!(finding.place, place, "{:?} {}", damage, said);
        // A removal beyond what is looked ahead is told as a change that goes on to a cut.
        let far = matches!(damage, Damage::Remove(_, many) if many >= 250);
        prop_assert!(finding.fault == fault || far, "{:?} {}", damage, said);
        prop_assert_eq!(report.root, !matches!(damage, Damage::Leaf(_)));
        prop_assert_eq!(report.lines_root, matches!(damage, Damage::Leaf(_)));
    }
}

#[test]
fn several_damages_are_counted_and_the_first_is_named() {
    let whole = bodies(3000);
    let leaves = leaves(&whole);
    let mut lines = whole.clone();
    for at in (100..2900).step_by(10) {
        lines[at].push(b'!');
    }
    lines.remove(50);
    let (report, said) = told(&export(&lines), &proof(&leaves, 0, 3000), &[]);
    assert_eq!((report.damages, report.findings.len()), (281, 100));
    assert!(said.starts_with("removed: place 50 of the log (1) is missing before line 51"), "{said}");
    assert!(said.contains("dec_49") && said.contains("(280 more follow)"), "{said}");
}

#[test]
fn hostile_exports_are_named_and_never_trusted() {
    let whole = bodies(20);
    let leaves = leaves(&whole);
    let proof = proof(&leaves, 0, 20);
    let sound = export(&whole);
    let half = &sound[..sound.len() - 9];
    let long = [&vec![b'x'; 1 << 20][..], b"\n", &sound].concat();
    let crlf = String::from_utf8(sound.clone()).unwrap().replace('\n', "\r\n").into_bytes();
    let mut noise: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    noise.extend_from_slice(b"\xff\x00\n\n\n\xfe");
    for (export, words) in [
        (&b""[..], "cut: the export ends after line 0, and 20 logged entries follow from place 0"),
        (half, "changed: line 20 of the export is not what was logged at place 19"),
        (&long, "inserted: line 1 of the export was never logged there"),
        (&long, "it is longer than any entry"),
        (&crlf, "only the end of the line was changed"),
        (&noise, "place 0"),
        (&[sound.clone(), b"\n".to_vec()].concat(), "inserted: line 21 of the export"),
        (&[sound.clone(), sound.clone()].concat(), "inserted: lines 21 to 40 of the export"),
    ] {
        let (report, said) = told(export, &proof, &[]);
        assert!(said.contains(words) && report.root && !report.lines_root, "{words}: {said}");
    }
    // The end of the last line is no part of the entry.
    assert!(told(&sound[..sound.len() - 1], &proof, &[]).0.is_good());
}

#[test]
fn hostile_proofs_are_refused() {
    let whole = bodies(20);
    let leaves = leaves(&whole);
    let sound = String::from_utf8(proof(&leaves, 0, 20)).unwrap();
    let refused = |proof: &[u8]| check(&export(&whole), proof, &[]).unwrap_err().to_string();
    assert!(refused(b"").contains("breaks off"));
    assert!(refused(&vec![b'x'; 1 << 20]).contains("line 1"));
    for at in (0..sound.len() - 1).step_by(37) {
        refused(&sound.as_bytes()[..at]);
    }
    for (from, to) in [
        ("\"v\":1", "\"v\":2"),
        ("\"next\":20", "\"next\":19"),
        ("\"next\":20", "\"next\":21"),
        ("\"size\":20", "\"size\":18446744073709551615"),
        ("\"first\":0", "\"first\":30"),
        ("\"prefix\":[]", "\"prefix\":[\"AAAA\"]"),
        ("\n", "\r\n"),
        ("{\"checkpoint\"", "{\"checkpoints\""),
        ("{\"keys\"", "{\"checkpoint\":\"\"}\n{\"keys\""),
    ] {
        refused(sound.replacen(from, to, 30).as_bytes());
    }
    assert!(
        refused(sound.replace("b.example/log", "c.example/log").as_bytes()).contains("not of b.example/log")
    );
    let other = Trust::Root(key(9).public());
    let failed =
        verify(&export(&whole)[..], sound.as_bytes(), &other, &[], &Asked::default(), &mut |_, _| {});
    assert!(failed.unwrap_err().to_string().contains("root key"));
    // A size that the checkpoint does not sign.
    let shorter = proof(&leaves, 0, 20);
    let shorter = String::from_utf8(shorter).unwrap();
    let note = serde_json::to_string(&checkpoint(&leaves[..19], 2)).unwrap();
    let swapped = shorter.replace(&serde_json::to_string(&checkpoint(&leaves, 2)).unwrap(), &note);
    let (_, said) = told(&export(&whole), swapped.as_bytes(), &[]);
    assert!(said.contains("its size"), "{said}");
}

#[test]
fn a_checkpoint_by_another_key_is_not_believed() {
    let whole = bodies(20);
    let leaves = leaves(&whole);
    let sound = String::from_utf8(proof(&leaves, 0, 20)).unwrap();
    let by = |seed| serde_json::to_string(&checkpoint(&leaves, seed)).unwrap();
    let (report, said) = told(&export(&whole), sound.replace(&by(2), &by(50)).as_bytes(), &[]);
    assert!(report.root && said.contains("not believed"), "a token key signs no checkpoints: {said}");
    // After a rotation: the newest document judges the newest checkpoint, older ones those from before.
    let rotated =
        format!("{}{{\"keys\":{}}}\n", sound.replace(&by(2), &by(3)), serde_json::json!(document(2, 3)));
    let (report, said) = told(&export(&whole), rotated.as_bytes(), &held(&leaves, &[7]));
    assert!(report.is_good() && report.keys == Some(2) && report.outside.compared == 1, "{said}");
    let stale = format!("{sound}{{\"keys\":{}}}\n", serde_json::json!(document(2, 3)));
    assert!(!told(&export(&whole), stale.as_bytes(), &[]).0.is_good());
    // The key itself instead of the root.
    let direct = |seed: u8| {
        let trust = Trust::Audit(key(seed).public());
        verify(&export(&whole)[..], sound.as_bytes(), &trust, &[], &Asked::default(), &mut |_, _| {}).unwrap()
    };
    assert!(direct(2).is_good() && !direct(3).is_good());
}

#[test]
fn checkpoints_from_outside_show_what_was_rewritten_cut_or_forked() {
    let whole = bodies(100);
    let before = leaves(&whole);
    let kept = held(&before, &[10, 40, 60, 100]);
    let mut rewritten = whole.clone();
    rewritten[45] = b"{\"id\":\"dec_new\",\"time\":\"2026-11-20T12:00:45Z\"}".to_vec();
    let after = leaves(&rewritten);
    let (report, said) = told(&export(&rewritten), &proof(&after, 0, 100), &kept);
    assert!(report.root && report.damages == 0, "all of it was signed again");
    for words in [
        "the log was rewritten: 2 of 4 checkpoints",
        "lies in places 40 (dec_40, 2026-11-20T12:00:40Z) to 59 (dec_59, 2026-11-20T12:00:59Z)",
        "the log fits up to place 39 (dec_39",
        "two logs were shown: an audit key signed two different roots over 100 entries",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (report, said) = told(&export(&whole[..80]), &proof(&before[..80], 0, 80), &kept);
    assert_eq!(report.outside.beyond, Some(100));
    assert!(said.contains("it has 80 entries now, and a checkpoint kept outside covers 100"), "{said}");
    assert!(said.contains("At least 20 entries are gone") && said.contains("dec_79"), "{said}");
    // Two that were kept disagree with each other.
    let two = [held(&before, &[60]), held(&after, &[60])].concat();
    let (report, _) = told(&export(&whole), &proof(&before, 0, 100), &two);
    assert_eq!(report.outside.forks, [60]);
}

#[test]
fn checkpoints_from_outside_that_cannot_be_used_are_no_proof() {
    let whole = bodies(100);
    let leaves = leaves(&whole);
    // By a stranger, even where the root is right.
    let forged = read_held(checkpoint(&leaves[..50], 8).as_bytes()).unwrap();
    let (report, said) = told(&export(&whole), &proof(&leaves, 0, 100), &forged);
    assert_eq!(report.outside.compared, 0);
    assert!(said.contains("1 of 1 checkpoints kept outside are not believed"), "{said}");
    // A part of the log says nothing of what was before it.
    let part = proof(&leaves, 60, 90);
    let (_, said) = told(&export(&whole[60..90]), &part, &held(&leaves, &[40, 95]));
    assert!(said.contains("none of the 2 checkpoints speaks of a part"), "{said}");
    assert!(told(&export(&whole[60..90]), &part, &held(&leaves, &[40, 60, 75, 90, 95, 100])).0.is_good());
}

#[test]
fn what_covers_less_than_was_asked_does_not_pass() {
    let whole = bodies(100);
    let leaves = leaves(&whole);
    let kept = held(&leaves, &[10, 60, 80, 95, 100]);
    // (first, next, what is asked for, what is said)
    let span = |from, until| Asked { from, until, ..Asked::default() };
    for (first, next, what, words) in [
        (0, 100, span(0, None), &[][..]),
        (60, 100, span(0, None), &["begins at place 60", "--from 60", "1 of 5 checkpoints"]),
        (60, 100, span(60, None), &[]),
        (60, 100, span(59, None), &["the 1 entries before it"]),
        (0, 90, span(0, None), &["ends before place 90", "the 10 entries after it", "--until 90"]),
        (0, 90, span(0, Some(90)), &[]),
        (0, 100, span(0, Some(101)), &["the 1 entries after it"]),
        (60, 60, span(60, Some(60)), &["of no entry"]),
        (0, 100, span(101, None), &["the log ends before place 100", "from 101 on"]),
        (60, 90, Asked { partial: true, ..Asked::default() }, &[]),
        (60, 60, Asked { partial: true, ..Asked::default() }, &[]),
    ] {
        let (export, proof) = (export(&whole[first..next]), proof(&leaves, first, next));
        let report = asked(&export, &proof, &kept, what.clone()).unwrap();
        let said = report.complaints().join("\n");
        assert_eq!(report.is_good(), words.is_empty(), "{first} {next} {what:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{first} {next} {what:?}: {word}: {said}");
        }
        let outside = &report.outside;
        let all = outside.compared + outside.uncompared + outside.elsewhere;
        assert_eq!(all, outside.given, "{outside:?}");
        assert!(outside.first_match.is_some_and(|size| size >= first as u64), "{outside:?}");
    }
}

/// A checkpoint under another origin.
fn signed_as(origin: &str, leaves: &[Hash]) -> Held {
    use base64::Engine as _;
    let root = base64::engine::general_purpose::STANDARD.encode(root(leaves));
    let note = note::sign(&format!("{origin}\n{}\n{root}\n", leaves.len()), origin, &key(2));
    read_held(note.as_bytes()).unwrap().remove(0)
}

#[test]
fn after_a_restore_both_origins_are_taken_for_what_they_are() {
    let restored = format!("{LOG}@dec_r");
    let (mut before, mut now) = (bodies(80), bodies(50));
    let entry = serde_json::json!({
        "id": "dec_r", "time": "2026-11-20T12:00:00Z", "type": "dev.shortbread.store.restored.v1",
        "data": { "log": { "origin": restored, "kept": { "origin": LOG, "size": 50 } } },
    });
    now.push(entry.to_string().into_bytes());
    now.extend(bodies(40));
    let (old, new) = (leaves(&before), leaves(&now));
    let file = String::from_utf8(proof(&new, 0, now.len())).unwrap();
    let escape = |note: &str| serde_json::to_string(note).unwrap();
    let file = file.replace(&escape(&checkpoint(&new, 2)), &escape(&signed_as(&restored, &new).note));
    let file = file.replace(&format!("\"origin\":\"{LOG}\""), &format!("\"origin\":\"{restored}\""));
    let check = |held: &[Held], known: &[&str]| {
        let restored = known.iter().map(|id| (*id).to_owned()).collect();
        let report =
            asked(&export(&now), file.as_bytes(), held, Asked { restored, ..Asked::default() }).unwrap();
        let said = report.complaints().join("\n");
        (report, said)
    };
    let kept = [&held(&old, &[20, 50])[..], &[signed_as(&restored, &new[..60])]].concat();
    let (report, said) = check(&kept, &[]);
    assert!(report.is_good() && report.outside.compared == 3, "{said}");
    assert_eq!((report.restores[0].kept, report.restores[0].place), (50, 50));
    // Of what the restore took away: told, until someone says that it is known.
    let more = [&kept[..], &held(&old, &[51, 80])].concat();
    let (report, said) = check(&more, &[]);
    assert!(said.contains("--restored dec_r") && report.outside.forks.is_empty(), "{said}");
    assert_eq!((report.outside.failed, report.outside.lost[0].checkpoints), (0, 2));
    assert!(check(&more, &["dec_r"]).0.is_good());
    assert!(!check(&more, &["dec_other"]).0.is_good());
    // What it kept was rewritten, and what came after it was cut: no restore explains that.
    before[30].push(b' ');
    let rewritten = leaves(&before);
    let (report, said) = check(&[&kept[..], &held(&rewritten, &[40])].concat(), &["dec_r"]);
    assert!(report.outside.failed == 1 && said.contains("was rewritten"), "{said}");
    let longer = [now.clone(), bodies(5)].concat();
    let (report, _) = check(&[signed_as(&restored, &leaves(&longer))], &["dec_r"]);
    assert_eq!(report.outside.beyond, Some(longer.len() as u64));
    let (_, said) = check(&[signed_as("c.example/log", &new[..60])], &[]);
    assert!(said.contains("another log"), "{said}");
}
