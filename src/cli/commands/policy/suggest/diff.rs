//! A unified diff of two texts.

use std::fmt::Write as _;

/// Lines around a change.
const AROUND: usize = 3;
/// The most comparisons that are made; beyond, what lies between the first and the last difference is one change.
const MAX_WORK: usize = 4_000_000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Gone,
    New,
}

/// The difference, empty where there is none.
pub(super) fn unified(name: &str, old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let lines = compare(&old, &new);
    let mut out = String::new();
    for hunk in hunks(&lines) {
        if out.is_empty() {
            let _ = writeln!(out, "--- {name}\n+++ {name} (suggested)");
        }
        let before = lines.get(..hunk.start).unwrap_or_default();
        let within = lines.get(hunk.clone()).unwrap_or_default();
        let of = |lines: &[(Kind, &str)], without| lines.iter().filter(|(kind, _)| *kind != without).count();
        let at = |lines, without, many| of(lines, without) + usize::from(many > 0);
        let (gone, come) = (of(within, Kind::New), of(within, Kind::Gone));
        let _ = writeln!(
            out,
            "@@ -{},{gone} +{},{come} @@",
            at(before, Kind::New, gone),
            at(before, Kind::Gone, come)
        );
        for (kind, line) in within {
            let sign = match kind {
                Kind::Same => ' ',
                Kind::Gone => '-',
                Kind::New => '+',
            };
            let _ = writeln!(out, "{sign}{line}");
        }
    }
    out
}

fn compare<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Kind, &'t str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail =
        old.iter().skip(head).rev().zip(new.iter().skip(head).rev()).take_while(|(a, b)| a == b).count();
    let middle = |lines: &[&'t str]| lines.get(head..lines.len() - tail).unwrap_or_default().to_vec();
    let (from, to) = (middle(old), middle(new));
    let mut lines: Vec<(Kind, &str)> = old.iter().take(head).map(|line| (Kind::Same, *line)).collect();
    if from.len().saturating_mul(to.len()) > MAX_WORK {
        lines.extend(from.iter().map(|line| (Kind::Gone, *line)));
        lines.extend(to.iter().map(|line| (Kind::New, *line)));
    } else {
        lines.extend(longest(&from, &to));
    }
    lines.extend(old.iter().skip(old.len() - tail).map(|line| (Kind::Same, *line)));
    lines
}

/// By the longest common subsequence.
fn longest<'t>(from: &[&'t str], to: &[&'t str]) -> Vec<(Kind, &'t str)> {
    let wide = to.len() + 1;
    let mut common = vec![0_u32; (from.len() + 1) * wide];
    let at =
        |common: &[u32], row: usize, column: usize| common.get(row * wide + column).copied().unwrap_or(0);
    for (row, a) in from.iter().enumerate().rev() {
        for (column, b) in to.iter().enumerate().rev() {
            let best = if a == b {
                at(&common, row + 1, column + 1) + 1
            } else {
                at(&common, row + 1, column).max(at(&common, row, column + 1))
            };
            if let Some(cell) = common.get_mut(row * wide + column) {
                *cell = best;
            }
        }
    }
    let (mut row, mut column, mut lines) = (0, 0, Vec::new());
    loop {
        match (from.get(row), to.get(column)) {
            (Some(a), Some(b)) if a == b => {
                lines.push((Kind::Same, *a));
                (row, column) = (row + 1, column + 1);
            }
            (Some(a), b) if b.is_none() || at(&common, row + 1, column) >= at(&common, row, column + 1) => {
                lines.push((Kind::Gone, *a));
                row += 1;
            }
            (_, Some(b)) => {
                lines.push((Kind::New, *b));
                column += 1;
            }
            (_, None) => return lines,
        }
    }
}

fn hunks(lines: &[(Kind, &str)]) -> Vec<std::ops::Range<usize>> {
    let mut hunks: Vec<std::ops::Range<usize>> = Vec::new();
    for at in lines.iter().enumerate().filter(|(_, (kind, _))| *kind != Kind::Same).map(|(at, _)| at) {
        let (start, end) = (at.saturating_sub(AROUND), (at + AROUND + 1).min(lines.len()));
        match hunks.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => hunks.push(start..end),
        }
    }
    hunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_has_what_changed_and_where() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
        assert_eq!(unified("x", old, old), "");
        assert_eq!(
            unified("x", old, "a\nb\nc\nd\nE\nf\ng\nh\ni\n"),
            "--- x\n+++ x (suggested)\n@@ -2,7 +2,8 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n+i\n"
        );
        assert_eq!(unified("x", "", "a\n"), "--- x\n+++ x (suggested)\n@@ -0,0 +1,1 @@\n+a\n");
    }
}
