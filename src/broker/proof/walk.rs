//! The walk along the lines of an export and the leaves of its proof.

use std::collections::{HashMap, VecDeque};
use std::io::BufRead;

use shortbread_protocol::event::MAX_ENTRY;

use super::align::{AHEAD, Gap, gap};
use super::file::{Proof, ProofError};
use super::growth::Growth;
use super::lines::{Line, Lines};
use super::report::{Fault, Finding, Named};
use super::restored::{self, Restore};
use super::tree::{self, Hash};

/// How many damages are described; all are counted.
const DESCRIBED: usize = 100;
/// How many entries lie between two words about how far it is.
const STEP: u64 = 1 << 16;

/// Both sides, and what was found.
pub(super) struct Walk<E, P> {
    pub(super) sides: Sides<E, P>,
    pub(super) tree: Growth,
    pub(super) findings: Vec<Finding>,
    // For each finding of one line or one entry: the line's hash and the leaf.
    hashes: Vec<(Option<Hash>, Option<Hash>)>,
    pub(super) damages: u64,
    pub(super) last: Option<Named>,
    before: Line,
    pub(super) lines: u64,
    pub(super) restores: Vec<Restore>,
}

impl<E: BufRead, P: BufRead> Walk<E, P> {
    /// At the beginning of both.
    pub(super) fn new(export: E, proof: Proof<P>, tree: Growth) -> Self {
        Self {
            sides: Sides::new(export, proof),
            tree,
            findings: Vec::new(),
            hashes: Vec::new(),
            damages: 0,
            last: None,
            before: Line::default(),
            lines: 0,
            restores: Vec::new(),
        }
    }

    /// Walks to the end of both.
    ///
    /// # Errors
    /// When a file is not read, or the proof is none.
    pub(super) fn run(&mut self, tell: &mut dyn FnMut(u64, u64)) -> Result<(), ProofError> {
        let (first, all) = (self.tree.range.size(), self.sides.proof.head.next);
        let mut spare = Vec::new();
        loop {
            let done = self.tree.range.size();
            if (done - first) & (STEP - 1) == 0 {
                tell(done - first, all - first);
            }
            let (line, leaf) = (self.sides.line(spare)?, self.sides.leaf()?);
            spare = match (line, leaf) {
                (Some(line), Some(leaf)) if line.hash == leaf => self.stands(line),
                (None, None) => break,
                (line, leaf) => {
                    line.into_iter().for_each(|line| self.sides.ahead.push_front(line));
                    leaf.into_iter().for_each(|leaf| self.sides.leaves.push_front(leaf));
                    self.differs()?;
                    Vec::new()
                }
            };
        }
        self.last = self.before.named();
        self.pair();
        Ok(())
    }

    /// A line as it was logged; answers a buffer that is free.
    fn stands(&mut self, line: Line) -> Vec<u8> {
        restored::note(&mut self.restores, self.tree.range.size(), &line.text);
        self.tree.push(line.hash, Some(&line));
        if let Some(range) = &mut self.tree.by_lines {
            range.push(line.hash);
        }
        self.lines = line.number;
        std::mem::replace(&mut self.before, line).text
    }

    fn differs(&mut self) -> Result<(), ProofError> {
        let over = self.sides.fill()?;
        if self.tree.by_lines.is_none() {
            self.tree.by_lines = Some(self.tree.range.clone());
        }
        let hashes: Vec<Hash> = self.sides.ahead.iter().map(|line| line.hash).collect();
        let leaves: Vec<Hash> = self.sides.leaves.iter().copied().collect();
        if hashes.is_empty() || leaves.is_empty() {
            return self.ends();
        }
        let Gap { lines, leaves: entries } = gap(&hashes, &leaves, over);
        let lines: Vec<Line> = self.sides.ahead.drain(..lines).collect();
        let leaves: Vec<Hash> = self.sides.leaves.drain(..entries).collect();
        self.damaged(&lines, &leaves);
        self.pass(&lines, &leaves);
        Ok(())
    }

    /// One side is over: whatever the other still has is too much or missing.
    fn ends(&mut self) -> Result<(), ProofError> {
        let (place, number) = (self.tree.range.size(), self.lines + 1);
        let (mut entries, mut lines, mut claims) = (0, 0, None);
        while let Some(leaf) = self.sides.leaf()? {
            entries += 1;
            self.tree.push(leaf, None);
        }
        let mut spare = Vec::new();
        while let Some(line) = self.sides.line(spare)? {
            lines += 1;
            self.lines = line.number;
            claims = claims.or_else(|| line.named());
            self.tree.by_lines.iter_mut().for_each(|range| range.push(line.hash));
            spare = line.text;
        }
        let fault = if entries > 0 { Fault::Cut } else { Fault::Inserted };
        let finding = Finding {
            fault,
            place,
            entries,
            line: number,
            lines,
            after: self.before.named(),
            claims,
            belongs: None,
            hint: None,
        };
        self.record(finding, (None, None));
        Ok(())
    }

