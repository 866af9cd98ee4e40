//! Which account the token belongs to. Where a token is replaced by another account's, all that is recorded is missing
//! at once, and every direct question says 404: only the account tells that from a deletion.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use super::call::Call;
use super::{Client, Error, Priority};

/// How the account is asked for.
const CALL: &str = "GET /v2/account";

/// An account, by the UUID of its team, or of its user where there is no team: resources belong to the team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account(Arc<str>);

/// The answer of `/v2/account`, as far as it tells accounts apart.
#[derive(Deserialize)]
struct Said {
    account: User,
}

#[derive(Deserialize)]
struct User {
    uuid: String,
    team: Option<Team>,
}

#[derive(Deserialize)]
struct Team {
    uuid: Option<String>,
}

/// The account of the token of a client, asked for once for each token.
#[derive(Default)]
pub(super) struct Accounts {
    /// Of which version of the token, and which account, where the token may know.
    known: tokio::sync::Mutex<Option<(u64, Option<Account>)>>,
    /// Whether it was told that the token may not read its account.
    is_told: AtomicBool,
}

impl Accounts {
    /// The account as last asked for; nothing where that cannot be told at the moment.
    pub(super) async fn known(&self, client: &Client) -> Option<Account> {
        let mut known = self.known.lock().await;
        let version = client.token_version();
        if let Some((_, account)) = known.as_ref().filter(|(of, _)| *of == version) {
            return account.clone();
        }
        match self.ask(client, Priority::Sweep).await {
            Ok(account) => {
                *known = Some((version, account.clone()));
                account
            }
            Err(error) => {
                tracing::debug!(call = CALL, %error, "cannot tell yet which account the token belongs to");
                None
            }
        }
    }

    /// The account, asked for now; nothing where the token may not know.
    ///
    /// # Errors
    /// If no trustworthy response arrived.
    pub(super) async fn ask(&self, client: &Client, priority: Priority) -> Result<Option<Account>, Error> {
        match client.account(priority).await {
            Ok(account) => Ok(Some(account)),
            Err(error @ Error::Forbidden { .. }) => {
                if !self.is_told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        call = CALL,
                        %error,
                        "cannot tell which account the token belongs to: under a token of another account, all \
                         resources would count as deleted"
                    );
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl From<Said> for Account {
    fn from(said: Said) -> Self {
        let team = said.account.team.and_then(|team| team.uuid);
        Self(team.unwrap_or(said.account.uuid).into())
    }
}

impl Client {
    /// The account that the token belongs to.
    ///
    /// # Errors
    /// If no trustworthy response arrived; [`Error::Forbidden`] if the token lacks the scope.
    pub(super) async fn account(&self, priority: Priority) -> Result<Account, Error> {
        let route = "/v2/account";
        let url = self.url(route, None, None, &[])?;
        let call = Call::reading(url, route, "account:read", priority);
        let body = self.read(&call).await?.ok_or_else(|| call.not_found())?;
        self.json::<Said>(&call, &body).map(Account::from)
    }
}
