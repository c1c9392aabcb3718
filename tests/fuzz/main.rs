//! One program for all targets: SHORTBREAD_FUZZ names the one that is run. With SHORTBREAD_FUZZ_SEEDS it writes the
//! targets' honest inputs below that folder, and ends. `scripts/fuzz` does both.

#![no_main]

use std::path::Path;
use std::process::exit;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use targets::{ALL, Target};

static CHOSEN: OnceLock<Target> = OnceLock::new();

fuzz_target!(init: begin(), |data: &[u8]| {
    if let Some(target) = CHOSEN.get() {
        (target.run)(data);
    }
});

fn begin() {
    if let Ok(folder) = std::env::var("SHORTBREAD_FUZZ_SEEDS") {
        match sow(Path::new(&folder)) {
            Ok(()) => exit(0),
            Err(error) => fail(&format!("the seeds cannot be written below {folder}: {error}")),
        }
    }
    let name = std::env::var("SHORTBREAD_FUZZ").unwrap_or_default();
    match ALL.into_iter().find(|target| target.name == name) {
        Some(target) => drop(CHOSEN.set(target)),
        None => fail(&format!("SHORTBREAD_FUZZ is {name:?}, which is no target")),
    }
}

/// A folder for each target with a file for each of its honest inputs.
fn sow(folder: &Path) -> std::io::Result<()> {
    for target in ALL {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (at, seed) in (target.seeds)().into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{at:03}")), seed)?;
        }
    }
    Ok(())
}

fn fail(message: &str) -> ! {
    eprintln!("fuzz: {message}");
    exit(2)
}
