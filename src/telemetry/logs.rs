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
pub fn start(format: LogFormat) {
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
        fs,
        io::Write,
        path::Path,
        sync::{Arc, Mutex},
    };

    use serde_json::Value;

    use super::*;

    /// The fields that name the object of a line.
    const NAMES: [&str; 9] = ["record", "drift", "saga", "kind", "call", "lease", "object", "watch", "file"];
    /// Lines about the whole process.
    const OF_THE_PROCESS: [&str; 11] = [
        "a worker ended",
        "all records and drifts are known",
        "listed all sagas",
        "arcadia-operator starts",
        "arcadia-operator stops",
        "serving /livez, /readyz and /metrics",
        "serving health and metrics ended",
        "reading the cloud's actions failed; retrying",
        "reading the cloud's actions succeeded again",
        "some work is unfinished; the next leader resumes it",
        "some events were not published",
    ];

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

    #[test]
    fn every_line_of_the_code_names_its_object() {
        let mut lines = 0;
        for (file, source) in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
            for line in events(&source) {
                lines += 1;
                let is_of_the_process = OF_THE_PROCESS.iter().any(|text| line.contains(text));
                let fields: Vec<_> = line
                    .split(", ")
                    .map(|field| field.split(" =").next().unwrap().trim().trim_start_matches(['%', '?']))
                    .collect();
                let has_name = fields.iter().any(|field| NAMES.contains(field));
                assert!(has_name || is_of_the_process, "{file}: a line that names no object: {line}");
                // The message of the line already has that name.
                assert!(!fields.contains(&"message"), "{file}: {line}");
            }
        }
        assert!(lines > 20, "only {lines} found");
    }

    /// The arguments of every log macro in the code, without tests.
    fn events(source: &str) -> Vec<String> {
        let code = source.split("#[cfg(test)]").next().unwrap();
        let mut found = Vec::new();
        for level in ["error!(", "warn!(", "info!(", "debug!("] {
            for rest in code.split(level).skip(1) {
                let mut depth = 1;
                let arguments = rest.chars().take_while(|sign| {
                    depth += match sign {
                        '(' => 1,
                        ')' => -1,
                        _ => 0,
                    };
                    depth > 0
                });
                found.push(arguments.collect());
            }
        }
        found
    }

    fn sources(folder: &Path) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(sources(&path));
            } else {
                found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
        found
    }
}
