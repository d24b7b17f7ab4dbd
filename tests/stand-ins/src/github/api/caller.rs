//! Who asks: the App (by its JWT) or an installation (by its token).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use super::{Refusal, Shared};
use crate::github::app_token;
use crate::github::world::{Account, RepositoryRow, Token};
use crate::world_clock;

/// The App itself; anything else is refused.
pub(super) struct App;

/// An installation, or nobody where a call may be anonymous.
pub(super) struct Caller(pub Option<Token>);

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    known.then_some(token)
}

impl FromRequestParts<Arc<Shared>> for App {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let token = bearer(&parts.headers).unwrap_or_default();
        let now = world_clock::now().unix_timestamp();
        app_token::check(token, &shared.key.public, shared.app_id, now)
            .map(|()| Self)
            .map_err(|refused| Refusal::new(StatusCode::UNAUTHORIZED, refused.to_string()))
    }
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self(None));
        }
        let bad = || Refusal::new(StatusCode::UNAUTHORIZED, "Bad credentials");
        let token = bearer(&parts.headers).ok_or_else(bad)?;
        let world = shared.world();
        let token = world.living_token(token, world_clock::now()).ok_or_else(bad)?;
        let account = world.installation(token.installation).ok_or_else(bad)?;
        if account.suspended_at.is_some() {
            return Err(suspended());
        }
        Ok(Self(Some(token.clone())))
    }
}

/// What a suspended installation hears.
pub(super) fn suspended() -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, "This installation has been suspended")
}

impl Caller {
    /// The installation's token, where anonymous calls are refused.
    pub(super) fn installation(self) -> Result<Token, Refusal> {
        let message = "Requires authentication";
        self.0.ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, message))
    }

    /// The repository and its account; 404 where the caller does not see it, 403 without the
    /// permission.
    pub(super) fn repository(
        &self,
        shared: &Shared,
        (owner, name): (&str, &str),
        permission: (&str, &str),
    ) -> Result<(RepositoryRow, Account), Refusal> {
        let world = shared.world();
        let row = world.repository(owner, name).ok_or_else(Refusal::not_found)?;
        let account = world.account(&row.owner).ok_or_else(Refusal::not_found)?;
        let sees = self.0.as_ref().is_some_and(|token| world.sees(token, row));
        let (kind, level) = permission;
        if row.private && !sees {
            return Err(Refusal::not_found());
        }
        let granted = self.0.as_ref().and_then(|token| token.permissions.get(kind));
        let enough = granted.is_some_and(|granted| granted == "write" || granted == level);
        if (row.private || level == "write") && !(sees && enough) {
            let message = "Resource not accessible by integration";
            return Err(Refusal::new(StatusCode::FORBIDDEN, message));
        }
        Ok((row.clone(), account.clone()))
    }
}
