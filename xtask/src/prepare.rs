//! `cargo xtask control-plane`: brings the control plane, Helm and the GitOps engines once and shows the progress.

use std::{
    io::{IsTerminal as _, stderr},
    time::Duration,
};

use control_plane::{Progress, Wanted};
use indicatif::{ProgressBar, ProgressStyle};

use crate::Error;

/// Prepares the control plane unless a cluster was given. Prints nothing if everything exists.
pub(crate) fn run(wanted: Wanted) -> Result<(), Error> {
    if control_plane::given_cluster().is_some() {
        return Ok(());
    }
    let announcement = match wanted {
        Wanted::All => "Preparing the Kubernetes control plane, once: up to 8 minutes on 2 cores.",
        Wanted::WithoutControllerManager => {
            "Preparing the Kubernetes control plane, once: a minute if it can be downloaded, up to 8 minutes on 2 cores \
             if it is built from source."
        }
    };
    show(announcement, |progress| control_plane::prepare(wanted, progress).map(drop))
}

/// Prepares everything that tests need: the control plane and the tool that downloads one, Helm to install the chart,
/// the GitOps engines, and the linter of workflows.
pub(crate) fn for_tests() -> Result<(), Error> {
    run(Wanted::All)?;
    gitops_engines()?;
    show("Building tools, once: about a minute on 2 cores.", |progress| control_plane::prepare_tools(progress))?;
    helm()
}

/// Prepares the Helm that packages the chart and installs it in tests.
pub(crate) fn helm() -> Result<(), Error> {
    show("Building Helm, once: 1 to 3 minutes on 2 cores.", |progress| control_plane::prepare_helm(progress).map(drop))
}

/// Prepares the engines that apply manifests like Flux and Argo CD.
pub(crate) fn gitops_engines() -> Result<(), Error> {
    show("Building the GitOps engines, once: about a minute on 2 cores.", |progress| {
        control_plane::prepare_gitops_engines(progress).map(drop)
    })
}

fn show(
    announcement: &str,
    prepare: impl FnOnce(&mut dyn FnMut(Progress)) -> Result<(), control_plane::Error>,
) -> Result<(), Error> {
    let prepared = if stderr().is_terminal() {
        let bar = ProgressBar::hidden();
        bar.set_style(style("{spinner} {msg:.dim}"));
        let prepared = prepare(&mut |progress| {
            if bar.is_hidden() {
                eprintln!("{announcement}");
                bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
                bar.enable_steady_tick(Duration::from_millis(200));
            }
            draw(&bar, progress);
        });
        bar.finish_and_clear();
        prepared
    } else {
        let mut lines = Lines { announcement: Some(announcement), tenths: 0 };
        prepare(&mut |progress| lines.write(&progress))
    };
    prepared.map_err(Error::from)
}

fn draw(bar: &ProgressBar, progress: Progress) {
    match progress {
        Progress::Waiting => bar.set_message("another process is building it"),
        Progress::Downloading { index } => bar.set_message(format!("downloading it, as {index} says")),
        Progress::Downloaded { version } => bar.println(format!("  downloaded Kubernetes {version}")),
        Progress::NotDownloaded { reason } => bar.println(format!("  {}", not_downloaded(&reason))),
        Progress::Resolving { line } => bar.set_message(line),
        Progress::Compiling { program, package, done, total } => {
            if bar.length().is_none() {
                bar.set_style(style("{spinner} [{bar:30}] {percent:>3}% {elapsed} {prefix} {msg:.dim}"));
            }
            bar.set_length(number(total));
            bar.set_position(number(done));
            bar.set_prefix(program);
            bar.set_message(package);
        }
        Progress::Built { program } => bar.println(format!("  built {program}")),
    }
}

fn not_downloaded(reason: &str) -> String {
    format!("no prebuilt control plane: {reason}; building it from source")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// Progress for logs: a line per tenth.
struct Lines<'a> {
    announcement: Option<&'a str>,
    tenths: usize,
}

impl Lines<'_> {
    fn write(&mut self, progress: &Progress) {
        if let Some(announcement) = self.announcement.take() {
            eprintln!("{announcement}");
        }
        match progress {
            Progress::Waiting => eprintln!("  another process is building it"),
            Progress::Downloading { .. } | Progress::Resolving { .. } => {}
            Progress::Downloaded { version } => eprintln!("  downloaded Kubernetes {version}"),
            Progress::NotDownloaded { reason } => eprintln!("  {}", not_downloaded(reason)),
            Progress::Compiling { program, done, total, .. } => {
                let now = *done * 10 / (*total).max(1);
                if now > self.tenths {
                    self.tenths = now;
                    eprintln!("  {now}0 % ({program})");
                }
            }
            Progress::Built { program } => eprintln!("  built {program}"),
        }
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
