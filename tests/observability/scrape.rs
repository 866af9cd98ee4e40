//! The metrics of a running operator.

use std::collections::{BTreeMap, BTreeSet};

/// Labels that Prometheus adds to everything that it scrapes from a pod.
const OF_THE_TARGET: [&str; 4] = ["namespace", "job", "pod", "instance"];

#[derive(Debug, Default)]
pub(crate) struct Scrape {
    pub text: String,
    /// The labels of each metric.
    labels: BTreeMap<String, BTreeSet<String>>,
}

impl Scrape {
    pub(crate) async fn of(address: &str) -> Result<Self, String> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{address}/metrics")).send().await.map_err(|error| error.to_string())?;
        Ok(Self::read(answer.text().await.map_err(|error| error.to_string())?))
    }

    fn read(text: String) -> Self {
        let mut labels: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for series in text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' ')) {
            let (name, rest) = series.0.trim_end_matches('}').split_once('{').unwrap_or((series.0, ""));
            let names = rest.split("\",").filter_map(|label| label.split_once('=')).map(|(label, _)| label.to_owned());
            labels.entry(name.to_owned()).or_default().extend(names);
        }
        Self { text, labels }
    }

    /// Succeeds if the metric exists, and each of these labels is its own or of the target.
    pub(crate) fn has(&self, metric: &str, labels: &[String]) -> Result<(), String> {
        let own = self.labels.get(metric).ok_or_else(|| format!("there is no metric {metric}"))?;
        let strange = labels.iter().find(|label| !own.contains(*label) && !OF_THE_TARGET.contains(&label.as_str()));
        strange.map_or(Ok(()), |label| Err(format!("{metric} has no label {label}")))
    }

    /// The value of a series, written as the operator writes it.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        self.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}
