//! Flags, environment variables and defaults of the program. Scripts depend on these names.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;

use crate::{
    digitalocean::{self, Token, budget::Limits},
    kube_ext::names::is_namespace,
    schedule::{self, Schedule},
    telemetry::logs::LogFormat,
};

/// A shorter settle time leaves no time for calls to the cloud.
const SHORTEST_SETTLE: Duration = Duration::from_secs(4);

/// Keeps the desired state of cloud resources as Kubernetes objects and raises one Drift per field that diverges.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub struct Cli {
    /// The command; `run` by default.
    #[command(subcommand)]
    pub command: Option<CliCommand>,

    /// The flags of `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// Run the operator (the default)
    Run(Box<RunArgs>),
    /// Print the custom resource definitions as YAML
    Crds,
    /// Request a URL of a running operator, such as its `/readyz`; exit code 1 unless the response is 200
    Probe {
        /// The URL, with http
        url: String,
    },
}

/// The flags of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// When to list the cloud: a duration (`5m`, `90s`) or a cron expression in UTC (`"15 * * * *"`). A sweep that comes
    /// due during a sweep starts right after it. If sweeps need more calls than the token has, the operator
    /// sweeps less often, within `--inventory-max-age`
    #[arg(long, env = "ARCADIA_SYNC_SCHEDULE", default_value = "5m", value_name = "SCHEDULE")]
    pub sync_schedule: Schedule,

    /// When to compare changed resources with their records, in the same forms [default: right after every sync]
    #[arg(long, env = "ARCADIA_DETECT_SCHEDULE", value_name = "SCHEDULE")]
    pub detect_schedule: Option<Schedule>,

    /// Watch only this namespace; repeatable, or separated by commas [default: all namespaces]
    #[arg(long = "namespace", env = "ARCADIA_NAMESPACE", value_delimiter = ',', value_name = "NAME")]
    pub namespaces: Vec<String>,

    /// Records are Unknown when the inventory of their kind is older than this, and sweeps are never
    /// further apart than it allows. The period of a cron expression is its longest gap in a week [default: three sync periods]
    #[arg(long, env = "ARCADIA_INVENTORY_MAX_AGE", value_parser = schedule::duration, value_name = "DURATION")]
    pub inventory_max_age: Option<Duration>,

    /// Resolved drifts to keep per record and field
    #[arg(long, env = "ARCADIA_DRIFT_HISTORY_LIMIT", default_value = "20", value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub drift_history_limit: u16,

    /// File that contains the DigitalOcean token; read again when it changes [default: `DIGITALOCEAN_TOKEN` or
    /// `DIGITALOCEAN_ACCESS_TOKEN`]
    #[arg(long, env = "ARCADIA_DIGITALOCEAN_TOKEN_FILE", value_name = "FILE")]
    pub digitalocean_token_file: Option<PathBuf>,

    /// Base URL of the DigitalOcean API, without `/v2`; plain http is accepted for loopback addresses only
    #[arg(long, env = "DIGITALOCEAN_API_URL", default_value = "https://api.digitalocean.com", value_name = "URL")]
    pub digitalocean_api_url: String,

    /// Maximum number of API calls per minute for this token
    #[arg(long, env = "ARCADIA_REQUESTS_PER_MINUTE", default_value = "250", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_minute: u32,

    /// Maximum number of API calls per hour for this token
    #[arg(long, env = "ARCADIA_REQUESTS_PER_HOUR", default_value = "5000", value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_hour: u32,

    /// How long to wait for the effect of a call whose response was lost. A saga does not repeat such a call earlier; 4s or
    /// longer
    #[arg(long, env = "ARCADIA_SETTLE_TIME", default_value = "60s", value_parser = schedule::duration,
          value_name = "DURATION")]
    pub settle_time: Duration,

    /// Interval at which sagas poll the actions of the cloud that they wait for; one call covers 200 actions
    #[arg(long, env = "ARCADIA_ACTION_POLL_INTERVAL", default_value = "5s", value_parser = schedule::duration,
          value_name = "DURATION")]
    pub action_poll_interval: Duration,

    /// Act only while this replica holds the Lease; other replicas stand by
    #[arg(long, env = "ARCADIA_LEADER_ELECT", default_value = "true", default_missing_value = "true", num_args = 0..=1,
          action = clap::ArgAction::Set, value_name = "BOOL")]
    pub leader_elect: bool,

    /// Namespace of the Lease [default: `POD_NAMESPACE`, or the namespace of the cluster's configuration]
    #[arg(long, env = "ARCADIA_LEASE_NAMESPACE", value_name = "NAME")]
    pub lease_namespace: Option<String>,

    /// Address that serves `/livez`, `/readyz` and `/metrics` [default: none]
    #[arg(long, env = "ARCADIA_METRICS_ADDRESS", value_name = "ADDRESS:PORT", value_parser = address)]
    pub metrics_address: Option<SocketAddr>,

    /// Format of the log: `text` for people, `json` for log collectors. `RUST_LOG` selects the levels
    #[arg(long, env = "ARCADIA_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// The reason why the program cannot start, in one line with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The token is missing.
    #[error(
        "no DigitalOcean token: set DIGITALOCEAN_TOKEN (or DIGITALOCEAN_ACCESS_TOKEN), or --digitalocean-token-file"
    )]
    NoToken,
    /// The configuration of the cloud client is invalid.
    #[error(transparent)]
    DigitalOcean(#[from] digitalocean::Error),
    /// Every call would time out.
    #[error(
        "--settle-time {given:?} must be {SHORTEST_SETTLE:?} or longer: the timeout of a call to the cloud is a \
         quarter of it"
    )]
    SettleTime {
        /// The given value.
        given: Duration,
    },
    /// A list of namespaces ends with a comma, or contains two in a row.
    #[error("--namespace (ARCADIA_NAMESPACE) contains an empty name; remove the extra comma")]
    EmptyNamespace,
    /// No namespace can have this name.
    #[error("{flag}: {name:?} is not the name of a namespace; list them with: kubectl get namespaces")]
    NoNamespace {
        /// The flag, with its environment variable.
        flag: &'static str,
        /// The given value.
        name: String,
    },
    /// Every verdict would be Unknown.
    #[error(
        "--inventory-max-age {max_age:?} must be longer than the time between two syncs ({period:?}, by \
         --sync-schedule); otherwise every inventory is too old to compare"
    )]
    MaxAge {
        /// The given or default value.
        max_age: Duration,
        /// The period of the schedule.
        period: Duration,
    },
}

