//! The check: lines against leaves, leaves against checkpoints, checkpoints against keys.

use std::collections::{HashMap, VecDeque};
use std::io::BufRead;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::keys::PublicKey;

use super::align::{AHEAD, Gap, gap};
use super::checkpoint::{Claim, Held};
use super::file::{Proof, ProofError, Tail, keys_of};
use super::lines::{Line, Lines};
use super::report::{Fault, Finding, Mark, Named, Outside, Report};
use super::tree::{Hash, Range};

/// How many damages are described; all are counted.
const DESCRIBED: usize = 100;
/// How many entries lie between two words about how far it is.
const STEP: u64 = 1 << 16;

/// What vouches for a checkpoint.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The root key: the key documents in the proof that it signed name the audit keys.
    Root(PublicKey),
    /// The audit key itself.
    Audit(PublicKey),
}

/// Checks an export against its proof and against checkpoints that were kept outside. `wanted` is the log's origin, where
/// it is known; `tell` hears how many of how many entries were read.
///
/// # Errors
/// When nothing can be told: a file is not read, or the proof is none, of another log, or without keys that the root
/// vouches for.
pub fn verify(
    export: impl BufRead,
    proof: impl BufRead,
    trust: &Trust,
    held: &[Held],
    wanted: Option<&str>,
    tell: &mut dyn FnMut(u64, u64),
) -> Result<Report, ProofError> {
    let proof = Proof::open(proof)?;
    let head = proof.head.clone();
    if let Some(wanted) = wanted.filter(|wanted| *wanted != head.origin) {
        return Err(ProofError::Origin { found: head.origin, wanted: wanted.to_owned() });
    }
    // The head is only opened with both.
    let (before, after) = head.around().unwrap_or_default();
    let mut check = Check::new(
        Sides { lines: Lines::new(export), proof, ahead: VecDeque::new(), leaves: VecDeque::new() },
        Tree::new(before, held),
    );
    check.run(tell)?;
    let Check { sides, mut tree, findings, damages, last, lines, .. } = check;
    after.into_iter().for_each(|(level, root)| tree.join(level, root));
    let tail = sides.proof.tail()?;
    let keys = Keys::of(trust, &tail, &head.origin)?;
    let newest = Claim::open(&tail.checkpoint, &head.origin, &keys.newest);
    let newest = newest.and_then(|claim| match claim.size == head.size {
        true => Ok(claim),
        false => Err(super::CheckpointError::Line("size: the proof says another, and it")),
    });
    let signed = newest
        .as_ref()
        .ok()
        .map(|claim| claim.root)
        .or_else(|| Claim::read(&tail.checkpoint).ok().map(|claim| claim.root));
    let outside = tree.outside(held, &head.origin, &keys.all, head.size, signed.filter(|_| newest.is_ok()));
    let root = signed == Some(tree.range.root());
    let lines_root = damages > 0 && tree.by_lines.is_some_and(|range| signed == Some(range.root()));
    Ok(Report {
        origin: head.origin,
        first: head.first,
        next: head.next,
        size: head.size,
        lines,
        keys: keys.version,
        findings,
        damages,
        unsigned: newest.err().map(|error| error.to_string()),
        root,
        lines_root,
        outside,
        last,
    })
}

/// The audit keys: of the newest key document for the newest checkpoint, of all for older ones.
struct Keys {
    newest: Vec<PublicKey>,
    all: Vec<PublicKey>,
    version: Option<u64>,
}

impl Keys {
    fn of(trust: &Trust, tail: &Tail, log: &str) -> Result<Self, ProofError> {
        match trust {
            Trust::Audit(key) => Ok(Self { newest: vec![*key], all: vec![*key], version: None }),
            Trust::Root(root) => {
                let (document, all) = keys_of(&tail.keys, root, log)?;
                let audit = document.of(shortbread_protocol::key_document::KeyPurpose::Audit);
                Ok(Self { newest: audit.map(|key| key.key).collect(), all, version: Some(document.version) })
            }
        }
    }
}

/// Lines and leaves, and what was read ahead of them.
struct Sides<E, P> {
    lines: Lines<E>,
    proof: Proof<P>,
    ahead: VecDeque<Line>,
    leaves: VecDeque<Hash>,
}

