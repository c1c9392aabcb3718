//! `shortbread keys sign`: signs the next key document, offline.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use shortbread_protocol::key_document::KeyDocument;
use shortbread_protocol::keys::PrivateKey;

use super::generate::passphrase;
use super::{differences, list, say_differences};
use crate::context::Context;
use crate::failure::Failure;
use crate::files;

/// Sign a key document with the offline root key. It needs nothing but the file and that key: no broker, no network.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread keys sign key-document-2.unsigned.txt --root root.pem
  shortbread keys sign key-document-2.unsigned.txt --root root.pem --previous key-document.txt --out signed.txt")]
pub(super) struct SignArgs {
    /// The document that `keys rotate` wrote.
    #[arg(value_name = "FILE")]
    document: PathBuf,
    /// The private root key.
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The signed document before this one: shows what changes, and refuses what must not follow it.
    #[arg(long, value_name = "FILE")]
    previous: Option<PathBuf>,
    /// Where the signed document goes [default: FILE without `.unsigned`]; nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A file that holds the passphrase of the root key [default: SHORTBREAD_KEY_PASSPHRASE].
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Signs it.
///
/// # Errors
/// When the file is no key document, leaves a purpose without a valid key, must not follow the previous one, or is there
/// already.
pub(super) fn run(args: &SignArgs, context: &Context) -> Result<(), Failure> {
    let document = read(&args.document, context.now().seconds())?;
    let root = root(context, &args.root, args.passphrase_file.as_deref())?;
    let previous = args.previous.as_deref().map(|path| previous(path, &document, &root)).transpose()?;
    let out = args.out.clone().unwrap_or_else(|| signed_name(&args.document));
    files::create(&out, document.sign(&root).as_bytes(), false)?;
    if context.ui.is_json() {
        let changes = previous.as_ref().map(|previous| differences(&document, previous));
        context.ui.json(&json!({
            "version": document.version, "issuer": document.issuer, "signed": out, "changes": changes,
            "root": root.public().thumbprint(),
        }));
        return Ok(());
    }
    match &previous {
        Some(previous) => {
            context.ui.heading(&format!(
                "key document {} of {}, against {}",
                document.version, document.issuer, previous.version
            ));
            say_differences(context, &document, previous);
        }
        None => list::say(context, &document, None),
    }
    context.ui.pairs(&[
        ("signed", out.display().to_string()),
        ("root key", root.public().thumbprint()),
        ("next", format!("shortbread keys activate {}", out.display())),
    ]);
    Ok(())
}

/// The private root key.
///
/// # Errors
/// When it cannot be read or its passphrase is another one.
pub(in crate::commands) fn root(
    context: &Context,
    path: &Path,
    file: Option<&Path>,
) -> Result<PrivateKey, Failure> {
    files::private_key(path, passphrase(context, file)?.as_ref())
}

fn read(path: &Path, now: u64) -> Result<KeyDocument, Failure> {
    let fix = "Make it with `shortbread keys rotate`, on the broker's machine.";
    let text = files::read_text(path)?;
    if text.contains("\n\n") {
        let what = format!("{} is signed already, or is no key document", path.display());
        return Err(Failure::new(
            what,
            "Sign the file that ends in .unsigned.txt; put this one in force with `shortbread keys activate`.",
        ));
    }
    let document = KeyDocument::parse(&text)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display()), fix))?;
    document.complete(now).map_err(|error| Failure::new(format!("not signed: {error}"), fix))?;
    Ok(document)
}

fn previous(path: &Path, next: &KeyDocument, root: &PrivateKey) -> Result<KeyDocument, Failure> {
    let fix = "Name the signed document that is in force now.";
    let document = KeyDocument::open(&files::read(path)?, &next.issuer, &root.public())
        .map_err(|error| Failure::new(format!("{}: {error}", path.display()), fix))?;
    next.follows(&document).map_err(|error| Failure::new(format!("not signed: {error}"), fix))?;
    Ok(document)
}

/// `key-document-2.unsigned.txt` -> `key-document-2.txt`; any other name gets `.signed` before its end.
fn signed_name(unsigned: &Path) -> PathBuf {
    let name = unsigned.file_name().and_then(|name| name.to_str()).unwrap_or("key-document");
    let signed = match name.split_once(".unsigned") {
        Some((before, after)) => format!("{before}{after}"),
        None => match name.rsplit_once('.') {
            Some((before, after)) => format!("{before}.signed.{after}"),
            None => format!("{name}.signed"),
        },
    };
    unsigned.with_file_name(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_document_stands_beside_the_unsigned_one() {
        for (unsigned, signed) in [
            ("keys/key-document-2.unsigned.txt", "keys/key-document-2.txt"),
            ("next.txt", "next.signed.txt"),
            ("next", "next.signed"),
        ] {
            assert_eq!(signed_name(Path::new(unsigned)), Path::new(signed));
        }
    }
}
