//! `inbox`: the open drifts, grouped by change.

mod view;

use std::{collections::BTreeMap, time::Duration};

use clap::{Args, ValueEnum};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kube::{
    ResourceExt as _,
    api::{DynamicObject, ListParams},
    runtime::watcher,
};
use tokio::time::{Instant, sleep_until};

use super::{
    Error, Exit,
    cluster::{Cluster, ClusterArgs, Noun, PAGE},
    drift::DriftView,
    output,
    text::{self, Paint},
};
use crate::api::{DriftPhase, labels};

/// The pause after a change before the screen is drawn again: changes come in bulk.
const LULL: Duration = Duration::from_millis(300);

/// The flags of `inbox`.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct InboxArgs {
    /// Show only drifts with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,

    /// Show only drifts of resources of this kind, such as Droplet; may be repeated
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,

    /// Show only drifts of this recorded field; may be repeated
    #[arg(long, value_name = "FIELD")]
    field: Vec<String>,

    /// Format: `wide` prints one line per drift, `name` the names for `accept -` and `revert -`
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,

    /// Keep the list up to date until Ctrl-C
    #[arg(short, long)]
    watch: bool,
}

/// The formats of `inbox`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Wide,
    Json,
    Yaml,
    Name,
}

pub(super) async fn run(cluster: &ClusterArgs, args: &InboxArgs) -> Result<Exit, Error> {
    let cluster = Cluster::connect(cluster).await?;
    if args.watch {
        return watch(&cluster, args).await;
    }
    let mut params = ListParams::default().fields(&open());
    params.label_selector = args.labels();
    let drifts = cluster.list(Noun::Drift, params).await?;
    text::print(&args.render(&cluster, &drifts, Paint::of_stdout())?)?;
    Ok(Exit::Done)
}

fn open() -> String {
    format!("status.phase={}", DriftPhase::Open.name())
}

impl InboxArgs {
    /// The label selector of the flags together.
    fn labels(&self) -> Option<String> {
        let one_of = |label: &str, values: Vec<String>| {
            (!values.is_empty()).then(|| format!("{label} in ({})", values.join(",")))
        };
        let fields = self.field.iter().map(|field| labels::value(field)).collect();
        let parts = [self.selector.clone(), one_of(labels::KIND, self.kind.clone()), one_of(labels::FIELD, fields)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    fn render(&self, cluster: &Cluster, objects: &[DynamicObject], paint: Paint) -> Result<String, Error> {
        let drifts = || objects.iter().map(DriftView::read).collect::<Vec<_>>();
        let now = Timestamp::now();
        let is_filtered = self.labels().is_some();
        let scope =
            view::Scope { all: cluster.is_all(), namespace: cluster.namespace(), flag: &cluster.flag(), is_filtered };
        match self.output {
            None => Ok(view::groups(&drifts(), &scope, now, paint)),
            Some(Format::Wide) => Ok(view::wide(&drifts(), &scope, now, paint)),
            Some(Format::Name) => Ok(view::names(&drifts(), &scope)),
            Some(Format::Json) => output::json(&output::list(objects)),
            Some(Format::Yaml) => output::yaml(&output::list(objects)),
        }
    }
}

/// Draws the list again whenever it changes. Without a terminal, each new list follows the last one.
async fn watch(cluster: &Cluster, args: &InboxArgs) -> Result<Exit, Error> {
    let config = watcher::Config::default().fields(&open()).page_size(PAGE);
    let config = match args.labels() {
        Some(labels) => config.labels(&labels),
        None => config,
    };
    let mut events = watcher(cluster.scope(Noun::Drift), config).boxed();
    let mut drifts: BTreeMap<(Option<String>, String), DynamicObject> = BTreeMap::new();
    let mut is_complete = false;
    let mut due: Option<Instant> = None;
    let terminal = console::Term::stdout();
    loop {
        let timer = async {
            match due {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.try_next() => {
                let key = |object: &DynamicObject| (object.namespace(), object.name_any());
                match event.map_err(|error| watch_failed(&error))? {
                    None => return Ok(Exit::Done),
                    Some(watcher::Event::Init) => drifts.clear(),
                    Some(watcher::Event::InitDone) => is_complete = true,
                    Some(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                        drifts.insert(key(&object), object);
                    }
                    Some(watcher::Event::Delete(object)) => {
                        drifts.remove(&key(&object));
                    }
                }
                if is_complete {
                    due = due.or_else(|| Some(Instant::now() + LULL));
                }
            }
            () = timer => {
                due = None;
                let objects: Vec<_> = drifts.values().cloned().collect();
                let text = args.render(cluster, &objects, Paint::of_stdout())?;
                if terminal.is_term() {
                    terminal.clear_screen()?;
                }
                text::print(&text)?;
            }
        }
    }
}

fn watch_failed(error: &watcher::Error) -> Error {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.is_forbidden() =>
        {
            Error::Forbidden { doing: "watching drifts".to_owned(), message: status.message.clone() }
        }
        error => Error::usage(format!("watching drifts: {error}; list them once with: kubectl arcadia inbox")),
    }
}
