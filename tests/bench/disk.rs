//! The disk under the store: it must be a real one.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use shortbread_protocol::clock::{Clock as _, SystemClock};

use crate::Outcome;

const SYNCS: usize = 200;

/// A folder beside the program, gone when it is dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn make(name: &str) -> Outcome<Self> {
        let path = beside()?.join(format!("bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over is under `target` and in nobody's way.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Refuses to measure durability in memory.
pub fn check() -> Outcome<()> {
    match mount() {
        Some((kind, _)) if ["tmpfs", "ramfs"].contains(&kind.as_str()) => {
            Err(format!("the build folder is in memory ({kind}): set CARGO_TARGET_DIR to a folder on a disk")
                .into())
        }
        _ => Ok(()),
    }
}

/// Where the store stood, in words.
pub fn filesystem() -> String {
    mount().map_or_else(|| "unknown disk".to_owned(), |(kind, device)| format!("{kind} on {device}"))
}

/// Microseconds of an append of 16 KiB that is on the disk when it returns: what the smallest commit waits for.
pub fn sync_times() -> Outcome<Vec<f64>> {
    let folder = Folder::make("sync")?;
    let mut file = OpenOptions::new().create(true).append(true).open(folder.path().join("appended"))?;
    let (clock, bytes) = (SystemClock::start(), vec![0x5a; 16 * 1024]);
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = clock.monotonic();
        file.write_all(&bytes)?;
        file.sync_data()?;
        times.push((clock.monotonic() - begun).as_secs_f64() * 1e6);
    }
    Ok(times)
}

fn beside() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.parent().ok_or("the program has no folder")?.to_owned())
}

fn mount() -> Option<(String, String)> {
    let folder = beside().ok()?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let fields = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    let above = fields.filter(|(_, point, _)| folder.starts_with(point));
    above
        .max_by_key(|(_, point, _)| point.len())
        .map(|(device, _, kind)| (kind.to_owned(), device.to_owned()))
}