impl RunArgs {
    /// The maximum age of an inventory.
    ///
    /// # Errors
    /// When it does not exceed the time between two syncs.
    pub fn max_age(&self) -> Result<Duration, ConfigError> {
        let period = self.sync_schedule.period(Timestamp::now());
        let max_age = self.inventory_max_age.unwrap_or(period * 3);
        if max_age <= period { Err(ConfigError::MaxAge { max_age, period }) } else { Ok(max_age) }
    }

    /// The namespaces to watch; none for all. An empty variable is the same as an unset one.
    ///
    /// # Errors
    /// When one of several names is empty.
    pub fn watched_namespaces(&self) -> Result<Vec<String>, ConfigError> {
        let names: Vec<_> = self.namespaces.iter().map(String::as_str).map(str::trim).collect();
        if names == [""] {
            return Ok(Vec::new());
        }
        if names.contains(&"") {
            return Err(ConfigError::EmptyNamespace);
        }
        names.into_iter().map(|name| namespace("--namespace (ARCADIA_NAMESPACE)", name)).collect()
    }

    /// The given namespace of the Lease. An empty variable is the same as an unset one.
    ///
    /// # Errors
    /// When no namespace can have this name.
    pub fn lease_namespace(&self) -> Result<Option<String>, ConfigError> {
        let given = self.lease_namespace.as_deref().map(str::trim).filter(|name| !name.is_empty());
        given.map(|name| namespace("--lease-namespace (ARCADIA_LEASE_NAMESPACE)", name)).transpose()
    }

    /// The configuration of the DigitalOcean client.
    ///
    /// # Errors
    /// When the token or the URL is missing or invalid.
    pub fn digitalocean(&self) -> Result<digitalocean::Config, ConfigError> {
        let mut config = digitalocean::Config::new(&self.digitalocean_api_url, self.token()?)?;
        let [per_minute, per_hour] = [self.requests_per_minute, self.requests_per_hour]
            .map(|calls| usize::try_from(calls).unwrap_or(usize::MAX));
        if self.settle_time < SHORTEST_SETTLE {
            return Err(ConfigError::SettleTime { given: self.settle_time });
        }
        // A changing call ends well before its effect could be declared missing.
        config.patience = config.patience.min(self.settle_time / 4);
        config.change_timeout = config.change_timeout.min(self.settle_time / 4);
        // A tenth is reserved for calls that cannot wait for the next window, such as a decision.
        config.limits = Limits { per_minute, per_hour, minute_reserve: per_minute / 10, hour_reserve: per_hour / 10 };
        Ok(config)
    }

    fn token(&self) -> Result<Token, ConfigError> {
        if let Some(path) = &self.digitalocean_token_file {
            return Ok(Token::from_file(path)?);
        }
        // Not flags: every process on the machine can read a command line.
        let text = ["DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN"]
            .into_iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|text| !text.trim().is_empty())
            .ok_or(ConfigError::NoToken)?;
        Ok(Token::new(&text)?)
    }
}

fn namespace(flag: &'static str, name: &str) -> Result<String, ConfigError> {
    if is_namespace(name) { Ok(name.to_owned()) } else { Err(ConfigError::NoNamespace { flag, name: name.to_owned() }) }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it must be an IP address and a port, such as 0.0.0.0:8080")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_namespace_is_unset_alone_and_a_mistake_among_others() {
        let namespaces = |value: &str| {
            let cli = Cli::try_parse_from(["arcadia-operator", "--namespace", value]).unwrap();
            cli.run.watched_namespaces().map_err(|error| error.to_string())
        };
        assert_eq!(namespaces(""), Ok(Vec::new()));
        assert_eq!(namespaces("a, b"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        for value in ["a,", ",", "a,,b"] {
            assert!(namespaces(value).unwrap_err().contains("empty name"), "{value}");
        }
        for value in ["A_b", "a.b", "a-", "a/b"] {
            assert!(namespaces(value).unwrap_err().starts_with("--namespace (ARCADIA_NAMESPACE): "), "{value}");
        }
    }

    #[test]
    fn the_namespace_of_the_lease_and_the_address_of_metrics_are_checked() {
        let run = |flag: &str, value: &str| Cli::try_parse_from(["arcadia-operator", flag, value]);
        let lease = |value: &str| {
            run("--lease-namespace", value).unwrap().run.lease_namespace().map_err(|error| error.to_string())
        };
        assert_eq!((lease(""), lease("ops")), (Ok(None), Ok(Some("ops".to_owned()))));
        assert!(lease("X Y").unwrap_err().contains(r#"--lease-namespace (ARCADIA_LEASE_NAMESPACE): "X Y" is not"#));
        for value in ["8080", "localhost:8080", "127.0.0.1:99999"] {
            let error = run("--metrics-address", value).unwrap_err().to_string();
            assert!(error.contains("an IP address and a port, such as 0.0.0.0:8080"), "{error}");
        }
    }
}
