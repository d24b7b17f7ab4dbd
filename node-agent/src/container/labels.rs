//! The labels by which what is ours is known.

use std::collections::BTreeMap;

use zeitwork_protocol::target::InstanceTarget;

/// The installation; clean-up touches only what carries exactly our id.
pub const INSTALLATION: &str = "dev.zeitwork.installation";
/// The node, because a test (or a person) may run two on one engine.
pub const NODE: &str = "dev.zeitwork.node";
/// The instance.
pub const INSTANCE: &str = "dev.zeitwork.instance";

/// Whose containers: of one node of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Id of the installation.
    pub installation: String,
    /// Name of the node.
    pub node: String,
}

impl Owner {
    /// The filters by which the engine lists exactly what is ours.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        vec![format!("{INSTALLATION}={}", self.installation), format!("{NODE}={}", self.node)]
    }

    /// The labels of everything that is ours.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (INSTALLATION.to_owned(), self.installation.clone()),
            (NODE.to_owned(), self.node.clone()),
        ])
    }

    /// The labels of an instance's container.
    #[must_use]
    pub fn instance_labels(
        &self,
        instance: &InstanceTarget,
        generation: i64,
    ) -> BTreeMap<String, String> {
        let mut labels = self.labels();
        labels.extend([
            (INSTANCE.to_owned(), instance.id.to_string()),
            ("dev.zeitwork.organisation".to_owned(), instance.organisation.to_string()),
            ("dev.zeitwork.project".to_owned(), instance.project.to_string()),
            ("dev.zeitwork.environment".to_owned(), instance.environment.to_string()),
            ("dev.zeitwork.deployment".to_owned(), instance.deployment.to_string()),
            ("dev.zeitwork.generation".to_owned(), generation.to_string()),
        ]);
        labels
    }
}
