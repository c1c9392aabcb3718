//! A figure: the median of several runs with its spread, held against a target.

use serde_json::{Value, json};

/// What a figure has to come to.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

#[derive(Clone, Debug)]
pub struct Figure {
    name: String,
    unit: &'static str,
    value: f64,
    min: f64,
    max: f64,
    target: Option<Target>,
}

impl Figure {
    /// The median of `samples`, with the least and the greatest of them.
    pub fn of(name: impl Into<String>, unit: &'static str, mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let (min, max) = (samples.first().copied(), samples.last().copied());
        Self {
            name: name.into(),
            unit,
            value: median(&samples),
            min: min.unwrap_or(f64::NAN),
            max: max.unwrap_or(f64::NAN),
            target: None,
        }
    }

    pub fn target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// With the spread of other samples than its own.
    pub fn between(self, sorted: &[f64]) -> Self {
        let (min, max) = (sorted.first().copied(), sorted.last().copied());
        Self { min: min.unwrap_or(f64::NAN), max: max.unwrap_or(f64::NAN), ..self }
    }

    fn met(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::AtLeast(least) => self.value >= least,
            Target::AtMost(most) => self.value <= most,
        })
    }

    fn verdict(&self) -> String {
        let by = |wanted: f64| {
            let off = (self.value - wanted).abs();
            let share = match self.value / wanted {
                times if times > 3.0 => format!("{times:.0} times as much"),
                times => format!("{:.0} %", 100.0 * (times - 1.0).abs()),
            };
            format!("missed by {} {} ({share})", short(off), self.unit)
        };
        match self.target {
            None => String::new(),
            Some(_) if self.met() == Some(true) => "met".to_owned(),
            Some(Target::AtMost(0.0)) => "missed".to_owned(),
            Some(Target::AtLeast(wanted) | Target::AtMost(wanted)) => by(wanted),
        }
    }

    fn cells(&self) -> [String; 6] {
        let target = match self.target {
            None => String::new(),
            Some(Target::AtLeast(least)) => format!(">= {}", short(least)),
            Some(Target::AtMost(most)) => format!("<= {}", short(most)),
        };
        let spread = format!("{} .. {}", short(self.min), short(self.max));
        [self.name.clone(), short(self.value), self.unit.to_owned(), spread, target, self.verdict()]
    }

    fn json(&self) -> Value {
        let target = self.target.map(|(Target::AtLeast(wanted) | Target::AtMost(wanted))| wanted);
        json!({
            "name": self.name, "value": self.value, "unit": self.unit, "min": self.min, "max": self.max,
            "target": target, "met": self.met(),
        })
    }
}

pub fn median(sorted: &[f64]) -> f64 {
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(middle) } else { (at(middle.wrapping_sub(1)) + at(middle)) / 2.0 }
}

/// The median of samples in any order.
pub fn middle(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    median(&sorted)
}

/// The value below which a share of the sorted samples lies.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

pub fn json(machine: &str, figures: &[Figure]) -> String {
    let figures: Vec<Value> = figures.iter().map(Figure::json).collect();
    format!("{:#}\n", json!({ "machine": machine, "figures": figures }))
}

pub fn table(machine: &str, figures: &[Figure]) -> String {
    let head = ["figure", "median", "unit", "min .. max", "target", ""].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(figures.iter().map(Figure::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = format!("{machine}\n\n");
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
            1 => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A table for a README, with what it takes to know what the figures are worth.
pub fn markdown(machine: &str, commit: &str, date: &str, figures: &[Figure]) -> String {
    let mut text = format!(
        "Measured {date} at `{commit}` on {machine}.\n\n\
         | figure | median | min .. max | target | |\n|---|---:|---|---|---|\n"
    );
    for figure in figures {
        let [name, value, unit, spread, target, verdict] = figure.cells();
        text.push_str(&format!("| {name} | {value} {unit} | {spread} | {target} | {verdict} |\n"));
    }
    text
}
