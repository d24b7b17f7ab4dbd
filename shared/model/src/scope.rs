//! What an API key may do.

use crate::text_enum::text_enum;

text_enum! {
    /// A scope of an API key. Each includes the ones before it.
    pub enum Scope {
        /// Look at everything of the organisation, except secret values.
        Read = "read",
        /// Change projects, deploy, scale, set variables.
        Write = "write",
        /// Manage keys and the organisation itself.
        Admin = "admin",
        /// The platform's owner: nodes, system and all organisations.
        Platform = "platform",
    }
}
