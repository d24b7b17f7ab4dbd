//! One table: who may do what. A scope includes the ones before it: read < write < admin <
//! platform. Which organisation's things a key may touch is not decided here but by every query.

use zeitwork_model::scope::Scope;

/// What a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Look at projects and everything below them, except secret values.
    ReadProjects,
    /// Create, change and delete projects, environments, variables and domains.
    WriteProjects,
    /// Deploy, roll back, scale, pause, resume, cancel, retry.
    Deploy,
    /// Replay a delivery of a project.
    ReplayDeliveries,
    /// See the organisation itself.
    ReadOrganisation,
    /// See, make and revoke the organisation's keys.
    ManageKeys,
    /// Read the journal of who did what.
    ReadAudit,
    /// Make organisations and see those of others.
    ManageOrganisations,
    /// See every GitHub installation and give it to an organisation.
    AssignInstallations,
    /// Give up a GitHub installation of the organisation.
    ReleaseInstallations,
    /// See nodes.
    ReadNodes,
    /// Cordon and drain nodes.
    ManageNodes,
    /// See reconcilers, consistency, all deliveries, metrics and the details of readiness.
    ReadSystem,
}

impl Action {
    /// Every action.
    pub const ALL: &'static [Self] = &[
        Self::ReadProjects,
        Self::WriteProjects,
        Self::Deploy,
        Self::ReplayDeliveries,
        Self::ReadOrganisation,
        Self::ManageKeys,
        Self::ReadAudit,
        Self::ManageOrganisations,
        Self::AssignInstallations,
        Self::ReleaseInstallations,
        Self::ReadNodes,
        Self::ManageNodes,
        Self::ReadSystem,
    ];

    /// The least scope that allows it.
    #[must_use]
    pub const fn needs(self) -> Scope {
        match self {
            Self::ReadProjects | Self::ReadOrganisation => Scope::Read,
            Self::WriteProjects | Self::Deploy | Self::ReplayDeliveries => Scope::Write,
            Self::ManageKeys | Self::ReadAudit | Self::ReleaseInstallations => Scope::Admin,
            Self::ManageOrganisations
            | Self::AssignInstallations
            | Self::ReadNodes
            | Self::ManageNodes
            | Self::ReadSystem => Scope::Platform,
        }
    }
}

/// Whether a key with these scopes may do it.
#[must_use]
pub fn allows(granted: &[Scope], action: Action) -> bool {
    granted.iter().any(|&scope| scope >= action.needs())
}

/// Whether a key with these scopes may hand out the wanted one: never more than it has.
#[must_use]
pub fn may_grant(granted: &[Scope], wanted: Scope) -> bool {
    granted.iter().any(|&scope| scope >= wanted)
}
