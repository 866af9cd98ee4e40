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
use crate::{
    api::{drift::EXISTS, labels},
    digitalocean::Kind,
};
use feed::{Feed, News};

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InboxFormat {
    Wide,
    Json,
    Yaml,
    Name,
}

pub(super) async fn run(cluster: &ClusterArgs, args: &InboxArgs) -> Result<Exit, Error> {
    let cluster = UserCluster::connect(cluster).await?;
    args.check(&cluster).await?;
    if args.interactive {
        let feed = Feed::open(&cluster, args.labels().as_deref());
        return interactive::run(&cluster, feed).await;
    }
    if args.watch {
        return watch(&cluster, args).await;
    }
    let mut params = ListParams::default().fields(OPEN);
    params.label_selector = args.labels();
    let text = match args.output {
        // As the API server has them.
        Some(format @ (InboxFormat::Json | InboxFormat::Yaml)) => {
            let objects = cluster.list(Noun::Drift, params, Some).await?;
            format.of_objects(&objects)?
        }
        None | Some(InboxFormat::Wide | InboxFormat::Name) => {
            let drifts = cluster.list(Noun::Drift, params, |object| Some(DriftView::read(&object))).await?;
            args.render(&cluster, &drifts, Paint::of_stdout())
        }
    };
    text::print(&text)?;
    Ok(Exit::Done)
}

impl InboxFormat {
    fn of_objects(self, objects: &[DynamicObject]) -> Result<String, Error> {
        if self == Self::Yaml { output::yaml(&output::list(objects)) } else { output::json(&output::list(objects)) }
    }
}

impl InboxArgs {
    /// The label selector of the flags together.
    fn labels(&self) -> Option<String> {
        let one_of = |label: &str, values: Vec<String>| {
            (!values.is_empty()).then(|| format!("{label} in ({})", values.join(",")))
        };
        let kinds = self.kind.iter().map(|kind| labels::value(&named(kind))).collect();
        let fields = self.field.iter().map(|field| labels::value(field)).collect();
        // An empty selector selects everything, but is no part of another one.
        let selector = self.selector.clone().filter(|selector| !selector.trim().is_empty());
        let parts = [selector, one_of(labels::KIND, kinds), one_of(labels::FIELD, fields)];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(","))
    }

    /// Refuses a kind or a field that neither this version knows nor a drift has: an operator of a later version may
    /// have more of them.
    async fn check(&self, cluster: &UserCluster) -> Result<(), Error> {
        let kinds: Vec<Kind> = self.kind.iter().filter_map(|kind| verify::kind(kind).ok()).collect();
        let all = || Kind::all().filter(|kind| self.kind.is_empty() || kinds.contains(kind));
        for kind in &self.kind {
            let label = format!("{}={}", labels::KIND, labels::value(kind));
            if let Err(why) = verify::kind(kind)
                && !cluster.has_any(Noun::Drift, ListParams::default().labels(&label)).await?
            {
                return Err(Error::Usage(why));
            }
        }
        for field in &self.field {
            let root = field.split('.').next().unwrap_or_default();
            let known = || all().flat_map(Kind::fields).chain([EXISTS]);
            let label = format!("{}={}", labels::FIELD, labels::value(field));
            if !known().any(|known| known == root)
                && !cluster.has_any(Noun::Drift, ListParams::default().labels(&label)).await?
            {
                return Err(Error::usage(format!("there is no field {field:?}{}", text::hint(root, known()))));
            }
        }
        Ok(())
    }

    fn render(&self, cluster: &UserCluster, drifts: &[DriftView], paint: Paint) -> String {
        let now = Timestamp::now();
        let is_filtered = self.labels().is_some();
        let scope = view::InboxScope {
            all: cluster.is_all(),
            namespace: cluster.namespace(),
            flag: &cluster.flag(),
            place_flags: cluster.place_flags(),
            is_filtered,
        };
        match self.output {
            Some(InboxFormat::Wide) => view::wide(drifts, &scope, now, paint),
            Some(InboxFormat::Name) => view::names(drifts, &scope),
            _ => view::groups(drifts, &scope, now, paint, text::width()),
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
    loop {
        let news = tokio::select! {
            news = feed.next() => news?,
            () = text::closed() => None,
        };
        let Some(news) = news else { return Ok(Exit::Done) };
        let objects = match news {
            News::Drifts(objects) => objects,
            News::Lost(why) => {
                text::note(&format!("the connection to the API server was lost: {why}; connecting again"));
                continue;
            }
        };
        let text = match args.output {
            Some(format @ (InboxFormat::Json | InboxFormat::Yaml)) => format.of_objects(&objects)?,
            _ => args.render(cluster, &objects.iter().map(DriftView::read).collect::<Vec<_>>(), Paint::of_stdout()),
        };
        if terminal.is_term() {
            terminal.clear_screen()?;
        }
        text::print(&text)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_selector_selects_everything() {
        let of = |selector: &str, kind: &[&str]| {
            let kind = kind.iter().map(|kind| (*kind).to_owned()).collect();
            InboxArgs { selector: Some(selector.to_owned()), kind, ..InboxArgs::default() }.labels()
        };
        assert_eq!(of(" ", &[]), None);
        assert_eq!(of("", &["droplet"]), Some(format!("{} in (Droplet)", labels::KIND)));
        assert_eq!(of("a=b", &["Droplet"]), Some(format!("a=b,{} in (Droplet)", labels::KIND)));
    }
}