impl<E: BufRead, P: BufRead> Sides<E, P> {
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

/// The tree as it grows over the leaves, and what checkpoints say of it on the way.
struct Tree {
    range: Range,
    // Over the lines themselves, once they differ from the leaves.
    by_lines: Option<Range>,
    // By size and root: whether it fits, where the log was that long.
    roots: Vec<(u64, Option<Hash>)>,
    at: usize,
    marks: HashMap<u64, (Option<Named>, Option<Named>)>,
    open: Option<u64>,
}

impl Tree {
    fn new(range: Range, held: &[Held]) -> Self {
        let mut sizes: Vec<u64> = held.iter().map(|held| held.claim.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let at = sizes.partition_point(|size| *size < range.size());
        let roots = sizes.into_iter().map(|size| (size, None)).collect();
        let mut tree = Self { range, by_lines: None, roots, at, marks: HashMap::new(), open: None };
        tree.note(None);
        tree
    }

    /// One more leaf, and the line that it stands for.
    fn push(&mut self, leaf: Hash, line: Option<&Line>) {
        self.range.push(leaf);
        if let Some(size) = self.open.take() {
            let next = line.and_then(Line::named);
            self.marks.entry(size).and_modify(|mark| mark.1 = next);
        }
        self.note(line);
    }

    fn join(&mut self, level: u32, root: Hash) {
        for range in [Some(&mut self.range), self.by_lines.as_mut()].into_iter().flatten() {
            range.join(level, root);
        }
        // Inside of a subtree no size can be told; at its end one can.
        while self.roots.get(self.at).is_some_and(|(size, _)| *size < self.range.size()) {
            self.at += 1;
        }
        self.note(None);
    }

    // The root over as many entries as a checkpoint speaks of.
    fn note(&mut self, line: Option<&Line>) {
        let size = self.range.size();
        if let Some((_, root)) = self.roots.get_mut(self.at).filter(|(wanted, _)| *wanted == size) {
            *root = Some(self.range.root());
            self.at += 1;
            self.marks.insert(size, (line.and_then(Line::named), None));
            self.open = Some(size);
        }
    }

    /// Holds the checkpoints against the roots.
    fn outside(
        &mut self,
        held: &[Held],
        log: &str,
        keys: &[PublicKey],
        size: u64,
        newest: Option<Hash>,
    ) -> Outside {
        let mut outside = Outside { given: held.len() as u64, ..Outside::default() };
        let mut signed: HashMap<u64, Hash> = newest.map(|root| (size, root)).into_iter().collect();
        for one in held {
            let claim = match Claim::open(&one.note, log, keys) {
                Ok(claim) => claim,
                Err(error) => {
                    let (count, _) = outside.unsigned.get_or_insert_with(|| (0, foreign(one, log, &error)));
                    *count += 1;
                    continue;
                }
            };
            if *signed.entry(claim.size).or_insert(claim.root) != claim.root
                && !outside.forks.contains(&claim.size)
            {
                outside.forks.push(claim.size);
            }
            if claim.size > size {
                outside.beyond = outside.beyond.max(Some(claim.size));
            }
            self.hold(&mut outside, &claim, one.at);
        }
        outside
    }

    fn hold(&mut self, outside: &mut Outside, claim: &Claim, at: Option<Timestamp>) {
        let place = self.roots.binary_search_by_key(&claim.size, |(size, _)| *size);
        let root = place.ok().and_then(|place| self.roots.get(place)?.1);
        // No tree has another root over nothing, so that one says nothing.
        let Some(root) = root.filter(|_| claim.size > 0) else { return };
        outside.compared += 1;
        let (last, next) = self.marks.get(&claim.size).cloned().unwrap_or_default();
        let mark = Mark { size: claim.size, last, next, at };
        let fits = root == claim.root;
        outside.failed += u64::from(!fits);
        let (slot, better): (_, fn(&Mark, &Mark) -> bool) = if fits {
            (&mut outside.last_match, |new, old| new.size > old.size)
        } else {
            (&mut outside.first_failure, |new, old| new.size < old.size)
        };
        if slot.as_ref().is_none_or(|old| better(&mark, old)) {
            *slot = Some(mark);
        }
    }
}

fn foreign(held: &Held, log: &str, error: &super::CheckpointError) -> String {
    if held.claim.origin == log {
        return format!("{error} (over {} entries)", held.claim.size);
    }
    let origin: String = held.claim.origin.chars().take(100).collect();
    format!("it is of another log, {origin}")
}

/// The walk along both sides.
struct Check<E, P> {
    sides: Sides<E, P>,
    tree: Tree,
    findings: Vec<Finding>,
    // For each finding of one line or one entry: the line's hash and the leaf.
    hashes: Vec<(Option<Hash>, Option<Hash>)>,
    damages: u64,
    last: Option<Named>,
    before: Line,
    lines: u64,
}

impl<E: BufRead, P: BufRead> Check<E, P> {
    fn new(sides: Sides<E, P>, tree: Tree) -> Self {
        Self {
            sides,
            tree,
            findings: Vec::new(),
            hashes: Vec::new(),
            damages: 0,
            last: None,
            before: Line::default(),
            lines: 0,
        }
    }

    fn run(&mut self, tell: &mut dyn FnMut(u64, u64)) -> Result<(), ProofError> {
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
        self.sides.leaves.make_contiguous();
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
    if line.text.len() > shortbread_protocol::event::MAX_ENTRY {
        return Some("it is longer than any entry");
    }
    let bare = line.text.strip_suffix(b"\r")?;
    (leaf == Some(&super::tree::leaf(bare)))
        .then_some("only the end of the line was changed (CR LF): export again, or turn the line ends back")
}
