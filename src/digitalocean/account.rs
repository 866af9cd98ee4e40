//! The account of the token. If the token is replaced by another account's, all recorded resources are missing at once,
//! and every direct request returns 404: only the account distinguishes that from a deletion.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use serde::Deserialize;

use super::{Client, Error, Priority, call::ApiCall};

/// The call that returns the account.
const CALL: &str = "GET /v2/account";

/// An account: the UUID of its team, or of its user without a team. Resources belong to the team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account(Arc<str>);

/// The response of `/v2/account`, with the fields that identify an account.
#[derive(Deserialize)]
struct AccountResponse {
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

/// The id of the account in which recorded resources were first seen, shared with the place that keeps it beyond the
/// life of this process.
pub type SeenAccount = Arc<Mutex<Option<String>>>;

/// The account of a client's token, requested once per token.
#[derive(Default)]
pub(super) struct Accounts {
    /// The account in which resources of any kind were first seen, also by an earlier process.
    pub(super) seen: SeenAccount,
    /// The version of the token, and its account; none if the token cannot read it.
    known: tokio::sync::Mutex<Option<(u64, Option<Account>)>>,
    /// True if the missing permission to read the account was logged.
    is_logged: AtomicBool,
}

impl Accounts {
    /// The account in which resources were first seen, also by an earlier process; none if that is not known.
    pub(super) fn first_seen(&self) -> Option<Account> {
        self.seen.lock().as_deref().map(|id| Account(id.into()))
    }

    /// Remembers the first account in which resources are seen. Later ones do not replace it: another account may have
    /// a tag or a domain of the same name.
    pub(super) fn remember(&self, account: &Account) {
        self.seen.lock().get_or_insert_with(|| account.0.to_string());
    }

    /// The last known account; none if it is unknown at the moment.
    pub(super) async fn known(&self, client: &Client) -> Option<Account> {
        let mut known = self.known.lock().await;
        let version = client.token_version();
        if let Some((_, account)) = known.as_ref().filter(|(of, _)| *of == version) {
            return account.clone();
        }
        match self.fetch(client, Priority::Sweep).await {
            Ok(account) => {
                *known = Some((version, account.clone()));
                account
            }
            Err(error) => {
                tracing::debug!(call = CALL, %error, "cannot read the account of the token yet");
                None
            }
        }
    }

    /// Requests the account; none if the token cannot read it.
    ///
    /// # Errors
    /// If no trustworthy response arrived.
    pub(super) async fn fetch(&self, client: &Client, priority: Priority) -> Result<Option<Account>, Error> {
        match client.account(priority).await {
            Ok(account) => Ok(Some(account)),
            Err(error @ Error::Forbidden { .. }) => {
                if !self.is_logged.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        call = CALL,
                        %error,
                        "cannot read the account of the token: with a token of another account, all resources \
                         would count as deleted"
                    );
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl From<AccountResponse> for Account {
    fn from(response: AccountResponse) -> Self {
        let team = response.account.team.and_then(|team| team.uuid);
        Self(team.unwrap_or(response.account.uuid).into())
    }
}

impl Client {
    /// The account of the token.
    ///
    /// # Errors
    /// If no trustworthy response arrived; [`Error::Forbidden`] if the token lacks the scope.
    pub(super) async fn account(&self, priority: Priority) -> Result<Account, Error> {
        let route = "/v2/account";
        let url = self.url(route, None, None, &[])?;
        let call = ApiCall::reading(url, route, "account:read", priority);
        let body = self.read(&call).await?.ok_or_else(|| call.not_found())?;
        self.json::<AccountResponse>(&call, &body).map(Account::from)
    }
}
