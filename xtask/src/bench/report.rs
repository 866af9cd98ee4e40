//! The numbers: a table for people, JSON for machines.

use std::{fmt::Write as _, fs, path::Path, thread};

use arcadia_operator::saga::controller;
use serde::{Deserialize, Serialize};

use super::{failure::failed, parallel};
use crate::Error;

/// The results and their subject.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    subject: Subject,
    cores: usize,
    /// The load of the machine over 1, 5 and 15 minutes, at the end of the run.
    load_average: String,
    rows: Vec<Row>,
}

/// The subject of a benchmark.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Subject {
    Sweep {
        /// The number of droplets, all recorded.
        resources: u32,
        /// The interval of sweeps.
        sync_interval_seconds: u64,
    },
    Reverts {
        /// The number of drifts that are reverted.
        reverts: u32,
    },
    /// The command line of users.
    CommandLine {
        /// The number of imported droplets.
        resources: u32,
        /// The number of open drifts.
        drifts: u32,
    },
    /// Starts and takeovers.
    Start {
        /// The number of droplets, all recorded.
        resources: u32,
        /// Whether the API server streams lists.
        streams_lists: bool,
    },
    /// Everything at once, for long.
    Soak {
        /// The number of droplets, all recorded.
        resources: u32,
        /// The length of the soak, in seconds.
        seconds: u64,
    },
    Sagas {
        /// The number of sagas in each phase.
        sagas: u32,
        /// The number of steps of each saga.
        steps: usize,
    },
}

/// One number of the operator, beside the floor's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    phase: String,
    what: String,
    unit: String,
    operator: f64,
    floor: Option<f64>,
    ratio: Option<f64>,
    wanted: Option<Wanted>,
    met: Option<bool>,
    /// Named where documents quote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    figure: Option<Figure>,
}

/// A number that documents quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// The peak memory of the operator.
    PeakMemory,
    /// The CPU time of the first sweep, with all statuses.
    FirstSweepCpu,
    /// The number of writes of the first sweep.
    FirstSweepWrites,
    /// The CPU time of a sweep without a change.
    SweepCpu,
    /// The number of calls of a sweep.
    SweepCalls,
    /// The number of writes of sweeps without a change.
    SweepWrites,
    /// The size of a record in the API server.
    StoredBytes,
}

/// The limit of a number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wanted {
    /// The operator's number.
    Exactly(f64),
    /// The maximum of the operator's number.
    Below(f64),
    /// The maximum of the operator's number as a multiple of the floor's.
    RatioBelow(f64),
    /// The minimum of the operator's number as a multiple of the floor's.
    RatioAbove(f64),
}

impl Row {
    /// A number of the operator's.
    pub(super) fn of(phase: &str, what: impl Into<String>, unit: &str, operator: f64) -> Self {
        let (phase, unit) = (phase.to_owned(), unit.to_owned());
        Self {
            phase,
            what: what.into(),
            unit,
            operator,
            floor: None,
            ratio: None,
            wanted: None,
            met: None,
            figure: None,
        }
    }

    /// Adds the floor's number.
    pub(super) fn beside(self, floor: f64) -> Self {
        Self { floor: Some(floor), ratio: Some(self.operator / floor), ..self }
    }

    /// Names the number for documents.
    pub(super) fn quoted_as(self, figure: Figure) -> Self {
        Self { figure: Some(figure), ..self }
    }

    /// Adds the limit.
    pub(super) fn wanting(self, wanted: Wanted) -> Self {
        let met = match wanted {
            Wanted::Exactly(number) => (self.operator - number).abs() < 1e-9,
            Wanted::Below(most) => self.operator <= most,
            Wanted::RatioBelow(most) => self.ratio.is_some_and(|ratio| ratio <= most),
            Wanted::RatioAbove(least) => self.ratio.is_some_and(|ratio| ratio >= least),
        };
        Self { wanted: Some(wanted), met: Some(met), ..self }
    }

