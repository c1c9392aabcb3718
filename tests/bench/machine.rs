//! Which machine it was: figures mean nothing without it.

use std::fs::read_to_string;

/// How busy the machine is with other things: to be read before anything is measured.
pub fn busy() -> String {
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = load.split(' ').next().unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| usize::from(cores) as f64);
    // With half a core's worth of other work, rates are those of a smaller machine.
    match minute.parse::<f64>() {
        Ok(load) if load > cores / 4.0 => {
            format!("load {minute} before the start: the machine was busy, so these are not its best")
        }
        _ => format!("load {minute} before the start"),
    }
}

pub fn describe() -> String {
    let cpu = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpu.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let model = field("model name").unwrap_or_else(|| "unknown processor".to_owned());
    let stepping = match (field("cpu family"), field("model\t")) {
        (Some(family), Some(number)) => format!(" (family {family}, model {number})"),
        _ => String::new(),
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    let gib = kib.unwrap_or(0_u64) / (1 << 20);
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let disk = crate::disk::filesystem();
    format!("{model}{stepping}, {cores} cores, {gib} GiB memory, Linux {}, {disk}", kernel.trim())
}
