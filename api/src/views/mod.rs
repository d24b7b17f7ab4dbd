//! Resources as the API shows them.

pub mod deployment;
pub mod environment;
pub mod organisation;
pub mod project;
pub mod system;

use zeitwork_model::reason::Reason;

/// A reason from its two columns.
pub fn reason(code: Option<String>, text: Option<String>) -> Option<Reason> {
    code.map(|code| Reason { code, text: text.unwrap_or_default() })
}