    fn damaged(&mut self, lines: &[Line], leaves: &[Hash]) {
        let first = lines.first();
        let finding = Finding {
            fault: fault(lines, leaves),
            place: self.tree.range.size(),
            entries: leaves.len() as u64,
            line: first.map_or(self.lines + 1, |line| line.number),
            lines: lines.len() as u64,
            after: self.before.named(),
            claims: first.and_then(Line::named),
            belongs: None,
            hint: first.and_then(|line| hint(line, leaves.first())),
        };
        let one = |count: usize| count <= 1;
        let single = one(lines.len()) && one(leaves.len());
        let hashes = (first.map(|line| line.hash), leaves.first().copied());
        self.record(finding, if single { hashes } else { (None, None) });
    }

    fn record(&mut self, finding: Finding, hashes: (Option<Hash>, Option<Hash>)) {
        self.damages += 1;
        if self.findings.len() < DESCRIBED {
            self.findings.push(finding);
            self.hashes.push(hashes);
        }
    }

    fn pass(&mut self, lines: &[Line], leaves: &[Hash]) {
        for (at, leaf) in leaves.iter().enumerate() {
            self.tree.push(*leaf, lines.get(at));
        }
        for line in lines {
            self.lines = line.number;
            self.tree.by_lines.iter_mut().for_each(|range| range.push(line.hash));
        }
    }

    // A line that was moved far away is a change or an insertion here and a change or a removal there.
    fn pair(&mut self) {
        let places: HashMap<Hash, u64> = self
            .findings
            .iter()
            .zip(&self.hashes)
            .filter_map(|(finding, (_, leaf))| Some(((*leaf)?, finding.place)))
            .collect();
        for (finding, (line, _)) in self.findings.iter_mut().zip(&self.hashes) {
            finding.belongs = line.and_then(|line| places.get(&line).copied());
            if finding.belongs.is_some() {
                finding.fault = Fault::Reordered;
            }
        }
    }
}

/// Lines and leaves, and what was read ahead of them.
pub(super) struct Sides<E, P> {
    lines: Lines<E>,
    pub(super) proof: Proof<P>,
    ahead: VecDeque<Line>,
    leaves: VecDeque<Hash>,
}

impl<E: BufRead, P: BufRead> Sides<E, P> {
    fn new(export: E, proof: Proof<P>) -> Self {
        Self { lines: Lines::new(export), proof, ahead: VecDeque::new(), leaves: VecDeque::new() }
    }

    fn line(&mut self, old: Vec<u8>) -> Result<Option<Line>, ProofError> {
        match self.ahead.pop_front() {
            Some(line) => Ok(Some(line)),
            None => Ok(self.lines.next(old)?),
        }
    }

    fn leaf(&mut self) -> Result<Option<Hash>, ProofError> {
        match self.leaves.pop_front() {
            Some(leaf) => Ok(Some(leaf)),
            None => self.proof.leaf(),
        }
    }

    /// Reads ahead; answers whether lines and leaves end there.
    fn fill(&mut self) -> Result<(bool, bool), ProofError> {
        let mut over = (false, false);
        while self.ahead.len() < AHEAD && !over.0 {
            match self.lines.next(Vec::new())? {
                Some(line) => self.ahead.push_back(line),
                None => over.0 = true,
            }
        }
        while self.leaves.len() < AHEAD && !over.1 {
            match self.proof.leaf()? {
                Some(leaf) => self.leaves.push_back(leaf),
                None => over.1 = true,
            }
        }
        Ok(over)
    }
}

fn fault(lines: &[Line], leaves: &[Hash]) -> Fault {
    let mut found: Vec<Hash> = lines.iter().map(|line| line.hash).collect();
    let mut wanted = leaves.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    match (lines.len(), leaves.len()) {
        (0, _) => Fault::Removed,
        (_, 0) => Fault::Inserted,
        (a, b) if a != b => Fault::Replaced,
        _ if found == wanted => Fault::Reordered,
        _ => Fault::Changed,
    }
}

fn hint(line: &Line, leaf: Option<&Hash>) -> Option<&'static str> {
    if line.text.len() > MAX_ENTRY {
        return Some("it is longer than any entry");
    }
    let bare = line.text.strip_suffix(b"\r")?;
    (leaf == Some(&tree::leaf(bare)))
        .then_some("only the end of the line was changed (CR LF): export again, or turn the line ends back")
}
