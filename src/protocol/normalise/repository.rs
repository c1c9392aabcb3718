//! Repositories: `owner/name`, in lower case, as code hosting services compare them.

use super::Refused;

/// The longest, in bytes.
const MAX: usize = 256;

pub(super) fn read(text: &str) -> Result<String, Refused> {
    const FORM: Refused = Refused("is not of the form owner/name");
    if text.len() > MAX {
        return Err(FORM);
    }
    let lower = text.to_ascii_lowercase();
    let (owner, name) = lower.split_once('/').ok_or(FORM)?;
    let name = name.strip_suffix(".git").unwrap_or(name);
    // A second one would leave a name that is read differently when it is read again.
    if [owner, name].into_iter().all(is_part) && !name.ends_with(".git") {
        Ok(format!("{owner}/{name}"))
    } else {
        Err(FORM)
    }
}

fn is_part(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    part.bytes().all(plain) && !part.starts_with('-') && !part.bytes().all(|byte| byte == b'.')
}
