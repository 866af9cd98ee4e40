//! The tables of measured numbers, from the results in `docs/benchmarks`.

use std::{fs, io, path::Path};

use super::{
    markdown::table,
    page::{Generated, generation_failed, read, section},
};
use crate::{
    Error,
    bench::report::{Figure, Report},
    project,
};

const RESULTS: &str = "docs/benchmarks";
const PAGE: &str = "docs/benchmarks.md";
const OPERATE: &str = "docs/operate.md";

/// The pages with measured numbers. Each result has its marks in the page of the benchmarks.
pub(super) fn files() -> Result<Vec<Generated>, Error> {
    let results = results()?;
    let page = results.iter().try_fold(read(Path::new(PAGE))?, |page, (name, report)| {
        section(Path::new(PAGE), &page, name, &measured(report))
    })?;
    for mark in marks(&page) {
        if !results.iter().any(|(name, _)| name == mark) {
            return Err(generation_failed(format!(
                "{PAGE} has marks for {mark}, and {RESULTS}/{mark}.json is missing"
            )));
        }
    }
    let operate = section(Path::new(OPERATE), &read(Path::new(OPERATE))?, "resources", &resources(&results))?;
    Ok(vec![(PAGE.into(), page), (OPERATE.into(), operate)])
}

/// The results by the names of their files, in their order.
fn results() -> Result<Vec<(String, Report)>, Error> {
    let folder = project::root().join(RESULTS);
    let reading = || Error::system(format!("read {RESULTS}"));
    let mut results = Vec::new();
    for entry in fs::read_dir(&folder).map_err(reading())? {
        let path = entry.map_err(reading())?.path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        let text = fs::read_to_string(&path).map_err(reading())?;
        let report = serde_json::from_str(&text).map_err(io::Error::other).map_err(reading())?;
        results.push((name.to_owned(), report));
    }
    results.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(results)
}

/// The names that the page has marks for.
fn marks(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter_map(|line| line.strip_prefix("<!-- ")?.split_once(": generated")).map(|(name, _)| name)
}

/// The numbers of one run.
fn measured(report: &Report) -> String {
    let headings = [report.title(), "operator".to_owned(), "floor".to_owned(), "ratio".to_owned(), "wanted".to_owned()];
    table(headings.each_ref().map(String::as_str), report.main_rows())
}

/// The needs of fleets, from the benchmark of sweeps.
fn resources(results: &[(String, Report)]) -> String {
    let mut fleets: Vec<_> = results.iter().filter_map(|(_, report)| Some((report.fleet()?, report))).collect();
    fleets.sort_by_key(|(records, _)| *records);
    let rows = fleets.into_iter().map(|(records, report)| {
        let figure = |figure| report.figure(figure).unwrap_or_default();
        [
            grouped(records),
            figure(Figure::PeakMemory),
            figure(Figure::FirstSweepCpu),
            figure(Figure::SweepCpu),
            figure(Figure::SweepCalls),
            figure(Figure::FirstSweepWrites),
            figure(Figure::SweepWrites),
            figure(Figure::StoredBytes),
        ]
    });
    let headings = [
        "records",
        "peak memory",
        "CPU of the first sweep",
        "CPU of a sweep without a change",
        "calls of a sweep",
        "writes of the first sweep",
        "writes of a sweep without a change",
        "stored for each record",
    ];
    table(headings, rows)
}

/// A number with separators of thousands.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_separated() {
        assert_eq!(
            [1, 999, 1000, 100_000, 1_234_567].map(super::grouped),
            ["1", "999", "1,000", "100,000", "1,234,567"]
        );
    }
}
