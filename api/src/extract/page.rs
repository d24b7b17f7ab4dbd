//! Pages: `limit` and an opaque `cursor`.

use std::str::FromStr;

use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use garde::Validate;
use http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;
use zeitwork_model::page::{DEFAULT_LIMIT, MAXIMUM_LIMIT, Page};
use zeitwork_web::Code;

use crate::error::{Answer, Refusal};
use crate::extract::valid;

/// Which page.
#[derive(Debug, Clone, Deserialize, Validate, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items on a page: 1 to 200, 50 if absent.
    #[serde(default)]
    #[garde(range(min = 1, max = MAXIMUM_LIMIT))]
    limit: Option<i64>,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    #[garde(length(max = 16384))]
    cursor: Option<String>,
}

impl PageQuery {
    /// Items on the page.
    pub fn limit(&self) -> i64 {
        self.limit.unwrap_or(DEFAULT_LIMIT)
    }

    /// Rows to ask for: one more tells whether there is another page.
    pub fn rows(&self) -> i64 {
        self.limit() + 1
    }

    /// Where the page begins.
    pub fn after<T: FromStr>(&self) -> Answer<Option<T>> {
        self.cursor.as_deref().map(read).transpose()
    }

    /// The page from the rows that were found.
    pub fn finish<R, T, C: ToString>(
        &self,
        mut rows: Vec<R>,
        cursor: impl Fn(&R) -> C,
        view: impl FnMut(R) -> T,
    ) -> Page<T> {
        let limit = usize::try_from(self.limit()).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|row| write(&cursor(row).to_string()));
        Page { items: rows.into_iter().map(view).collect(), next_cursor }
    }
}

/// The opaque form of a position.
pub fn write(position: &str) -> String {
    URL_SAFE_NO_PAD.encode(position)
}

/// The position in an opaque cursor.
pub fn read<T: FromStr>(cursor: &str) -> Answer<T> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.and_then(|text| text.parse().ok()).ok_or(Code::InvalidCursor)?)
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        valid::query(parts)
    }
}
