//! Why a configuration is refused.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {cause}; name another with --config")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Not TOML of this form.
    #[error("{path}:{line}: {cause}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
        /// What is wrong, as the parser says.
        cause: String,
    },
    /// A value that cannot be.
    #[error("{path}: {cause}")]
    Value {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to write instead.
        cause: String,
    },
}

impl ConfigError {
    pub(super) fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        // Something that is missing has no place of its own.
        let before = text.bytes().take(error.span().map_or(0, |span| span.start));
        let line = before.filter(|b| *b == b'\n').count() + 1;
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        // A value that is wrong is told by its key, which is what one looks for in the file.
        let key = text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
        let cause = match key {
            Some(key) if error.span().is_some() && !message.contains(key) => format!("{key}: {message}"),
            _ => message,
        };
        Self::Malformed { path: path.to_owned(), line, cause }
    }
}
