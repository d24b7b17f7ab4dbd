//! Who calls, and whether they may. The permission is part of the handler's type, so it is
//! checked before the body is read and cannot be forgotten.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use zeitwork_auth::{Action, ApiKey, allows};
use zeitwork_database::audit_events::{self, NewAuditEvent};
use zeitwork_database::{PgConnection, api_keys};
use zeitwork_model::id::{ApiKeyId, OrganisationId};
use zeitwork_model::scope::Scope;
use zeitwork_web::{Code, CurrentRequest, Problem, client_address};

use crate::error::{Answer, Refusal};
use crate::extract::idempotency::Once;
use crate::state::App;

/// A caller whose key holds.
#[derive(Debug, Clone)]
pub struct Who {
    /// The key.
    pub key: ApiKeyId,
    /// The key's organisation: every query is bound to it.
    pub organisation: OrganisationId,
    /// What the key may do.
    pub scope: Scope,
    /// Of this request.
    pub request_id: String,
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Where the request takes effect once: its claim.
    pub once: Option<Once>,
}

impl Who {
    /// The key's id as text.
    pub fn actor(&self) -> String {
        self.key.to_string()
    }

    /// Refuses what the key's scope does not allow.
    pub fn must(&self, action: Action) -> Answer<()> {
        if allows(&[self.scope], action) {
            return Ok(());
        }
        let detail = format!("This needs a key with the scope {}.", action.needs());
        Err(Problem::new(Code::Forbidden).detail(detail).into())
    }

    /// The same caller at work in another organisation, whose journal then tells of it.
    pub fn within(&self, organisation: OrganisationId) -> Self {
        Self { organisation, ..self.clone() }
    }

    /// Notes a change in the transaction that makes it.
    pub async fn audit(
        &self,
        connection: &mut PgConnection,
        action: &str,
        subject: impl ToString,
        detail: serde_json::Value,
    ) -> Answer<()> {
        let new = NewAuditEvent {
            organisation_id: self.organisation,
            actor: &self.actor(),
            action,
            subject: &subject.to_string(),
            detail,
            request_id: &self.request_id,
            source_address: self.address,
        };
        Ok(audit_events::append(connection, &new).await?)
    }
}

/// A permission as a type.
pub trait Permission: Send + Sync {
    /// Which.
    const ACTION: Action;
}

/// The permissions.
pub mod can {
    use zeitwork_auth::Action;

    macro_rules! permissions {
        ($($name:ident),+ $(,)?) => {$(
            #[doc = concat!("[`Action::", stringify!($name), "`].")]
            #[derive(Debug)]
            pub struct $name;
            impl super::Permission for $name {
                const ACTION: Action = Action::$name;
            }
        )+};
    }
    permissions!(
        ReadProjects,
        WriteProjects,
        Deploy,
        ReplayDeliveries,
        ReadOrganisation,
        ManageKeys,
        ReadAudit,
        ManageOrganisations,
        AssignInstallations,
        ReleaseInstallations,
        ReadNodes,
        ManageNodes,
        ReadSystem,
    );
}

/// A caller who may do `P`.
#[derive(Debug)]
pub struct Caller<P> {
    who: Who,
    permission: PhantomData<P>,
}

impl<P> Deref for Caller<P> {
    type Target = Who;
    fn deref(&self) -> &Who {
        &self.who
    }
}

impl<P: Permission> FromRequestParts<App> for Caller<P> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let who = identify(parts, app).await?;
        who.must(P::ACTION)?;
        Ok(Self { who, permission: PhantomData })
    }
}

/// The caller, checked against the key's row once a request.
pub async fn identify(parts: &mut Parts, app: &App) -> Answer<Who> {
    if let Some(who) = parts.extensions.get::<Who>() {
        return Ok(who.clone());
    }
    let key = bearer(&parts.headers).ok_or(Code::Unauthenticated)?;
    let address = client_address(parts);
    let hash = key.hash();
    app.attempts.check(address, &hash)?;
    let mut connection = app.database.acquire().await?;
    let row = api_keys::find_active(&mut connection, key.prefix()).await?;
    let row = row.filter(|row| key.matches(&row.hash));
    app.attempts.note(address, &hash, row.is_some());
    let row = row.ok_or(Code::Unauthenticated)?;
    if row.last_use_is_old {
        api_keys::touch(&mut connection, row.id).await?;
    }
    let request_id = parts.extensions.get::<CurrentRequest>().map(|it| it.id.clone());
    let who = Who {
        key: row.id,
        organisation: row.organisation_id,
        scope: row.scope,
        request_id: request_id.unwrap_or_default(),
        address,
        once: None,
    };
    parts.extensions.insert(who.clone());
    Ok(who)
}

/// The one `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<ApiKey> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let text = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, key) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    ApiKey::parse(key).ok()
}
