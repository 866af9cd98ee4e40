//! Errors of the command line, in one line with the next command, and the exit codes.

use std::{io, sync::OnceLock};

use crate::{digitalocean, kube_ext::call};

/// Exit codes, as the help lists them. Scripts depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Everything is done, or nothing differs.
    Done,
    /// The command worked, and its answer is no: drift was found, a decision was refused, a problem needs a person.
    No,
    /// Invalid arguments, a failed connection, missing rights.
    Failed,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The exit code of the process.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::No => 1,
            Self::Failed => 2,
            Self::Interrupted => 130,
        }
    }
}

/// The flags by which the command selected its cluster and namespaces, for the commands in errors. They are not passed to
/// each error: `?` converts the errors of calls at places that do not know the cluster, and a process runs one command.
static PLACE: OnceLock<PlaceFlags> = OnceLock::new();

/// Flags for other commands, each with a leading space.
#[derive(Debug)]
struct PlaceFlags {
    /// The flags of the cluster, the user and the namespaces.
    all: String,
    /// The flags of the cluster, for commands of an administrator without a namespace.
    cluster: String,
}

/// Remembers the flags of the command's cluster and namespaces, and those of its cluster alone.
pub(super) fn remember_place(all: String, cluster: String) {
    // The first cluster is that of the command.
    let _ = PLACE.set(PlaceFlags { all, cluster });
}

/// The flags of the command's cluster and namespaces, with a leading space.
pub(super) fn place() -> &'static str {
    PLACE.get().map_or("", |place| &place.all)
}

/// The flags of the command's cluster, with a leading space.
fn cluster() -> &'static str {
    PLACE.get().map_or("", |place| &place.cluster)
}

/// The reason why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The arguments contradict each other or are incomplete.
    #[error("{0}")]
    Usage(String),
    /// The kubeconfig is missing or invalid.
    #[error("reading the kubeconfig: {0}; set KUBECONFIG or --kubeconfig, and check it with: kubectl config view")]
    Kubeconfig(String),
    /// The API server refused a call for lack of a right.
    #[error("{doing}: forbidden: {message}; list the rights that are missing with: kubectl arcadia status{}", place())]
    Forbidden {
        /// The operation and its object.
        doing: String,
        /// The message of the API server.
        message: String,
    },
    /// The cluster does not serve the custom resources.
    #[error(
        "{doing}: the cluster does not serve the resources of arcadia.cloud; check the installation with: kubectl \
         arcadia status{}",
        place()
    )]
    NotInstalled {
        /// The operation and its object.
        doing: String,
    },
    /// The namespace of a new object does not exist.
    #[error("{doing}: the namespace does not exist; create it with: {next}")]
    NoNamespace {
        /// The operation and its object.
        doing: String,
        /// The command to type next.
        next: String,
    },
    /// An object does not exist.
    #[error("{object} does not exist in namespace {namespace}; list existing objects with: {next}")]
    NotFound {
        /// The kind and name.
        object: String,
        /// The namespace in which it was looked up.
        namespace: String,
        /// The command to type next.
        next: String,
    },
    /// There was no connection to the API server, or it failed.
    #[error(
        "{doing}: the API server cannot be used: {why}; check the cluster and the kubeconfig with: kubectl \
         cluster-info{}",
        cluster()
    )]
    Unusable {
        /// The operation and its object.
        doing: String,
        /// The innermost cause.
        why: String,
    },
    /// Another failure of the API server.
    #[error(transparent)]
    Call(call::Error),
    /// DigitalOcean failed, or its settings are invalid.
    #[error(transparent)]
    Cloud(#[from] digitalocean::Error),
    /// A file cannot be read or written.
    #[error("{doing} {path}: {source}")]
    File {
        /// The operation, such as "reading".
        doing: &'static str,
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// A file or a stream has invalid contents.
    #[error("reading {source_name}: {why}")]
    Contents {
        /// The file, or "standard input".
        source_name: String,
        /// The reason, with the remedy.
        why: String,
    },
    /// A result cannot be written as YAML or JSON.
    #[error("writing the output: {0}")]
    Output(String),
    /// The reader of the output has closed it: the command ends without a message.
    #[error("the output was closed")]
    Closed,
}

impl Error {
    pub(super) fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }
}

impl From<call::Error> for Error {
    fn from(error: call::Error) -> Self {
        match error {
            call::Error::Forbidden { doing, message } => Self::Forbidden { doing, message },
            call::Error::Failed { doing, source } => Self::Unusable { doing, why: innermost(&source) },
            call::Error::TimedOut { doing } => {
                Self::Unusable { doing, why: format!("no response within {} s", call::LIMIT.as_secs()) }
            }
            other => Self::Call(other),
        }
    }
}

/// The innermost cause: the outer errors repeat each other.
pub(super) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::Output(error.to_string()) }
    }
}
