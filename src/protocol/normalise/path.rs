//! Absolute paths: dots resolved by their text alone, every trick that another reader might see through refused.

use super::Refused;
use super::percent::decoded;

/// The path with its dots resolved and one slash at its end.
///
/// # Errors
/// When it is not absolute, leaves the root, or could mean something else to another reader.
pub(super) fn read(text: &str) -> Result<String, Refused> {
    text.chars().try_for_each(character)?;
    percent(text)?;
    let rest = match text.strip_prefix('/') {
        Some(rest) if rest.starts_with('/') => return Err(Refused("starts with two slashes")),
        Some(rest) => rest,
        None => return Err(Refused("is not an absolute path")),
    };
    let (mut kept, mut back) = (Vec::<&str>::new(), false);
    for segment in rest.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                let name = kept.pop().ok_or(Refused("leaves the root"))?;
                // In a URL the path ends at such a name, so that nothing steps back over it.
                if name.contains(['?', '#', ';', '%']) {
                    return Err(Refused("steps back over a part with a question mark, #, ; or percent sign"));
                }
                back = true;
            }
            dots if is_dots(dots) => return Err(Refused("has a part of dots and spaces alone")),
            name => kept.push(name),
        }
    }
    // In a URL what is between two slashes is a part like any other, and `..` steps back over that alone.
    if back && rest.contains("//") {
        return Err(Refused("steps back and has two slashes in a row"));
    }
    if kept.first().is_some_and(|first| is_drive(first)) {
        return Err(Refused("names a drive"));
    }
    let mut path = String::with_capacity(text.len() + 1);
    path.push('/');
    for name in kept {
        path.push_str(name);
        path.push('/');
    }
    Ok(path)
}

// To some systems `...`, `.. ` and `..;x` are one or several of `.` and `..`.
fn is_dots(part: &str) -> bool {
    let name = part.split(';').next().unwrap_or_default();
    !name.is_empty() && name.chars().all(|c| c == '.' || c.is_whitespace())
}

fn is_drive(first: &str) -> bool {
    matches!(first.as_bytes(), [letter, b':' | b'|', ..] if letter.is_ascii_alphabetic())
}

fn character(c: char) -> Result<(), Refused> {
    match c {
        '\\' => Err(Refused("has a backslash")),
        c if c.is_control() => Err(Refused("has a control character")),
        // What compatibility normalisation (NFKC), a code page (the yen and won signs), or a person takes for dots,
        // slashes, backslashes or percent signs.
        '\u{a5}'
        | '\u{20a9}'
        | '\u{2024}'..='\u{2026}'
        | '\u{2044}'
        | '\u{2100}'
        | '\u{2101}'
        | '\u{2105}'
        | '\u{2106}'
        | '\u{2215}'
        | '\u{2216}'
        | '\u{29f5}'
        | '\u{29f8}'
        | '\u{29f9}'
        | '\u{3002}'
        | '\u{fe19}'
        | '\u{fe30}'
        | '\u{fe52}'
        | '\u{fe68}'
        | '\u{fe6a}'
        | '\u{ff05}'
        | '\u{ff0e}'
        | '\u{ff0f}'
        | '\u{ff3c}'
        | '\u{ff61}'
        | '\u{ffe5}'
        | '\u{ffe6}' => Err(Refused("has a character that looks like a dot, a slash or a percent sign")),
        // What some file systems and every screen leave out.
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => Err(Refused("has a character that cannot be seen")),
        _ => Ok(()),
    }
}

/// A percent sign is a plain character of a file name, but to whoever decodes it, it must not turn into a dot, a slash,
/// a backslash, a control character, or a byte that is no ASCII (overlong, or a lookalike).
fn percent(text: &str) -> Result<(), Refused> {
    if !text.contains('%') {
        return Ok(());
    }
    let plain = decoded(text, |byte| (0x20..0x7f).contains(&byte) && !b"./\\".contains(&byte))?;
    // `%u002e` is a dot to some.
    if plain.windows(2).any(|pair| pair.eq_ignore_ascii_case(b"%u")) {
        return Err(Refused("is percent-encoded where it must not be"));
    }
    Ok(())
}
