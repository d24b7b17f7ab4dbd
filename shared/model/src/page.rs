//! Pages of a list.

use serde::{Deserialize, Serialize};

/// Items on a page when the caller names no number.
pub const DEFAULT_LIMIT: i64 = 50;
/// Most items on a page.
pub const MAXIMUM_LIMIT: i64 = 200;

/// A page of a list. `next_cursor` is opaque; null on the last page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The items, newest first unless the list says otherwise.
    pub items: Vec<T>,
    /// Hand it back as `cursor` for the next page.
    pub next_cursor: Option<String>,
}
