use std::fs::OpenOptions;

use proptest::prelude::*;
use shortbread_protocol::verifiers::CallRecord;

use super::*;

fn record(n: u64) -> CallRecord {
    CallRecord { id: format!("dec_{n:032x}"), ..CallRecord::default() }
}

fn line(n: u64) -> Vec<u8> {
    let mut line = serde_json::to_vec(&record(n)).unwrap();
    line.push(b'\n');
    line
}

fn number(record: &CallRecord) -> u64 {
    record.halves().unwrap().1
}

fn upload(spool: &mut Spool, most: usize) -> Vec<u64> {
    let Some(extent) = spool.oldest() else { return Vec::new() };
    let portion = extent.read(most, 48 * 1024).unwrap();
    spool.uploaded(&portion).unwrap().run().unwrap();
    assert!(spool.uploaded(&portion).is_none(), "it is uploaded once");
    portion.records.iter().map(number).collect()
}

fn sync(spool: &mut Spool) {
    if let Some(plan) = spool.plan() {
        plan.run().unwrap();
        spool.synced(&plan);
    }
    assert_eq!(spool.unsynced(), 0);
}

/// The file that was written last.
fn last(dir: &Path) -> Option<PathBuf> {
    let number = *numbers(dir).unwrap().last()?;
    Some(dir.join(format!("{PREFIX}{number:020}{SUFFIX}")))
}

#[test]
fn what_is_appended_is_read_in_order_and_its_files_go() {
    let tmp = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(tmp.path(), 16 * 1024).unwrap();
    (0..30).for_each(|n| spool.append(&line(n)).unwrap());
    sync(&mut spool);
    assert!(numbers(tmp.path()).unwrap().len() > 5, "small files, so that room comes back");
    assert!(matches!(Spool::open(tmp.path(), 16 * 1024), Err(SpoolError::InUse { .. })));
    let mut read = Vec::new();
    while spool.waiting() > 0 {
        read.extend(upload(&mut spool, 4));
    }
    assert_eq!(read, (0..30).collect::<Vec<_>>());
    assert!(numbers(tmp.path()).unwrap().len() <= 1 && spool.bytes() < 2048);
}

#[test]
fn a_full_spool_takes_nothing_until_there_is_room() {
    let tmp = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(tmp.path(), 8 * 1024).unwrap();
    let mut kept = 0;
    while spool.append(&line(kept)).is_ok() {
        kept += 1;
    }
    assert!(matches!(spool.append(&line(kept)), Err(Unspooled::Full)) && spool.bytes() <= 8 * 1024);
    upload(&mut spool, 64);
    spool.append(&line(kept)).unwrap();
}

#[test]
fn a_file_cut_at_any_byte_keeps_its_whole_lines() {
    let tmp = tempfile::tempdir().unwrap();
    let whole: Vec<u8> = (0..2).flat_map(line).collect();
    for cut in line(0).len() - 2..=whole.len() {
        let dir = tmp.path().join(cut.to_string());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(format!("{PREFIX}{:020}{SUFFIX}", 1)), &whole[..cut]).unwrap();
        let mut spool = Spool::open(&dir, 1 << 20).unwrap();
        let lines = (cut / line(0).len()) as u64;
        assert_eq!(spool.waiting(), lines, "{cut}");
        assert_eq!(spool.damaged(), u64::from(cut % line(0).len() > 0), "{cut}");
        spool.append(&line(9)).unwrap();
        let mut read = upload(&mut spool, 64);
        read.extend(upload(&mut spool, 64));
        assert_eq!(read, (0..lines).chain([9]).collect::<Vec<_>>(), "{cut}");
    }
}

#[test]
fn every_line_of_a_file_that_was_removed_under_us_is_counted() {
    let tmp = tempfile::tempdir().unwrap();
    let mut spool = Spool::open(tmp.path(), 1 << 20).unwrap();
    (0..5).for_each(|n| spool.append(&line(n)).unwrap());
    fs::remove_file(spool.path(1)).unwrap();
    assert_eq!(upload(&mut spool, 64), [0_u64; 0]);
    assert_eq!((spool.waiting(), spool.damaged()), (0, 5));
}

#[test]
fn a_directory_that_was_removed_or_replaced_holds_nothing_of_ours() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("spool");
    let mut spool = Spool::open(&dir, 1 << 20).unwrap();
    spool.append(&line(1)).unwrap();
    sync(&mut spool);
    fs::remove_dir_all(&dir).unwrap();
    // Into a file that has no name any more.
    spool.append(&line(2)).unwrap();
    assert!(spool.plan().unwrap().run().is_err());
    let other = Spool::open(&dir, 1 << 20).unwrap();
    assert!(spool.plan().unwrap().run().is_err() && spool.home().probe().is_err());
    assert!(other.home().probe().is_ok());
}

