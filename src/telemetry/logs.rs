//! Logs: text for people, JSON for machines, to standard error. A line about an object names it in its own field
//! (`record`, `drift`, `kind`, `resource`, `lease`, `object`), so that both can be searched for it.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people
    Text,
    /// One JSON object per line, for machines
    Json,
}

/// Starts logging. `RUST_LOG` selects the levels; the default is `info`.
pub(crate) fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let has_colours = std::io::stderr().is_terminal();
    subscriber(format, filter, has_colours, std::io::stderr).init();
}

fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    has_colours: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(writer);
    match format {
        LogFormat::Text => Box::new(registry.with(lines.with_ansi(has_colours).with_target(false))),
        LogFormat::Json => Box::new(registry.with(lines.json().flatten_event(true))),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The fields of one line.
    fn written(format: LogFormat) -> String {
        let page = Page::default();
        let writer = page.clone();
        let subscriber = subscriber(format, EnvFilter::new("info"), false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(record = %"default/web-1", drift = "web-1-name-1", field = "name", "drift detected");
            tracing::debug!("not worth a line");
        });
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn people_and_machines_read_the_object_of_a_line() {
        let text = written(LogFormat::Text);
        assert_eq!(text.lines().count(), 1, "{text}");
        let (when, said) = text.trim_end().split_once("  INFO ").unwrap();
        assert!(when.parse::<jiff::Timestamp>().is_ok(), "{when}");
        assert_eq!(said, r#"drift detected record=default/web-1 drift="web-1-name-1" field="name""#);

        let mut line: Value = serde_json::from_str(&written(LogFormat::Json)).unwrap();
        let when = line.as_object_mut().unwrap().remove("timestamp").unwrap();
        assert!(when.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{when}");
        let wanted = serde_json::json!({
            "level": "INFO",
            "target": "arcadia_operator::telemetry::logs::tests",
            "message": "drift detected",
            "record": "default/web-1",
            "drift": "web-1-name-1",
            "field": "name",
        });
        assert_eq!(line, wanted);
    }
}
