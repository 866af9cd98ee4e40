//! The metrics of the calls to the cloud and their budget.

use http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::Usage;
use crate::telemetry::metrics::{seconds, signed};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    method: &'static str,
    route: &'static str,
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WindowLabel {
    window: &'static str,
}

/// Registers the metrics with their current values.
pub fn register(usage: &Usage, registry: &mut Registry) {
    let calls = Family::<CallLabel, Counter>::default();
    for ((method, route, status), count) in &usage.calls {
        calls.get_or_create(&CallLabel { method, route, status: status_label(*status) }).inc_by(*count);
    }
    let left = Family::<WindowLabel, Gauge>::default();
    let limit = Family::<WindowLabel, Gauge>::default();
    for (window, calls_left, calls_limit) in
        [("minute", usage.minute_left, usage.minute_limit), ("hour", usage.hour_left, usage.hour_limit)]
    {
        left.get_or_create(&WindowLabel { window }).set(signed(calls_left));
        limit.get_or_create(&WindowLabel { window }).set(signed(calls_limit));
    }
    registry.register("cloud_calls", "Calls to the API; status `none` if no complete response arrived", calls);
    registry.register("cloud_calls_left", "Calls that the limits still allow to sweeps", left);
    registry.register("cloud_calls_limit", "Calls that the limits allow to sweeps in total", limit);
    let help = "Remaining time of the pause that DigitalOcean requested (429)";
    registry.register_with_unit("cloud_pause", help, Unit::Seconds, seconds(usage.paused.unwrap_or_default()));
}

/// The label of a status: known codes by number, others by class, so that the number of labels is limited.
fn status_label(status: u16) -> String {
    match StatusCode::from_u16(status) {
        Ok(known) if known.canonical_reason().is_some() => status.to_string(),
        Ok(_) => format!("{}xx", status / 100),
        // No complete response.
        Err(_) => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn hostile_statuses_make_few_series() {
        let calls = (0..=u16::MAX).map(|status| (("GET", "/v2/droplets", status), 1)).collect();
        let usage = Usage { calls, ..Usage::default() };
        let mut registry = Registry::default();
        register(&usage, &mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let calls: Vec<_> = text.lines().filter(|line| line.starts_with("cloud_calls_total{")).collect();
        assert!(calls.len() < 80, "{} series", calls.len());
        for line in [
            "# TYPE cloud_calls counter",
            r#"cloud_calls_total{method="GET",route="/v2/droplets",status="5xx"} 89"#,
            r#"cloud_calls_total{method="GET",route="/v2/droplets",status="200"} 1"#,
        ] {
            assert!(text.lines().any(|said| said == line), "wanted {line} in:\n{text}");
        }
        assert!(text.contains(r#"status="none"}"#), "{text}");
    }
}