#[test]
fn lines_of_strangers_are_left_out_and_counted() {
    let tmp = tempfile::tempdir().unwrap();
    let mut bytes = line(1);
    bytes.extend_from_slice(b"{\"id\":7}\n\0\0\0\n\n");
    bytes.extend_from_slice(&line(2));
    bytes.extend_from_slice(&vec![b'x'; 100_000]);
    bytes.push(b'\n');
    bytes.extend_from_slice(&line(3));
    fs::write(tmp.path().join(format!("{PREFIX}{:020}{SUFFIX}", 4)), bytes).unwrap();
    fs::write(tmp.path().join("calls-5.jsonl"), "not ours").unwrap();
    fs::write(tmp.path().join(CURSOR), "nonsense").unwrap();
    let mut spool = Spool::open(tmp.path(), 1 << 20).unwrap();
    let mut read = Vec::new();
    while spool.oldest().is_some() {
        read.extend(upload(&mut spool, 64));
    }
    assert_eq!(read, [1, 2, 3]);
    assert!(spool.damaged() >= 4, "{}", spool.damaged());
}

#[test]
fn a_write_that_fails_leaves_no_half_line_and_no_heap_of_files() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("spool");
    let mut spool = Spool::open(&dir, 1 << 20).unwrap();
    spool.append(&line(1)).unwrap();
    let file = Arc::clone(spool.active.as_ref().unwrap());
    (&*file).write_all(b"half").unwrap();
    spool.give_up(&file);
    spool.append(&line(2)).unwrap();
    sync(&mut spool);
    drop(spool);
    let mut spool = Spool::open(&dir, 1 << 20).unwrap();
    assert_eq!((spool.waiting(), spool.damaged()), (2, 0));
    // Without its directory nothing can be appended, however often it is tried.
    fs::rename(&dir, tmp.path().join("gone")).unwrap();
    for _ in 0..3 {
        assert!(matches!(spool.append(&line(3)), Err(Unspooled::Failed(_))));
        assert!(spool.home().probe().is_err());
    }
    fs::rename(tmp.path().join("gone"), &dir).unwrap();
    spool.home().probe().unwrap();
    spool.append(&line(3)).unwrap();
    assert_eq!(spool.waiting(), 3);
}

#[derive(Clone, Debug)]
enum Act {
    Append,
    Sync,
    Upload(usize),
    /// The process ends.
    Crash,
    /// The power fails: what was not synced may be lost from any byte on.
    Cut(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => Just(Act::Append),
        2 => Just(Act::Sync),
        3 => (1_usize..6).prop_map(Act::Upload),
        1 => Just(Act::Crash),
        1 => any::<usize>().prop_map(Act::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever happens in which order: nothing that was acknowledged as spooled is lost, nothing that was acknowledged
    /// as uploaded is repeated, and all comes in order.
    #[test]
    fn nothing_is_lost_and_nothing_is_repeated(acts in proptest::collection::vec(act(), 1..60)) {
        let tmp = tempfile::tempdir().unwrap();
        let limit = 6 * 1024;
        let mut spool = Spool::open(tmp.path(), limit).unwrap();
        // What the spool owes, and how much of the end of that only the process holds.
        let (mut owed, mut loose, mut count) = (VecDeque::new(), 0_usize, 0_u64);
        for act in acts {
            match act {
                Act::Append => match spool.append(&line(count)) {
                    Ok(()) => {
                        owed.push_back(count);
                        (count, loose) = (count + 1, loose + 1);
                    }
                    Err(Unspooled::Full) => prop_assert!(spool.bytes() + 1024 > limit),
                    Err(Unspooled::Failed(cause)) => panic!("{cause}"),
                },
                Act::Sync => {
                    sync(&mut spool);
                    loose = 0;
                }
                Act::Upload(most) => {
                    for number in upload(&mut spool, most) {
                        prop_assert_eq!(Some(number), owed.pop_front());
                    }
                    loose = loose.min(owed.len());
                }
                Act::Crash => {
                    drop(spool);
                    spool = Spool::open(tmp.path(), limit).unwrap();
                    loose = 0;
                }
                Act::Cut(at) => {
                    drop(spool);
                    // Of the last file as much goes as its loose lines have; its length is the same for each.
                    if let Some(path) = last(tmp.path()) {
                        let len = fs::metadata(&path).unwrap().len();
                        let most = len.min((loose * line(0).len()) as u64);
                        let gone = if most == 0 { 0 } else { at as u64 % (most + 1) };
                        OpenOptions::new().write(true).open(&path).unwrap().set_len(len - gone).unwrap();
                        let lost = gone.div_ceil(line(0).len() as u64);
                        owed.truncate(owed.len() - usize::try_from(lost).unwrap());
                    }
                    spool = Spool::open(tmp.path(), limit).unwrap();
                    loose = 0;
                }
            }
            prop_assert_eq!(spool.waiting(), owed.len() as u64);
        }
        while spool.waiting() > 0 {
            for number in upload(&mut spool, 64) {
                prop_assert_eq!(Some(number), owed.pop_front());
            }
        }
        prop_assert!(owed.is_empty());
    }
}
