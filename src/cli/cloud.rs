//! The user's own access to DigitalOcean: the token from the environment or from doctl's configuration.

use std::{env, fs, path::PathBuf, time::Duration};

use clap::Args;
use serde_json::Value;

use super::{Error, cluster::as_flags};
use crate::digitalocean::{Client, Config, Inventory, InventorySettings, Token};

/// The variables that contain a token, doctl's own first.
const VARIABLES: [&str; 2] = ["DIGITALOCEAN_ACCESS_TOKEN", "DIGITALOCEAN_TOKEN"];
/// The variable that selects a context of doctl.
const CONTEXT: &str = "DIGITALOCEAN_CONTEXT";
/// The name of doctl's default context.
const DEFAULT_CONTEXT: &str = "default";
/// The maximum age of data in one run: never exceeded.
pub(super) const MAX_AGE: Duration = Duration::from_hours(24);

/// The DigitalOcean account of a command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "DigitalOcean options")]
pub(super) struct CloudArgs {
    /// Use the token of this context of doctl [default: `DIGITALOCEAN_ACCESS_TOKEN`, `DIGITALOCEAN_TOKEN`, or the
    /// context that doctl uses]
    #[arg(long, value_name = "NAME")]
    doctl_context: Option<String>,

    /// doctl's configuration [default: the user's own]
    #[arg(long, value_name = "FILE")]
    doctl_config: Option<PathBuf>,

    /// Base URL of the DigitalOcean API, without /v2; http is allowed for loopback addresses only
    #[arg(long, env = "DIGITALOCEAN_API_URL", default_value = "https://api.digitalocean.com", value_name = "URL")]
    digitalocean_api_url: String,
}

impl CloudArgs {
    /// The client. Makes no call.
    pub(super) fn client(&self) -> Result<Client, Error> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Client::new(Config::new(&self.digitalocean_api_url, self.token()?)?)?)
    }

    /// An inventory that is read once.
    pub(super) fn inventory(&self) -> Result<Inventory, Error> {
        Ok(inventory(self.client()?))
    }

    /// The flags that select the same account in another command, with a leading space.
    pub(super) fn account_flags(&self) -> String {
        let context = self.doctl_context.clone().map(|context| ("--doctl-context", context));
        let config = self.doctl_config.as_ref().map(|path| ("--doctl-config", path.display().to_string()));
        as_flags(context.into_iter().chain(config))
    }

    fn token(&self) -> Result<Token, Error> {
        let of = |name: &str| env::var(name).ok().filter(|text| !text.trim().is_empty());
        // A flag wins over the environment.
        let is_doctl_given = self.doctl_context.is_some() || self.doctl_config.is_some();
        let of_environment = VARIABLES.into_iter().find_map(of).filter(|_| !is_doctl_given);
        if let Some(text) = of_environment {
            return Ok(Token::new(&text)?);
        }
        let context = self.doctl_context.clone().or_else(|| of(CONTEXT));
        let none =
            || Error::usage("no DigitalOcean token: set DIGITALOCEAN_ACCESS_TOKEN, or sign in with: doctl auth init");
        let path =
            self.doctl_config.clone().or_else(|| Some(config_folder()?.join("doctl/config.yaml"))).ok_or_else(none)?;
        let file = |source| Error::File { doing: "reading", path: path.display().to_string(), source };
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.doctl_config.is_none() => {
                return Err(none());
            }
            read => read.map_err(file)?,
        };
        let contents = |why: String| Error::Contents { source_name: path.display().to_string(), why };
        let config: Value = serde_saphyr::from_str(&text).map_err(|_| contents("it is not YAML".to_owned()))?;
        let token = token_of(&config, context.as_deref()).map_err(contents)?;
        Ok(Token::new(token)?)
    }
}

/// An inventory that is read once.
pub(super) fn inventory(client: Client) -> Inventory {
    Inventory::new(client, InventorySettings::default())
}

/// The folder of the user's configurations, in the order of doctl's search.
fn config_folder() -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        return Some(env::home_dir()?.join("Library/Application Support"));
    }
    let given = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    given.or_else(|| Some(env::home_dir()?.join(".config")))
}

/// The token of a context in doctl's configuration.
fn token_of<'c>(config: &'c Value, context: Option<&str>) -> Result<&'c str, String> {
    let of = |value: &'c Value, key: &str| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let context = context.or_else(|| of(config, "context")).unwrap_or(DEFAULT_CONTEXT);
    let named = || config.get("auth-contexts").and_then(|contexts| of(contexts, context));
    let token = if context == DEFAULT_CONTEXT { of(config, "access-token").or_else(named) } else { named() };
    token.ok_or_else(|| {
        let contexts = config.get("auth-contexts").and_then(Value::as_object);
        let contexts: Vec<&str> = contexts.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let known = if contexts.is_empty() { String::new() } else { format!(" (contexts: {})", contexts.join(", ")) };
        format!("context {context:?} has no token{known}; list the contexts with: doctl auth list")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_comes_from_the_context_that_doctl_uses() {
        let config =
            json!({ "access-token": "one", "context": "work", "auth-contexts": { "work": "two", "home": "three" } });
        assert_eq!(token_of(&config, None), Ok("two"));
        assert_eq!(token_of(&config, Some("default")), Ok("one"));
        assert_eq!(token_of(&config, Some("home")), Ok("three"));
        let error = token_of(&config, Some("hmoe")).unwrap_err();
        assert!(error.contains("home, work") && error.contains("doctl auth list"), "{error}");
        assert_eq!(token_of(&json!({ "access-token": "one" }), None), Ok("one"));
        assert!(token_of(&json!({ "access-token": "" }), None).is_err());
    }
}