    fn cells(&self) -> [String; 6] {
        let number = |number| figure(number, &self.unit);
        [
            self.what.clone(),
            format!("{} {}", number(self.operator), self.unit).trim_end().to_owned(),
            self.floor
                .map_or_else(String::new, |floor| format!("{} {}", number(floor), self.unit).trim_end().to_owned()),
            self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            match self.wanted {
                None => String::new(),
                Some(Wanted::Exactly(wanted)) => format!("= {}", number(wanted)),
                Some(Wanted::Below(most)) => format!("<= {} {}", number(most), self.unit).trim_end().to_owned(),
                Some(Wanted::RatioBelow(most)) => format!("ratio <= {most}"),
                Some(Wanted::RatioAbove(least)) => format!("ratio >= {least}"),
            },
            match self.met {
                None => "",
                Some(true) => "yes",
                Some(false) => "NO",
            }
            .to_owned(),
        ]
    }
}

fn figure(number: f64, unit: &str) -> String {
    match unit {
        "s" | "KiB" => format!("{number:.2}"),
        "ms" if number < 1.0 => format!("{number:.3}"),
        "" if number.fract() == 0.0 => format!("{number:.0}"),
        _ => format!("{number:.1}"),
    }
}

impl Report {
    pub(super) fn new(subject: Subject) -> Self {
        Self {
            subject,
            cores: thread::available_parallelism().map_or(0, usize::from),
            load_average: String::new(),
            rows: Vec::new(),
        }
    }

    /// Adds a phase.
    pub(super) fn add(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        self.load_average = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    }

    /// Prints the table, and writes the JSON to `file` or after it.
    pub(super) fn publish(&self, file: Option<&Path>) -> Result<(), Error> {
        print!("{}", self.table());
        let json = serde_json::to_string_pretty(self).map_err(failed("write the numbers as JSON"))?;
        let Some(file) = file else {
            println!("\n{json}");
            return Ok(());
        };
        fs::write(file, json + "\n").map_err(Error::system(format!("write {}", file.display())))
    }

    /// The rows that are not as wanted: only those of exact counts, or all.
    pub(super) fn unmet(&self, only_counts: bool) -> Vec<String> {
        let counts = |row: &&Row| !only_counts || matches!(row.wanted, Some(Wanted::Exactly(_)));
        let unmet = self.rows.iter().filter(|row| row.met == Some(false)).filter(counts);
        unmet.map(|row| format!("{} | {}", row.phase, row.cells().join(" | "))).collect()
    }

    /// Its subject, and the machine.
    pub(crate) fn title(&self) -> String {
        format!("{}; {} cores", self.subject.name(), self.cores)
    }

    /// Its rows for documents, without details: a phase before its rows.
    pub(crate) fn main_rows(&self) -> Vec<[String; 5]> {
        let mut rows = Vec::new();
        let mut phase = "";
        for row in self.rows.iter().filter(|row| !row.what.starts_with(' ')) {
            if row.phase != phase {
                phase = &row.phase;
                rows.push([format!("**{phase}**"), String::new(), String::new(), String::new(), String::new()]);
            }
            let [what, operator, floor, ratio, wanted, _] = row.cells();
            rows.push([what, operator, floor, ratio, wanted]);
        }
        rows
    }

    /// The number of records, if sweeps were measured.
    pub(crate) fn fleet(&self) -> Option<u32> {
        match self.subject {
            Subject::Sweep { resources, .. } => Some(resources),
            _ => None,
        }
    }

    /// A number that documents quote.
    pub(crate) fn figure(&self, figure: Figure) -> Option<String> {
        let row = self.rows.iter().find(|row| row.figure == Some(figure))?;
        let [_, operator, ..] = row.cells();
        Some(operator)
    }

