//! Pages of an export: raw lines, and in headers which places they are.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use shortbread_protocol::admin::{EXPORT_END, EXPORT_FROM, EXPORT_NEXT};

use super::Answer;
use crate::failure::Failure;

/// The most bytes of a page: the broker's 8 MiB and one entry more.
pub(super) const MAX_PAGE: usize = 9 * 1024 * 1024;

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The place of the first line.
    pub(crate) from: u64,
    /// The place after the last line.
    pub(crate) next: u64,
    /// The place after the last entry that was asked for.
    pub(crate) end: u64,
    /// The lines, each with its end.
    pub(crate) lines: Vec<u8>,
}

impl Page {
    /// Reads an answer; with `Err` how long to wait before asking again.
    pub(super) fn of((answer, headers): (Answer, HeaderMap)) -> Result<Result<Self, Duration>, Failure> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
        if answer.status == 429 {
            let wait = number(RETRY_AFTER.as_str()).unwrap_or(1).clamp(1, 60);
            return Ok(Err(Duration::from_secs(wait)));
        }
        answer.success()?;
        let places = number(EXPORT_FROM).zip(number(EXPORT_NEXT)).zip(number(EXPORT_END));
        let ((from, next), end) =
            places.ok_or_else(|| answer.strange("it does not say which places it has"))?;
        let lines = answer.body.iter().filter(|byte| **byte == b'\n').count() as u64;
        let whole = answer.body.last().is_none_or(|byte| *byte == b'\n');
        if next.checked_sub(from) != Some(lines) || !whole {
            return Err(answer.strange("it has not the places that it says"));
        }
        Ok(Ok(Self { from, next, end, lines: answer.body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str, places: &[(&'static str, &'static str)]) -> (Answer, HeaderMap) {
        let headers = places.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        (Answer { status, date: None, body: body.as_bytes().to_vec() }, headers.collect())
    }

    #[test]
    fn a_page_has_as_many_lines_as_it_says() {
        let places = [("shortbread-from", "3"), ("shortbread-next", "5"), ("shortbread-end", "9")];
        let page = Page::of(answer(200, "{}\n{}\n", &places)).unwrap().unwrap();
        assert_eq!((page.from, page.next, page.end), (3, 5, 9));
        for body in ["{}\n", "{}\n{}", "{}\n{}\n{}\n", "{}\n{}\n{}"] {
            assert!(Page::of(answer(200, body, &places)).is_err(), "{body:?}");
        }
        assert!(Page::of(answer(200, "", &places[..2])).is_err());
        assert!(Page::of(answer(404, "", &places)).is_err());
        let wait = Page::of(answer(429, "", &[("retry-after", "7")])).unwrap().unwrap_err();
        assert_eq!(wait, Duration::from_secs(7));
    }
}
