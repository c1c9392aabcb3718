//! `shortbread break-glass`: stops everything with the offline root key, when the broker is gone or stolen.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use shortbread_broker::config::check_issuer;
use shortbread_protocol::clock::{FOREVER, Timestamp};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::revocations::{BreakGlass, origin};

use super::keys::root;
use crate::config::{ClientConfig, Settings};
use crate::context::Context;
use crate::failure::Failure;
use crate::files;

/// Stop everything with the offline root key alone: no broker, no configuration, no network.
///
/// It writes a small signed file. Any mirror, or the broker, that serves it as /revocations/break-glass makes every
/// verifier refuse every token of this broker. It does not expire, and no later list of the broker undoes it: only a newer
/// break-glass file, made with --lift, does. It does not stop the broker itself from signing, and it reaches no verifier
/// that can fetch nothing: that one denies everything by itself after a quarter of an hour.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread break-glass --root root.pem --issuer https://broker.acme.example --out break-glass.txt
  shortbread break-glass --root root.pem --issuer https://broker.acme.example --out break-glass.txt --issued-so-far
  shortbread break-glass --root root.pem --issuer https://broker.acme.example --out lift.txt --lift")]
pub(crate) struct BreakGlassArgs {
    /// The private root key.
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    /// The broker's public URL, exactly as it stands in tokens.
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// Where the signed file goes; nothing is overwritten.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Lift an earlier break-glass file: nothing is dead by it any more.
    #[arg(long, conflicts_with = "issued_so_far")]
    lift: bool,
    /// Only what was issued so far is dead; what is issued from now on is good.
    #[arg(long)]
    issued_so_far: bool,
    /// Its number, higher than that of every earlier one [default: the seconds since 1970].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seq: Option<u64>,
    /// A file that holds the passphrase of the root key [default: SHORTBREAD_KEY_PASSPHRASE].
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// Writes the file.
///
/// # Errors
/// When the key cannot be read, the URL is none, or the file is there already.
pub(crate) fn run(args: &BreakGlassArgs, context: &Context) -> Result<(), Failure> {
    check_issuer(&args.issuer).map_err(Failure::usage)?;
    let root = root(context, &args.root, args.passphrase_file.as_deref())?;
    if pinned(context, &args.issuer).is_some_and(|pinned| pinned != root.public()) {
        let what = format!(
            "{} is not the root key of {}: the settings of this machine pin another one, and no verifier would believe the file",
            args.root.display(),
            args.issuer
        );
        let fix = "Name the private half of the root key. If the pinned one is outdated, run this with SHORTBREAD_CONFIG=/dev/null.";
        return Err(Failure::new(what, fix));
    }
    let head = head(args.lift, args.issued_so_far, args.seq, context.now());
    let origin = origin(&args.issuer);
    files::create(&args.out, head.sign(&origin, &root).as_bytes(), false)?;
    if context.ui.is_json() {
        context.ui.json(&json!({
            "origin": origin, "seq": head.seq, "issued": head.issued, "global": head.global, "file": args.out,
            "root": root.public().thumbprint(),
        }));
        return Ok(());
    }
    say(args, context, &head, &origin, &root.public());
    Ok(())
}

// The root key that this machine pins for the issuer. It is a help against the wrong file, and nothing that is needed: without
// settings, or with damaged ones, the command goes on.
fn pinned(context: &Context, issuer: &str) -> Option<PublicKey> {
    let settings = Settings::at(ClientConfig::path(&context.env).ok()?, None, &context.env).ok()?;
    if settings.values.broker.as_deref() != Some(issuer) {
        return None;
    }
    settings.root(None).ok()?
}

/// What the root key is to say.
pub(super) fn head(lift: bool, issued_so_far: bool, seq: Option<u64>, now: Timestamp) -> BreakGlass {
    let issued = now.seconds();
    let global = match (lift, issued_so_far) {
        (true, _) => 0,
        // A token of this very second is reached too.
        (_, true) => issued + 1,
        _ => FOREVER,
    };
    BreakGlass { seq: seq.unwrap_or(issued), issued, global }
}

fn say(args: &BreakGlassArgs, context: &Context, head: &BreakGlass, origin: &str, root: &PublicKey) {
    let does = match head.global {
        0 => "lifts every earlier break-glass file: nothing is dead by the root key any more".to_owned(),
        FOREVER => "every token is refused, whenever it was issued, until a newer break-glass file lifts it"
            .to_owned(),
        before => format!("every token issued before {} is refused", Timestamp::from_seconds(before)),
    };
    let not = match head.global {
        0 => "what the broker's own list revokes stays revoked",
        _ => {
            "the broker is not stopped from signing, and no key is replaced: `shortbread keys rotate --drop`"
        }
    };
    context.ui.heading(&format!("break glass for {origin}"));
    context.ui.pairs(&[
        ("does", does),
        ("does not", not.to_owned()),
        ("number", format!("{} (a verifier that has seen a higher one does not take it)", head.seq)),
        ("root key", format!("{} (a verifier that pins another one does not believe it)", root.thumbprint())),
        ("file", args.out.display().to_string()),
        ("put it on", format!("every mirror, as {}/revocations/break-glass", args.issuer)),
        ("and", "beside the broker's key document as break-glass.txt; the broker sees it within seconds, or on SIGHUP".to_owned()),
        ("takes effect", "as verifiers ask for it, every 5 s; one that reaches neither mirror nor broker denies everything after 15m".to_owned()),
        ("lift it", format!("shortbread break-glass --lift --root {} --issuer {} --out lift.txt", args.root.display(), args.issuer)),
    ]);
    if args.seq.is_some_and(|seq| seq < head.issued) {
        context.ui.remark("a number below the time in seconds is lower than what this command gives by itself: a file made without --seq counts over this one");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds() {
        let now = Timestamp::from_seconds(1_795_348_800);
        assert_eq!(
            head(false, false, None, now),
            BreakGlass { seq: 1_795_348_800, issued: 1_795_348_800, global: FOREVER }
        );
        assert_eq!(
            head(false, true, Some(7), now),
            BreakGlass { seq: 7, issued: 1_795_348_800, global: 1_795_348_801 }
        );
        assert_eq!(head(true, false, None, now).global, 0);
    }
}
