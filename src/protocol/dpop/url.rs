//! Whether two URLs are the same request target: scheme and host without case, default ports left out, query and
//! fragment not counted (RFC 9449, section 4.3; RFC 3986, section 6.2). The path is compared byte by byte.

/// Whether both name the same target. A text that is no `http` or `https` URL is the same as nothing.
pub(super) fn same(a: &str, b: &str) -> bool {
    match (Target::read(a), Target::read(b)) {
        (Some(a), Some(b)) => a.is(&b),
        _ => false,
    }
}

struct Target<'a> {
    scheme: &'a str,
    authority: &'a str,
    path: &'a str,
}

impl<'a> Target<'a> {
    fn read(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let port = if scheme.eq_ignore_ascii_case("https") {
            ":443"
        } else if scheme.eq_ignore_ascii_case("http") {
            ":80"
        } else {
            return None;
        };
        let rest = rest.split(['?', '#']).next()?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let authority = authority.strip_suffix(port).unwrap_or(authority);
        let sound = !authority.is_empty() && authority.bytes().all(|b| b.is_ascii_graphic() && b != b'@');
        sound.then_some(Self { scheme, authority, path: if path.is_empty() { "/" } else { path } })
    }

    fn is(&self, other: &Self) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.authority.eq_ignore_ascii_case(other.authority)
            && self.path == other.path
    }
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn spellings_of_one_target_are_the_same() {
        for (a, b) in [
            ("https://tools.acme.example/github", "HTTPS://Tools.acme.example:443/github?x=1#y"),
            ("http://127.0.0.1:8700/", "http://127.0.0.1:8700"),
            ("http://[::1]:80/a", "http://[::1]/a"),
        ] {
            assert!(same(a, b), "{a} {b}");
        }
    }

    #[test]
    fn other_targets_are_not() {
        let ours = "https://tools.acme.example/github";
        for other in [
            "",
            "tools.acme.example/github",
            "http://tools.acme.example/github",
            "https://tools.acme.example/Github",
            "https://tools.acme.example/github/",
            "https://tools.acme.example/%67ithub",
            "https://tools.acme.example:8443/github",
            "https://tools.acme.example@evil.example/github",
            "https://x@tools.acme.example/github",
            "https://evil.example/tools.acme.example/github",
            "https:///github",
            "javascript://tools.acme.example/github",
        ] {
            assert!(!same(ours, other) && !same(other, ours), "{other}");
        }
        assert!(!same("", ""));
    }
}
