//! The demo: a story of under a minute over real processes, real HTTP and real keys. `scripts/demo` builds and runs it.

#![expect(clippy::print_stdout, reason = "a story is told on standard output")]

mod agent;
mod family;
mod fleet;
mod gone;
mod lost;
mod mirror;
mod old_way;
mod once;
mod page;
mod person;
mod stage;
mod story;
mod switch;
mod thief;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use stage::Stage;

/// What goes wrong in a demo has to be told, not handled.
type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let once = std::env::args().any(|arg| arg == "--once");
    match run(once).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("\nThe demo stopped: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(once: bool) -> Outcome {
    let programs = std::env::current_exe()?.parent().map(PathBuf::from).ok_or("no folder of programs")?;
    let mut stage = Stage::set(&programs).await?;
    let told = story::tell(&stage).await;
    if told.is_ok() && !once {
        stage.bring_back()?;
        story::encore(&stage);
        stage.stay().await?;
    }
    stage.clear();
    told
}
