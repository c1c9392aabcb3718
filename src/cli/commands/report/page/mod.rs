//! A report as a page: one file with its plots in it, no script and nothing to fetch. Every text in it is escaped by the
//! template, for intents, releases and reasons come from whoever asked.

mod cards;
mod plots;
mod sections;

use askama::Template;
use shortbread_protocol::admin::FiguresAnswer;
use shortbread_protocol::clock::Timestamp;

use self::cards::Card;
use self::plots::Plots;
use self::sections::Section;
use super::figures;
use crate::failure::Failure;
use crate::text::{grouped, span};

/// The page.
#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    facts: Vec<(&'static str, String)>,
    warnings: Vec<String>,
    /// What to do where there is nothing to show.
    empty: bool,
    cards: Vec<Card>,
    first: Vec<Section>,
    plots: Plots,
    rest: Vec<Section>,
}

/// Writes it.
///
/// # Errors
/// When a plot cannot be drawn.
pub(super) fn of(report: &FiguresAnswer, now: Timestamp) -> Result<String, Failure> {
    let total = &report.total;
    let empty = total.now.exchanges + total.now.calls + total.before.exchanges + total.before.calls == 0;
    let page = Page {
        title: title(&report.kind).to_owned(),
        facts: facts(report, now),
        warnings: warnings(report),
        empty,
        cards: if empty { Vec::new() } else { cards::of(report) },
        first: sections::first(report),
        plots: plots::of(report)?,
        rest: sections::rest(report),
    };
    let failed = |error| Failure::new(format!("the page cannot be written: {error}"), "Report this.");
    page.render().map_err(failed)
}

fn title(kind: &str) -> &'static str {
    match kind {
        "rights" => "Granted against used",
        "approvals" => "Approvals",
        "latency" => "Latency and cost",
        "review" => "Review",
        _ => "Segments",
    }
}

fn facts(report: &FiguresAnswer, now: Timestamp) -> Vec<(&'static str, String)> {
    let at = |seconds| Timestamp::from_seconds(seconds).to_string();
    let long = span(report.period.until.saturating_sub(report.period.since));
    let mut facts = vec![
        ("Period", format!("{} to {} ({long})", at(report.period.since), at(report.period.until))),
        ("Before", format!("{} to {}", at(report.before.since), at(report.before.until))),
        ("By", if report.by.is_empty() { "nothing".to_owned() } else { report.by.join(", ") }),
        ("Entries read", grouped(report.entries)),
        ("Made", Timestamp::from_seconds(now.seconds()).to_string()),
    ];
    facts.extend(figures::only(&report.only).map(|only| ("Only", only)));
    facts
}

fn warnings(report: &FiguresAnswer) -> Vec<String> {
    let cut = report.cut.iter().map(|cut| format!("Not all of it: {cut}. Nothing is compared."));
    let unread = (report.unread > 0)
        .then(|| format!("Entries that could not be read, and count nowhere: {}.", grouped(report.unread)));
    cut.chain(unread).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shortbread_broker::report::{Ask, Figures};

    use super::*;

    const UNTIL: u64 = 1_795_176_000;
    const HOSTILE: &str = "<script>alert(1)</script>\"'&{{x}}";

    fn report(kind: &str, hostile: &str) -> FiguresAnswer {
        let mut figures =
            Figures::new(Ask::new(kind, UNTIL - 604_800, UNTIL, Some("intent,release")).unwrap());
        for n in 0..200_u64 {
            let at = Timestamp::from_seconds(UNTIL - 1_209_000 + n * 6000);
            for kind in ["token.minted", "token.refused", "call.decision", "policy.activated"] {
                let data = json!({
                    "outcome": if kind == "token.refused" { "deny" } else { "allow" }, "reasons": [hostile], "version": n,
                    "granted": [hostile], "segment": { "intent": hostile, "release": format!("{hostile}{}", n / 150) },
                    "latency_us": 300 + n, "cost_micros": n, "tool": hostile, "verb": hostile, "observed": hostile,
                    "task_outcome": "corrected",
                });
                let event = json!({
                    "type": format!("dev.shortbread.{kind}.v1"), "time": at.to_string(),
                    "subject": format!("workflow/{hostile}"), "data": data,
                });
                figures.feed(event.to_string().as_bytes());
            }
        }
        figures.finish(None)
    }

    #[test]
    fn nothing_hostile_gets_into_a_page() {
        for kind in ["segments", "rights", "approvals", "latency", "review"] {
            let page = of(&report(kind, HOSTILE), Timestamp::from_seconds(UNTIL)).unwrap();
            let lower = page.to_lowercase();
            for bad in [
                "<script",
                "javascript:",
                " onload",
                " onclick",
                "<img",
                "<iframe",
                "<link",
                "@import",
                "url(",
            ] {
                assert!(!lower.contains(bad), "{kind} has {bad}");
            }
            let away = page.matches("http").count();
            let spaces =
                page.matches("http://www.w3.org/2000/svg").count() + page.matches("http-equiv").count();
            assert_eq!(away, spaces, "{kind} names nothing outside");
            if kind != "approvals" {
                assert!(page.contains("&#60;script&#62;"), "{kind} shows it as the text that it is");
            }
        }
    }

    #[test]
    fn a_page_has_plots_and_the_figures_below_them() {
        let page = of(&report("segments", "triage"), Timestamp::from_seconds(UNTIL)).unwrap();
        assert!(page.matches("<svg").count() >= 8 && page.matches("<figcaption").count() >= 4, "{page}");
        assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
        assert!(page.contains("NaN") == page.contains("never"), "{page}");
    }

    #[test]
    fn an_empty_page_says_what_to_do() {
        let figures = Figures::new(Ask::new("review", UNTIL - 604_800, UNTIL, None).unwrap());
        let page = of(&figures.finish(None), Timestamp::from_seconds(UNTIL)).unwrap();
        assert!(page.contains("shortbread exchange") && !page.contains("<svg"), "{page}");
    }
}