    fn table(&self) -> String {
        let head = ["", "operator", "floor", "ratio", "wanted", "met"].map(str::to_owned);
        let cells: Vec<_> = self.rows.iter().map(|row| (row.phase.as_str(), row.cells())).collect();
        let lines = || std::iter::once(&head).chain(cells.iter().map(|(_, cells)| cells));
        let width = |column: usize| {
            lines().filter_map(|cells| cells.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |cells: &[String; 6]| {
            let [what, numbers @ ..] = cells;
            let first = widths.first().copied().unwrap_or_default();
            let mut line = format!("  {what:first$}");
            for (number, width) in numbers.iter().zip(widths.iter().skip(1)) {
                // Writing to a String cannot fail.
                let _ = write!(line, "  {number:>width$}");
            }
            format!("{}\n", line.trim_end())
        };
        let mut table = format!(
            "\n{}; {} cores, load {}\n\
             The floor is a bare client in a process of its own, in the same run: it {}.\n\
             CPU and memory are the kernel's, of the whole process.\n\n{}",
            self.subject.name(),
            self.cores,
            self.load_average,
            self.subject.floor(),
            line(&head)
        );
        let mut phase = "";
        for (of, cells) in &cells {
            if *of != phase {
                phase = of;
                table.push_str(phase);
                table.push('\n');
            }
            table.push_str(&line(cells));
        }
        table
    }
}

impl Subject {
    fn name(self) -> String {
        match self {
            Self::Sweep { resources, sync_interval_seconds } => {
                format!("{resources} droplets, all recorded; a sweep every {sync_interval_seconds} s")
            }
            Self::Reverts { reverts } => format!("{reverts} droplets that lost a tag, all recorded"),
            Self::CommandLine { resources, drifts } => format!("{resources} droplets, {drifts} open drifts"),
            Self::Start { resources, streams_lists: true } => {
                format!("{resources} droplets, all recorded; the API server streams lists")
            }
            Self::Start { resources, streams_lists: false } => {
                format!("{resources} droplets, all recorded; the API server does not stream lists")
            }
            Self::Soak { resources, seconds } => format!("{resources} droplets, all recorded, for {seconds} s"),
            Self::Sagas { sagas, steps } => format!("{sagas} sagas of {steps} instantaneous steps in each phase"),
        }
    }

    /// The work of the floor.
    fn floor(self) -> String {
        match self {
            Self::Sweep { .. } => format!(
                "reads and parses the same pages and\nwrites as many equal objects, {} side by side",
                parallel::WORKERS
            ),
            Self::Reverts { .. } => {
                format!(
                    "makes the same\ncalls and writes in the same order, {} reverts side by side",
                    parallel::WORKERS
                )
            }
            Self::Start { .. } => {
                "lists the same\nobjects in pages of 500, and reads the same pages of the cloud".to_owned()
            }
            Self::Soak { .. } => "is\nnot used here".to_owned(),
            Self::CommandLine { .. } => {
                "reads and parses the same\npages of the API server; the other column is the program".to_owned()
            }
            Self::Sagas { .. } => {
                format!("writes the same\njournals by the same requests, {} sagas side by side", controller::WORKERS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_met_by_itself_or_beside_the_floor() {
        let met = |row: Row| row.met.unwrap();
        assert!(met(Row::of("a", "calls", "", 51.0).wanting(Wanted::Exactly(51.0))));
        assert!(!met(Row::of("a", "calls", "", 51.2).wanting(Wanted::Exactly(51.0))));
        assert!(met(Row::of("a", "CPU", "ms", 30.0).beside(20.0).wanting(Wanted::RatioBelow(2.0))));
        assert!(!met(Row::of("a", "CPU", "ms", 30.0).beside(10.0).wanting(Wanted::RatioBelow(2.0))));
        assert!(!met(Row::of("a", "CPU", "ms", 30.0).wanting(Wanted::RatioBelow(2.0))), "no floor");
        assert!(met(Row::of("a", "sagas in a second", "", 8.0).beside(10.0).wanting(Wanted::RatioAbove(0.8))));
        assert!(!met(Row::of("a", "sagas in a second", "", 7.9).beside(10.0).wanting(Wanted::RatioAbove(0.8))));
    }

    #[test]
    fn the_table_is_aligned_and_names_each_phase_once() {
        let mut report = Report::new(Subject::Sweep { resources: 100, sync_interval_seconds: 10 });
        let row = |what: &str| Row::of("(b) no change", what, "ms", 12.34).beside(10.0);
        report.add(vec![row("CPU").wanting(Wanted::RatioBelow(2.0)), row("wall of a sweep")]);
        let table = report.table();
        assert_eq!(table.matches("(b) no change").count(), 1, "{table}");
        assert!(table.contains("  CPU               12.3 ms  10.0 ms   1.23  ratio <= 2  yes\n"), "{table}");
    }
}
