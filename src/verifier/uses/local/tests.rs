//! That no token passes twice, whatever becomes of the process, the file and the clock.

use std::collections::HashSet;
use std::fs::OpenOptions;

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_795_348_800;

fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(second)
}

fn claim(uses: &LocalUses, token: &str, expires: u64, now: u64) -> Result<(), Unclaimed> {
    let wanted = Use {
        token,
        expires,
        #[cfg(feature = "report")]
        call: &crate::decision::Call { tool: "github", verb: "issues.write", args: None },
    };
    uses.claim(&wanted, at(now))
}

fn torn(dir: &Path, tail: &[u8]) {
    OpenOptions::new().append(true).open(dir.join(FILE)).unwrap().write_all(tail).unwrap();
}

#[test]
fn a_use_is_known_after_a_restart_and_forgotten_when_its_token_is_over() {
    let tmp = tempfile::tempdir().unwrap();
    let uses = LocalUses::open(tmp.path(), at(NOW)).unwrap();
    assert_eq!(claim(&uses, "a", NOW + 10, NOW), Ok(()));
    assert_eq!(claim(&uses, "b", NOW + 100, NOW), Ok(()));
    assert!(matches!(LocalUses::open(tmp.path(), at(NOW)), Err(UsesError::InUse { .. })));
    drop(uses);
    let uses = LocalUses::open(tmp.path(), at(NOW + 10)).unwrap();
    assert_eq!(uses.remembered(), 1);
    assert_eq!(claim(&uses, "b", NOW + 100, NOW + 10), Err(Unclaimed::Used));
    // The clock was ahead, and goes back.
    assert_eq!(claim(&uses, "a", NOW + 10, NOW), Err(Unclaimed::Used));
    drop(uses);
    let uses = LocalUses::open(tmp.path(), at(NOW)).unwrap();
    assert_eq!(claim(&uses, "a", NOW + 10, NOW), Err(Unclaimed::Used));
    assert_eq!(claim(&uses, "c", NOW + 11, NOW), Ok(()));
}

#[test]
fn there_is_room_for_so_many_and_none_is_forgotten_early() {
    let tmp = tempfile::tempdir().unwrap();
    let uses = LocalUses::with_capacity(tmp.path(), at(NOW), 3).unwrap();
    for (token, expires) in [("a", 5), ("b", 50), ("c", 50)] {
        assert_eq!(claim(&uses, token, NOW + expires, NOW), Ok(()));
    }
    assert_eq!(claim(&uses, "d", NOW + 50, NOW + 4), Err(FULL));
    assert_eq!(claim(&uses, "d", NOW + 50, NOW + 5), Ok(()));
    assert_eq!(claim(&uses, "b", NOW + 50, NOW + 5), Err(Unclaimed::Used));
    assert_eq!((claim(&uses, "e", NOW + 50, NOW + 5), uses.remembered()), (Err(FULL), 3));
}

#[test]
fn a_long_run_leaves_no_long_file() {
    let tmp = tempfile::tempdir().unwrap();
    let uses = LocalUses::open(tmp.path(), at(NOW)).unwrap();
    uses.kept.lock().unwrap().written = 10_000;
    assert_eq!(claim(&uses, "a", NOW + 5, NOW), Ok(()));
    assert_eq!(fs::metadata(tmp.path().join(FILE)).unwrap().len(), 2 * RECORD as u64);
}

#[test]
fn a_file_that_is_damaged_or_none_of_ours_stops_the_start() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join(FILE);
    drop(LocalUses::open(tmp.path(), at(NOW)).map(|uses| {
        assert_eq!(["a", "b", "c"].map(|token| claim(&uses, token, NOW + 50, NOW)), [Ok(()); 3]);
    }));
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    damaged[2 * RECORD + 3] ^= 1;
    for bytes in [&damaged[..], b"", b"something else that is longer than one record", &whole[..RECORD - 1]] {
        fs::write(&path, bytes).unwrap();
        let error = LocalUses::open(tmp.path(), at(NOW)).unwrap_err();
        assert!(
            matches!(error, UsesError::Damaged { .. }) && error.to_string().contains("an hour"),
            "{error}"
        );
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(LocalUses::open(tmp.path(), at(NOW)).unwrap().remembered(), 3);
}

#[test]
fn a_file_that_was_removed_or_replaced_allows_nothing_until_all_is_written_anew() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join(FILE);
    let uses = LocalUses::open(tmp.path(), at(NOW)).unwrap();
    assert_eq!(claim(&uses, "a", NOW + 50, NOW), Ok(()));
    fs::remove_file(&path).unwrap();
    assert_eq!(claim(&uses, "b", NOW + 50, NOW), Err(DISK));
    assert_eq!(claim(&uses, "b", NOW + 50, NOW), Ok(()));
    drop(uses);
    let uses = LocalUses::open(tmp.path(), at(NOW)).unwrap();
    assert_eq!(["a", "b"].map(|token| claim(&uses, token, NOW + 50, NOW)), [Err(Unclaimed::Used); 2]);
    // A directory that is gone altogether takes nothing.
    let gone = tmp.path().with_extension("gone");
    fs::rename(tmp.path(), &gone).unwrap();
    assert_eq!([0; 2].map(|_| claim(&uses, "c", NOW + 50, NOW)), [Err(DISK); 2]);
    fs::rename(&gone, tmp.path()).unwrap();
    assert_eq!(claim(&uses, "c", NOW + 50, NOW), Ok(()));
}

#[derive(Clone, Debug)]
enum Step {
    Claim(u8),
    Restart(Vec<u8>),
    Pass(u64),
    Back(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..12_u8).prop_map(Step::Claim),
        2 => prop::collection::vec(any::<u8>(), 0..=RECORD).prop_map(Step::Restart),
        2 => (1..20_u64).prop_map(Step::Pass),
        1 => (1..20_u64).prop_map(Step::Back),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_token_passes_twice(steps in prop::collection::vec(step(), 1..60)) {
        let tmp = tempfile::tempdir().unwrap();
        let (mut now, mut latest, mut passed) = (NOW, NOW, HashSet::new());
        let mut uses = LocalUses::with_capacity(tmp.path(), at(now), 6).unwrap();
        for step in steps {
            match step {
                Step::Claim(token) => {
                    let expires = NOW + 5 + 7 * u64::from(token);
                    if expires <= now {
                        continue;
                    }
                    let claimed = claim(&uses, &format!("tok_{token}"), expires, now);
                    let first = passed.insert(token);
                    match claimed {
                        Ok(()) => prop_assert!(first, "{} passed twice", token),
                        Err(_) if !first => {}
                        Err(why) => {
                            passed.remove(&token);
                            prop_assert!(why == FULL || expires <= latest, "{} was refused: {}", token, why);
                        }
                    }
                }
                Step::Restart(tail) => {
                    drop(uses);
                    torn(tmp.path(), &tail);
                    uses = LocalUses::with_capacity(tmp.path(), at(now), 6).unwrap();
                }
                Step::Pass(seconds) => now += seconds,
                Step::Back(seconds) => now -= seconds,
            }
            latest = latest.max(now);
        }
    }
}
