//! A world for the tests of what asks GitHub: a database, the stand-in, and an organisation.

use std::sync::Arc;

use zeitwork_database::environments::{self, NewEnvironment};
use zeitwork_database::login::Role;
use zeitwork_database::organisations;
use zeitwork_database::projects::{self, NewProject};
use zeitwork_database::testing::TestDatabase;
use zeitwork_database::webhook_deliveries::{self, Delivery, NewDelivery};
use zeitwork_database::{PgConnection, deployments};
use zeitwork_model::environment::EnvironmentKind;
use zeitwork_model::id::{DeliveryId, EnvironmentId, OrganisationId, ProjectId};
use zeitwork_model::project::SourceKind;
use zeitwork_model::webhook::DeliveryStatus;
use zeitwork_runtime::{Clock, PassReport, Reconciler};
use zeitwork_secrets::MasterKey;
use zeitwork_stand_ins::github::{Event, Github, Options, Repository};

use crate::github::GithubSettings;
use crate::outside::Outside;
use crate::{Config, World};

pub(super) struct TestWorld {
    pub(super) database: TestDatabase,
    pub(super) github: Github,
    pub(super) world: Arc<World>,
    pub(super) organisation: OrganisationId,
    _directory: tempfile::TempDir,
}

/// A project with its production environment.
#[derive(Debug, Clone, Copy)]
pub(super) struct TestProject {
    pub(super) id: ProjectId,
    pub(super) environment: EnvironmentId,
}

impl TestWorld {
    pub(super) async fn start() -> Self {
        let (database, github) =
            tokio::join!(TestDatabase::create(), Github::start(Options::default()));
        let github = github.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let private_key = std::fs::read_to_string(github.private_key_file()).unwrap();
        let settings = GithubSettings {
            url: github.url().to_owned(),
            api_url: github.api_url().parse().unwrap(),
            app_id: github.app_id(),
            private_key: private_key.into(),
        };
        let config = Config {
            addresses: Vec::new(),
            database_url: None,
            master_key_file: directory.path().join("master.key"),
            github_url: github.url().to_owned(),
            github: Some(settings),
            egress_allow: Vec::new(),
            git_insecure_hosts: vec![github.address.to_string().parse().unwrap()],
            public_url: Some("https://zeitwork.example.com".to_owned()),
        };
        let outside = Outside::new(&config, &Clock::system()).unwrap();
        let master_key = MasterKey::load_or_create(&config.master_key_file).unwrap();
        let operator = database.role(Role::Operator).await;
        let world = Arc::new(World { config, database: operator, master_key, outside });
        let organisation = OrganisationId::new();
        let mut connection = database.owner.acquire().await.unwrap();
        organisations::insert(&mut connection, organisation, "owner", "Owner").await.unwrap();
        drop(connection);
        Self { database, github, world, organisation, _directory: directory }
    }

    pub(super) async fn sql(&self) -> impl std::ops::DerefMut<Target = PgConnection> + use<> {
        self.database.owner.acquire().await.unwrap()
    }

    pub(super) async fn project(&self, repository: &Repository) -> TestProject {
        self.project_of(self.organisation, "shop", &repository.full_name, None).await
    }

    pub(super) async fn project_of(
        &self,
        organisation: OrganisationId,
        slug: &str,
        repository: &str,
        branch: Option<&str>,
    ) -> TestProject {
        let project = TestProject { id: ProjectId::new(), environment: EnvironmentId::new() };
        let is_url = repository.contains("://");
        let new = NewProject {
            id: project.id,
            organisation_id: organisation,
            slug,
            name: slug,
            source_kind: if is_url { SourceKind::Git } else { SourceKind::Github },
            repository: (!is_url).then_some(repository),
            url: is_url.then_some(repository),
            root_directory: "",
            dockerfile: "Dockerfile",
        };
        let environment = NewEnvironment {
            id: project.environment,
            organisation_id: organisation,
            project_id: project.id,
            name: "production",
            kind: EnvironmentKind::Production,
            branch,
        };
        let mut connection = self.sql().await;
        projects::insert(&mut connection, &new).await.unwrap();
        environments::insert(&mut connection, &environment).await.unwrap();
        project
    }

    /// Stores a delivery as the api would.
    pub(super) async fn store(&self, event: &Event, guid: &str) -> DeliveryId {
        let payload = serde_json::to_vec(&event.payload).unwrap();
        let repository = &event.payload["repository"];
        let new = NewDelivery {
            id: DeliveryId::new(),
            delivery_id: guid.to_owned(),
            event: event.name.clone(),
            installation_id: event.payload["installation"]["id"].as_i64(),
            repository_id: repository["id"].as_i64(),
            repository: repository["full_name"].as_str().map(str::to_owned),
            payload: payload.into(),
            request_id: "req_test".to_owned(),
        };
        let id = new.id;
        webhook_deliveries::insert(&mut *self.sql().await, &[new]).await.unwrap();
        id
    }

    /// Stores everything that GitHub would tell from the given event on, in this order.
    pub(super) async fn store_since(&self, first: usize) -> Vec<DeliveryId> {
        let mut ids = Vec::new();
        for event in self.github.events().iter().skip(first) {
            ids.push(self.store(event, &event.guid).await);
        }
        ids
    }

    /// Passes until nothing is due.
    pub(super) async fn settle<R: Reconciler>(&self, reconciler: &mut R) -> PassReport {
        let mut whole = PassReport::default();
        for _ in 0..50 {
            let report = reconciler.pass().await.unwrap();
            whole.changed += report.changed;
            whole.failed += report.failed;
            whole.drift += report.drift;
            whole.reasons.extend(report.reasons);
            match report.again_after {
                Some(after) => tokio::time::sleep(after).await,
                None => return whole,
            }
        }
        panic!("it never settles: {:?}", whole.reasons);
    }

    /// Whether any delivery has no end yet.
    pub(super) async fn delivery_is_pending(&self) -> bool {
        let all = webhook_deliveries::list(&mut *self.sql().await, None, 100).await.unwrap();
        all.iter().any(|delivery| delivery.status == DeliveryStatus::Pending)
    }

    pub(super) async fn delivery(&self, id: DeliveryId) -> Delivery {
        let all = webhook_deliveries::list(&mut *self.sql().await, None, 100).await.unwrap();
        all.into_iter().find(|delivery| delivery.id == id).unwrap()
    }

    /// Commits of the environment's deployments with their states, oldest first.
    pub(super) async fn deployments(&self, project: TestProject) -> Vec<deployments::Deployment> {
        let filter =
            deployments::Filter { environment: Some(project.environment), ..Default::default() };
        let list =
            deployments::list(&mut *self.sql().await, self.organisation, filter, None, 100).await;
        let mut list = list.unwrap();
        list.reverse();
        list
    }

    pub(super) async fn commits(&self, project: TestProject) -> Vec<String> {
        let all = self.deployments(project).await;
        all.into_iter().map(|deployment| deployment.commit_sha.unwrap_or_default()).collect()
    }
}
