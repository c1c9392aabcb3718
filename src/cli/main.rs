//! The program `shortbread`.

mod cli;
mod client;
mod commands;
mod config;
mod context;
mod failure;
mod files;
mod published;
mod selectors;
mod server;
mod text;
mod ui;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::context::Context;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap; they go to stdout and end with 0. Nobody is left to tell of a
            // closed pipe.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let context = Context::system(cli.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            context.ui.complain(&format!("the program cannot start its threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(commands::run(&cli.command, &context)) {
        Ok(()) if context.ui.has_lost() => {
            context.ui.complain("the answer could not be written whole: the disk or device of standard output is full or failed");
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(&context.ui);
            failure.exit_code()
        }
    }
}
