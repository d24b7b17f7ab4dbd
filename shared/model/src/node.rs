//! Nodes.

use crate::text_enum::text_enum;

text_enum! {
    /// The life of a node.
    ///
    /// ```text
    /// joining ──► ready ◄──► lost      lost: no report for 20 s
    ///              ▲ │
    ///   uncordoned │ ▼ cordoned        takes nothing new
    ///            cordoned ──► draining ──► drained
    /// ```
    /// A node that falls silent is lost from every other state too, and back in it afterwards.
    pub enum NodeStatus {
        /// Registered, no report yet.
        Joining = "joining",
        /// Reports; takes work.
        Ready = "ready",
        /// Reports; takes nothing new.
        Cordoned = "cordoned",
        /// Its instances are moved away.
        Draining = "draining",
        /// Nothing of ours runs on it.
        Drained = "drained",
        /// Has not reported in time.
        Lost = "lost",
    }
}
