//! Activity: decisions as they come, and the whole story of one.

mod find;
pub(in crate::console) mod list;
pub(in crate::console) mod story;
mod window;

/// The word for an outcome that a style gives its colour by.
fn tone(outcome: &str) -> &'static str {
    match outcome {
        "allow" => "good",
        "done" => "dim",
        _ => "bad",
    }
}
