//! `shortbread revocations ages`: how old the lists of verifiers were.

use shortbread_protocol::admin::{AgesAnswer, AgesOfBody};
use shortbread_protocol::clock::Timestamp;

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::text::{count, span};
use crate::ui::{Piece, Style};

const HEAD: [&str; 6] = ["verifier", "tools", "age now", "largest", "at", "may be"];

/// Shows them.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub(super) async fn run(context: &Context, connection: &Connection) -> Result<(), Failure> {
    let mut session = Session::open(context, connection, "status.read")?;
    let answer: AgesAnswer = session.get("/api/v1/verifiers/ages").await?;
    let ui = context.ui;
    if ui.is_json() {
        ui.json(&answer);
        return Ok(());
    }
    let since = Timestamp::from_seconds(answer.since);
    let known = span(answer.now.saturating_sub(answer.since).min(86_400));
    ui.line(&format!("known since {since}, when the broker began to look; of the last {known}"));
    ui.line("");
    if answer.verifiers.is_empty() {
        ui.line("the policy has no verifier; name one with [[identities]] and verifier = \"…\"");
    } else {
        ui.table(&HEAD, answer.verifiers.iter().map(|one| row(one, &answer.at)).collect());
    }
    if answer.left_off > 0 {
        ui.line(&format!("and {} that there is no room for", count(answer.left_off, "more verifier")));
    }
    Ok(())
}

fn row(one: &AgesOfBody, at: &[u64]) -> Vec<Piece> {
    let over = |age: u32| one.window.is_some_and(|window| u64::from(age) > window);
    let told = |age: Option<u32>| match age {
        Some(age) if over(age) => (Style::Bad, span(age.into())),
        Some(age) => (Style::Plain, span(age.into())),
        None => (Style::Dim, "no report".to_owned()),
    };
    let largest = one.ages.iter().zip(at).filter_map(|(age, at)| age.map(|age| (age, *at)));
    let largest = largest.max_by_key(|(age, _)| *age);
    let (age, when) = largest.unzip();
    vec![
        (Style::Bold, one.verifier.clone()),
        (Style::Plain, one.tools.join(", ")),
        told(one.ages.last().copied().flatten()),
        told(age),
        (Style::Plain, when.map_or_else(|| "-".to_owned(), |at| Timestamp::from_seconds(at).to_string())),
        (Style::Plain, one.window.map_or_else(|| "-".to_owned(), span)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_past_its_window_stands_out() {
        let one = AgesOfBody {
            verifier: "github".to_owned(),
            tools: vec!["github".to_owned()],
            window: Some(60),
            ages: vec![Some(3), Some(70), None],
        };
        let row = row(&one, &[1_795_176_000, 1_795_176_060, 1_795_176_120]);
        let texts: Vec<_> = row.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["github", "github", "no report", "1m 10s", "2026-11-20T12:01:00Z", "1m"]);
        assert!(matches!(row[3].0, Style::Bad));
    }
}
