//! `inbox`: the open drifts, grouped by change.

mod draw;
mod feed;
mod interactive;
mod screen;
mod view;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kube::api::{DynamicObject, ListParams};

use super::{
    Error, Exit,
    cluster::{ClusterArgs, Noun, UserCluster},
    decide::OPEN,
    drift::DriftView,
    output,
    text::{self, Paint},
    verify,
};
use crate::api::labels;
use feed::Feed;

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
    output: Option<InboxFormat>,

    /// Keep the list up to date until Ctrl-C
    #[arg(short, long)]
    watch: bool,

    /// Decide on a screen: list, question and history
    #[arg(short, long, conflicts_with_all = ["output", "watch"])]
    interactive: bool,
}

/// The formats of `inbox`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InboxFormat {
    Wide,
    Json,
    Yaml,
    Name,
}

pub(super) async fn run(cluster: &ClusterArgs, args: &InboxArgs) -> Result<Exit, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    if args.interactive {
        let feed = Feed::open(&cluster, args.labels().as_deref());
        return interactive::run(&cluster, feed).await;
    }
    if args.watch {
        return watch(&cluster, args).await;
    }
    let mut params = ListParams::default().fields(OPEN);
    params.label_selector = args.labels();
    let drifts = cluster.list(Noun::Drift, params).await?;
    text::print(&args.render(&cluster, &drifts, Paint::of_stdout())?)?;
    Ok(Exit::Done)
}

impl InboxArgs {
    /// The label selector of the flags together.
    fn labels(&self) -> Option<String> {
        let one_of = |label: &str, values: Vec<String>| {
            (!values.is_empty()).then(|| format!("{label} in ({})", values.join(",")))
        };
        let kinds = self.kind.iter().map(|kind| named(kind)).collect();
        let fields = self.field.iter().map(|field| labels::value(field)).collect();
        let parts = [self.selector.clone(), one_of(labels::KIND, kinds), one_of(labels::FIELD, fields)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    fn render(&self, cluster: &UserCluster, objects: &[DynamicObject], paint: Paint) -> Result<String, Error> {
        let drifts = || objects.iter().map(DriftView::read).collect::<Vec<_>>();
        let now = Timestamp::now();
        let is_filtered = self.labels().is_some();
        let scope = view::InboxScope {
            all: cluster.is_all(),
            namespace: cluster.namespace(),
            flag: &cluster.flag(),
            is_filtered,
        };
        match self.output {
            None => Ok(view::groups(&drifts(), &scope, now, paint, text::width())),
            Some(InboxFormat::Wide) => Ok(view::wide(&drifts(), &scope, now, paint)),
            Some(InboxFormat::Name) => Ok(view::names(&drifts(), &scope)),
            Some(InboxFormat::Json) => output::json(&output::list(objects)),
            Some(InboxFormat::Yaml) => output::yaml(&output::list(objects)),
        }
    }
}

/// The name of a kind, in any letter case. A later version of the operator may have more kinds.
fn named(kind: &str) -> String {
    verify::kind(kind).map_or_else(|_| kind.to_owned(), |kind| kind.name().to_owned())
}

/// Redraws the list after each change. Without a terminal, each new list follows the last one.
async fn watch(cluster: &UserCluster, args: &InboxArgs) -> Result<Exit, Error> {
    let mut feed = Feed::open(cluster, args.labels().as_deref());
    let terminal = console::Term::stdout();
    while let Some(drifts) = feed.next().await? {
        let text = args.render(cluster, &drifts, Paint::of_stdout())?;
        if terminal.is_term() {
            terminal.clear_screen()?;
        }
        text::print(&text)?;
    }
    Ok(Exit::Done)
}
