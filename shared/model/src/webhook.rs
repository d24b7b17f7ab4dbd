//! Stored webhook deliveries.

use crate::text_enum::text_enum;

text_enum! {
    /// The life of a delivery.
    ///
    /// ```text
    /// pending ──► processed | ignored
    ///    │ ▲
    ///    ▼ └── retried with back-off
    ///   dead (attempts used up; replay makes it pending again)
    /// ```
    pub enum DeliveryStatus {
        /// Stored, not looked at, or to be tried again.
        Pending = "pending",
        /// Made at least one wish, or was answered otherwise.
        Processed = "processed",
        /// Nothing of ours is concerned; the reason says why.
        Ignored = "ignored",
        /// Gave up after the last attempt; the reason says why.
        Dead = "dead",
    }
}
