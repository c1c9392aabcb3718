//! Measures what the design promises, and peers beside it, in one run on one machine. See `scripts/bench --help`.

mod approvals;
mod audit;
mod broker;
mod console;
mod disk;
mod exchange;
mod figure;
mod hostile;
mod http;
mod load;
mod machine;
mod peers;
mod progress;
mod raw;
mod readme;
mod revocation;
mod rounds;
mod verify;

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use figure::Figure;
use shortbread_protocol::clock::{Clock as _, SystemClock};

/// Whatever goes wrong ends the run: a figure that is not sound is not printed.
type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: scripts/bench [verify|exchange|revocation|audit|approvals|console]... [--json] [--rounds N]
       scripts/bench verify --readme

  verify       the check from the token's text to the decision, the mint, proofs, memory and threads, beside the
               signatures alone and peers; --readme also writes the table into README.md
  exchange     exchanges a second over real HTTP with a durable record, latency, memory
  revocation   from the operator's command to the last of 1,000 verifiers that refuses, the list on the wire and in memory,
               idle streams, restarts
  audit        durable entries with their log, proofs out of ten million entries, the offline check, replay, one decision
               under 10,000 grants
  approvals    from a request to its token by way of a vote, at 100 a second; the queue with 10,000 requests
  console      each page over a log of 1,000,000 entries, from the request to its last byte

Without a group all six are measured. --rounds says how often (exchange, audit, approvals and console: 5, revocation: 200).
guard is not measured yet.
";

const GROUPS: [&str; 6] = ["verify", "exchange", "revocation", "audit", "approvals", "console"];
const LATER: [&str; 1] = ["guard"];

struct Options {
    groups: Vec<String>,
    json: bool,
    rounds: Option<usize>,
    /// Where the table of `verify` goes, and the commit that is measured.
    readme: Option<(PathBuf, String)>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["broker-for-bench", folder] = words[..] {
        return finished(broker::serve(Path::new(folder)));
    }
    if let ["memory-for-bench", what] = words[..] {
        return finished(verify::memory_child(what));
    }
    if words.iter().any(|word| matches!(*word, "-h" | "--help")) {
        print(USAGE);
        return ExitCode::SUCCESS;
    }
    match options(&words) {
        Ok(options) => finished(run(&options)),
        Err(wrong) => {
            complain(&format!("{wrong}\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

fn options(words: &[&str]) -> Result<Options, String> {
    let mut options = Options { groups: Vec::new(), json: false, rounds: None, readme: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--json" => options.json = true,
            "--readme" => {
                let [file, commit] = [words.next(), words.next()]
                    .map(|word| word.map(ToString::to_string).ok_or("--readme takes a file and a commit"));
                options.readme = Some((PathBuf::from(file?), commit?));
            }
            "--rounds" => {
                let count = words.next().and_then(|count| count.parse().ok());
                options.rounds =
                    Some(count.filter(|n| (1..=1000).contains(n)).ok_or("--rounds takes 1 to 1000")?);
            }
            group if GROUPS.contains(&group) => options.groups.push(group.to_owned()),
            group if LATER.contains(&group) => return Err(format!("{group}: not measured yet")),
            other => return Err(format!("{other:?} is no group and no option")),
        }
    }
    if options.readme.is_some() && options.groups != ["verify"] {
        return Err("--readme goes with verify alone".to_owned());
    }
    if options.groups.is_empty() {
        options.groups = GROUPS.map(str::to_owned).to_vec();
    }
    Ok(options)
}

fn run(options: &Options) -> Outcome<()> {
    let (mut figures, busy): (Vec<Figure>, _) = (Vec::new(), machine::busy());
    for group in &options.groups {
        figures.extend(match group.as_str() {
            "verify" => verify::measure()?,
            "exchange" => exchange::measure(options.rounds.unwrap_or(5))?,
            "audit" => audit::measure(options.rounds.unwrap_or(5))?,
            "approvals" => approvals::measure(options.rounds.unwrap_or(5))?,
            "console" => console::measure(options.rounds.unwrap_or(5))?,
            _ => revocation::measure(options.rounds.unwrap_or(200))?,
        });
    }
    progress::done();
    let machine = format!("{}, {busy}", machine::describe());
    if let Some((file, commit)) = &options.readme {
        let now = SystemClock::start().now().to_string();
        let date = now.split('T').next().unwrap_or_default();
        readme::replace(file, "verify", &figure::markdown(&machine, commit, date, &figures))?;
    }
    print(&if options.json { figure::json(&machine, &figures) } else { figure::table(&machine, &figures) });
    Ok(())
}

fn finished(outcome: Outcome<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::done();
            complain(&format!("bench: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

// A closed pipe is the reader's choice.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
