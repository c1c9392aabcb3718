//! The measured table in a README: what stands between two marks.

use std::fs::{read_to_string, write};
use std::path::Path;

use crate::Outcome;

/// Replaces what stands between the marks of a group.
///
/// # Errors
/// When the file or its marks are missing; nothing is written then.
pub fn replace(file: &Path, group: &str, table: &str) -> Outcome<()> {
    let (begin, end) = (format!("<!-- bench:{group}:begin -->\n"), format!("<!-- bench:{group}:end -->"));
    let readme = read_to_string(file)?;
    let missing = || format!("{}: the marks {} and {end} are missing", file.display(), begin.trim_end());
    let (before, rest) = readme.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(write(file, format!("{before}{begin}\n{table}\n{end}{after}"))?)
}
