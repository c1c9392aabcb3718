use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use proptest::sample::Index;
use shortbread_protocol::revocations::FileRef;

use super::*;

/// All events of a text that comes cut at these places.
fn read(text: &[u8], cuts: &[usize]) -> Result<Vec<Frame>, FrameError> {
    let (mut frames, mut all, mut from) = (Frames::default(), Vec::new(), 0);
    let ends = cuts.iter().copied().filter(|cut| *cut < text.len()).chain([text.len()]);
    for end in ends {
        let mut piece = &text[from.min(end)..end];
        from = end.max(from);
        while let Some(frame) = frames.read(&mut piece)? {
            all.push(frame);
        }
        assert!(piece.is_empty(), "all is taken before more is asked for");
    }
    Ok(all)
}

fn whole(text: &str) -> Result<Vec<Frame>, FrameError> {
    read(text.as_bytes(), &[])
}

fn head(text: &str) -> Frame {
    Frame::Head(text.as_bytes().to_vec())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn named(bytes: &[u8]) -> DeltaRef {
    DeltaRef { from: 7, to: FileRef { seq: 9, sha256: [0xab; 32], bytes: bytes.len() as u64 } }
}

fn delta(bytes: &[u8]) -> String {
    format!("event: delta\ndata: 7-9-{} {}\n\n", "ab".repeat(32), STANDARD.encode(gzip(bytes)))
}

#[test]
fn a_head_is_its_exact_bytes_and_its_delta_comes_behind_it() {
    let text =
        format!("event: head\nid: 9\ndata: a\ndata: b\ndata:\ndata: — c\ndata:\n\n{}", delta(b"bytes"));
    let frames = whole(&text).unwrap();
    assert_eq!(frames.first(), Some(&head("a\nb\n\n— c\n")));
    let Some(Frame::Delta(delta)) = frames.get(1) else { panic!("{frames:?}") };
    assert!(delta.is(&named(b"bytes")));
    assert_eq!(delta.unpack(5).as_deref(), Some(b"bytes".as_slice()));
    assert_eq!(delta.unpack(4), None, "never more than the head names");
    assert!(!delta.is(&DeltaRef { from: 8, ..named(b"bytes") }));
    let other = FileRef { sha256: [0; 32], ..named(b"").to };
    assert!(!delta.is(&DeltaRef { to: other, ..named(b"") }));
}

#[test]
fn it_is_read_as_the_standard_says() {
    for (text, frames) in [
        ("event: head\r\ndata: a\r\n\r\n", vec![head("a")]),
        ("event: head\rdata: a\r\r", vec![head("a")]),
        ("event: head\rdata: a\n\r\n", vec![head("a")]),
        ("\u{feff}event:head\ndata:a\n\n", vec![head("a")]),
        ("\n\u{feff}event:head\ndata:a\n\n", vec![]),
        (": a comment\nevent: head\n:\nretry: 1\ncolour: red\ndata:  a\n\n", vec![head(" a")]),
        ("data: a\nevent: head\n\n", vec![head("a")]),
        ("event: head\ndata\ndata\n\n", vec![head("\n")]),
        ("event: head\nevent: other\ndata: a\n\n", vec![]),
        ("event: head\n\ndata: a\n\n", vec![]),
        ("event: HEAD\ndata: a\n\n", vec![]),
        (" event: head\ndata: a\n\n", vec![]),
        ("event: head\ndata: the end is missing\n", vec![]),
        ("data: a\n\nevent: head\ndata: b\n\n", vec![head("b")]),
    ] {
        assert_eq!(whole(text), Ok(frames), "{text:?}");
    }
}

#[test]
fn what_is_too_long_ends_the_stream() {
    let long = "x".repeat(MAX_HEAD + 1);
    for text in [
        format!("event: head\ndata: {long}\n"),
        format!("event: head\ndata: {}\ndata: {}\n", "x".repeat(MAX_HEAD / 2), "x".repeat(MAX_HEAD / 2)),
        format!(": {long}{long}"),
        format!("data: {long}\n"),
        format!("event: delta\ndata: {long}\nevent: head\n\n"),
        "event: head\n".to_owned() + &"data\n".repeat(MAX_HEAD + 2),
    ] {
        assert_eq!(whole(&text), Err(FrameError::TooLong), "{:.40}", text);
    }
    let fits = format!("event: head\ndata: {}\n\n", "x".repeat(MAX_HEAD));
    assert_eq!(whole(&fits).unwrap().len(), 1);
    let (mut frames, line) = (Frames::default(), vec![b'x'; 1 << 16]);
    let mut error = frames.read(&mut b"event: delta\ndata: ".as_slice()).err();
    let mut sent = 0;
    while error.is_none() {
        error = frames.read(&mut line.as_slice()).err();
        sent += line.len();
        assert!(sent < MAX_FRAME + (1 << 17), "a line without end is cut off");
    }
    assert!(frames.line.capacity() <= 2 * MAX_FRAME);
}

#[test]
fn the_largest_delta_passes_even_when_it_does_not_compress() {
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let bytes: Vec<u8> = (0..MAX_DELTA).map(|_| noise()).collect();
    let frames = whole(&delta(&bytes)).unwrap();
    let Some(Frame::Delta(delta)) = frames.first() else { panic!("no delta") };
    assert_eq!(delta.unpack(MAX_DELTA), Some(bytes));
}

#[test]
fn a_delta_is_written_in_one_way() {
    let hash = "ab".repeat(32);
    for data in [
        format!("7-9-{hash}"),
        format!("07-9-{hash} AAAA"),
        format!("7-+9-{hash} AAAA"),
        format!("7-9-{} AAAA", hash.to_uppercase()),
        format!("7-9-{hash}0 AAAA"),
        format!("7-9-{} AAAA", "ab".repeat(31)),
        format!("7-9-{hash} AAA"),
        format!("7-9-{hash} AAAA AAAA"),
        format!("99999999999999999999-9-{hash} AAAA"),
        "x".to_owned(),
    ] {
        assert_eq!(whole(&format!("event: delta\ndata: {data}\n\n")), Err(FrameError::Malformed), "{data}");
    }
}

#[test]
fn a_bomb_is_not_unpacked() {
    let bomb = gzip(&vec![0; 8 << 20]);
    assert!(bomb.len() < 64 << 10);
    assert_eq!(gunzip(&bomb, 1000), None);
    assert_eq!(gunzip(b"no gzip", 1000), None);
    assert_eq!(gunzip(&gzip(b"cut off")[..12], 1000), None);
}

fn line() -> impl Strategy<Value = String> {
    let text = "[ -~]{0,12}|—|\u{feff}";
    let field = prop::sample::select(vec!["data", "data", "event", "id", "", "other"]);
    prop_oneof![
        6 => (field, prop::sample::select(vec![":", ": ", ":  "]), text).prop_map(|(f, c, v)| format!("{f}{c}{v}")),
        2 => Just("event: head".to_owned()),
        3 => Just(String::new()),
        1 => "[ -~]{0,12}",
    ]
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_events(
        lines in prop::collection::vec((line(), prop::sample::select(vec!["\n", "\r\n", "\r"])), 0..40),
        cuts in prop::collection::vec(any::<Index>(), 0..20),
    ) {
        let text: String = lines.iter().flat_map(|(line, end)| [line.as_str(), end]).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let expected = read(text.as_bytes(), &[]);
        prop_assert_eq!(read(text.as_bytes(), &cuts), expected.clone());
        let every: Vec<usize> = (0..text.len()).collect();
        prop_assert_eq!(read(text.as_bytes(), &every), expected);
    }

    #[test]
    fn any_bytes_end_in_events_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        cuts in prop::collection::vec(0_usize..2000, 0..10),
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        prop_assert_eq!(read(&bytes, &cuts), read(&bytes, &[]));
    }
}
