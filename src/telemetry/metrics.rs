//! Metrics in `OpenMetrics` text. Each module registers its own: counters once, gauges for each scrape. Label values
//! are kinds, fields of kinds and fixed words, never names of objects.

use std::{fmt, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{
        EncodeLabelSet,
        text::{encode_eof, encode_registry},
    },
    metrics::{gauge::Gauge, info::Info},
    registry::Registry,
};

/// The prefix of all names.
const PREFIX: &str = "arcadia";

/// A gauge in seconds.
pub(crate) type Seconds = Gauge<f64, AtomicU64>;

/// Registers gauges with their current values.
type GaugeSource = Box<dyn Fn(&mut Registry) + Send + Sync>;

/// The metrics of the process.
pub struct MetricsRegistry {
    counters: Registry,
    gauges: Vec<GaugeSource>,
}

/// The outcome of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabel {
    pub(crate) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabel {
    version: &'static str,
}

impl Default for MetricsRegistry {
    fn default() -> Self {
        let mut counters = Registry::with_prefix(PREFIX);
        let build = Info::new(BuildLabel { version: env!("CARGO_PKG_VERSION") });
        counters.register("build", "1, with the version of the operator", build);
        Self { counters, gauges: Vec::new() }
    }
}

impl MetricsRegistry {
    /// The registry of counters and histograms.
    pub fn counters(&mut self) -> &mut Registry {
        &mut self.counters
    }

    /// Adds gauges. They are set again for each scrape, so that concurrent scrapes do not interfere, and stale labels
    /// disappear.
    pub fn add_gauges(&mut self, set: impl Fn(&mut Registry) + Send + Sync + 'static) {
        self.gauges.push(Box::new(set));
    }

    /// The text of a scrape.
    #[must_use]
    pub fn scrape(&self) -> String {
        let mut gauges = Registry::with_prefix(PREFIX);
        for set in &self.gauges {
            set(&mut gauges);
        }
        // Writing to a String does not fail.
        written(&[&self.counters, &gauges]).unwrap_or_default()
    }
}

fn written(registries: &[&Registry]) -> Result<String, fmt::Error> {
    let mut text = String::new();
    for registry in registries {
        encode_registry(&mut text, registry)?;
    }
    encode_eof(&mut text)?;
    Ok(text)
}

/// Registers the number of tasks of the process.
pub fn register_tasks(tasks: usize, registry: &mut Registry) {
    registry.register("tasks", "Asynchronous tasks of the process", whole(signed(tasks)));
}

/// A gauge with this value.
pub(crate) fn whole(value: i64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(value);
    gauge
}

/// A gauge with this duration.
pub(crate) fn seconds(duration: Duration) -> Seconds {
    let gauge = Seconds::default();
    gauge.set(duration.as_secs_f64());
    gauge
}

/// A count as the value of a gauge.
pub(crate) fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_set_anew_for_each_scrape_and_the_text_ends_once() {
        let mut metrics = MetricsRegistry::default();
        metrics.add_gauges(|registry| registry.register("records", "Records", whole(7)));
        metrics.add_gauges(|registry| registry.register("age", "Age", seconds(Duration::from_secs(3))));
        for _ in 0..2 {
            let text = metrics.scrape();
            for line in [
                "arcadia_records 7",
                "arcadia_age 3.0",
                concat!("arcadia_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            ] {
                assert!(text.lines().any(|said| said == line), "wanted {line} in:\n{text}");
            }
            assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
        }
    }
}
