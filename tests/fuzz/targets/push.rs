//! What a broker pushes: a stream of events, cut up as the network likes.

use shortbread_protocol::revocations::{DeltaRef, FileRef, MAX_HEAD};
use shortbread_verifier::feed::{Frame, Frames};

/// The first byte says where the rest is cut.
pub(super) fn stream(data: &[u8]) {
    let Some((cut, text)) = data.split_first() else { return };
    let every = usize::from(*cut).max(1);
    let mut frames = Frames::default();
    let cut: Result<Vec<Frame>, _> = all(&mut frames, text.chunks(every));
    let whole = all(&mut Frames::default(), std::iter::once(text));
    assert_eq!(cut, whole, "where it is cut makes no difference");
    for frame in whole.into_iter().flatten() {
        match frame {
            Frame::Head(head) => assert!(head.len() <= MAX_HEAD),
            Frame::Delta(delta) => {
                let unpacked = delta.unpack(1000);
                assert!(unpacked.is_none_or(|bytes| bytes.len() <= 1000), "no more than is asked for");
                let named = FileRef { seq: u64::MAX, sha256: [1; 32], bytes: 1 };
                assert!(!delta.is(&DeltaRef { from: u64::MAX, to: named }), "nobody names this one");
            }
        }
    }
}

fn all<'a>(
    frames: &mut Frames,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Frame>, shortbread_verifier::feed::FrameError> {
    let mut read = Vec::new();
    for mut piece in pieces {
        while let Some(frame) = frames.read(&mut piece)? {
            read.push(frame);
        }
        assert!(piece.is_empty(), "all is taken before more is asked for");
    }
    Ok(read)
}

pub(super) fn streams() -> Vec<Vec<u8>> {
    // `bytes` in gzip.
    let gzip = "H4sIAAAAAAACA0uqLEktBgDOQ5mxBQAAAA==";
    let hash = "ab".repeat(32);
    let text = format!(
        ": hello\r\nretry: 250\n\nevent: head\nid: 9\ndata: a\ndata:\ndata: b\n\nevent: delta\ndata: 7-9-{hash} {gzip}\n\n"
    );
    vec![[&[7], text.as_bytes()].concat(), [&[0], "\u{feff}event:head\rdata:x\r\r".as_bytes()].concat()]
}
