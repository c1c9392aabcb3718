//! How deep a TOML text nests, found without building anything. The TOML reader bounds brackets and dotted
//! keys each on their own; multiplied they still make a tree too deep for a thread's stack.

/// Deeper than any policy needs, and far from the end of any stack.
const MAX: usize = 40;

/// Where the text nests too deep, as an offset in bytes. In doubt, as in broken text, it counts too much.
pub(super) fn too_deep(text: &str) -> Option<usize> {
    let mut scan = Scan { rest: text.as_bytes(), open: Vec::new(), depth: 0, path: 0 };
    loop {
        let at = text.len() - scan.rest.len();
        match scan.rest.first() {
            None => return None,
            Some(byte) => scan.token(*byte),
        }
        if scan.depth + scan.path > MAX {
            return Some(at);
        }
    }
}

struct Scan<'a> {
    rest: &'a [u8],
    /// The open brackets, each with the levels it adds.
    open: Vec<(u8, usize)>,
    depth: usize,
    /// The dots of the key that is being read.
    path: usize,
}

impl Scan<'_> {
    fn token(&mut self, byte: u8) {
        match byte {
            b'#' => self.skip_to(|b| b == b'\n' || b == b'\r'),
            b'"' | b'\'' => self.string(byte),
            b'[' | b'{' => {
                let levels = self.path + 1;
                self.open.push((byte, levels));
                self.depth += levels;
                self.path = 0;
                self.skip(1);
            }
            b']' | b'}' => {
                self.close(if byte == b']' { b'[' } else { b'{' });
                self.skip(1);
            }
            b'.' => {
                self.path += 1;
                self.skip(1);
            }
            b',' | b'\n' => {
                if byte == b',' || self.open.is_empty() {
                    self.path = 0;
                }
                self.skip(1);
            }
            b'=' | b' ' | b'\t' | b'\r' => self.skip(1),
            // A bare word; a quote inside it opens no string.
            _ => self.skip_to(|b| b".=,[]{} \t#\r\n".contains(&b)),
        }
    }

    fn close(&mut self, opener: u8) {
        if let Some((_, levels)) = self.open.pop_if(|(open, _)| *open == opener) {
            self.depth -= levels;
            self.path = 0;
        }
    }

    fn string(&mut self, quote: u8) {
        let triple = [quote; 3];
        let long = self.rest.starts_with(&triple);
        self.skip(if long { 3 } else { 1 });
        while let Some(byte) = self.rest.first() {
            match *byte {
                b'\\' if quote == b'"' => self.skip(self.escape()),
                b'\n' if !long => return,
                b if b == quote && !long => return self.skip(1),
                b if b == quote && self.rest.starts_with(&triple) => {
                    // Up to two more quotes belong to the string.
                    let quotes = self.rest.iter().take(5).take_while(|b| **b == quote).count();
                    return self.skip(quotes);
                }
                _ => self.skip(1),
            }
        }
    }

    /// The length of the escape at the front, as far as it matters to where the string ends.
    fn escape(&self) -> usize {
        if matches!(self.rest.get(1), Some(b'\\' | b'"')) { 2 } else { 1 }
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn skip_to(&mut self, stop: impl Fn(u8) -> bool) {
        let count = self.rest.iter().position(|b| stop(*b)).unwrap_or(self.rest.len());
        self.skip(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_do_not_nest() {
        let dots = ".[{".repeat(100);
        for text in [
            format!("a = \"{dots}\""),
            format!("a = '{dots}'"),
            format!("a = \"\"\"\n\\\"\"\"{dots}\"\"\"\"\nb = 1"),
            format!("a = '''\n{dots}''''\n"),
            format!("# {dots}"),
            "a.b.c = [1.5, 2.5]\n".repeat(500),
            "[a.b]\n".repeat(500),
        ] {
            assert_eq!(too_deep(&text), None, "{text}");
        }
    }

    #[test]
    fn depth_is_found_however_it_is_made() {
        for text in [
            "[".repeat(41),
            "{".repeat(41),
            ".".repeat(41),
            "a = {b.c.d=".repeat(14),
            "a\"[".repeat(41),
            "\"x\n[".repeat(41),
            "'x\n{]".repeat(41),
            "{a = '''x'''', b = [".repeat(21),
        ] {
            assert!(too_deep(&text).is_some(), "{text}");
        }
    }
}
