//! The steps move deployments as the model says, whatever state they find them in.

use zeitwork_database::steps::builds;
use zeitwork_database::steps::deployments::{self as steps, Ready};
use zeitwork_database::testing::{TestDatabase, execute, execute_in};
use zeitwork_database::wishes::{self, NewWish, Wanted};
use zeitwork_database::{Error, PgConnection};
use zeitwork_model::deployment::{DeploymentEvent as Event, DeploymentStatus as Status};
use zeitwork_model::environment::Trigger;
use zeitwork_model::id::{
    BuildId, DeploymentId, EnvironmentId, ImageId, NodeId, OrganisationId, ProjectId,
};
use zeitwork_model::reason::Reason;

struct World {
    database: TestDatabase,
    organisation: OrganisationId,
    project: ProjectId,
    environment: EnvironmentId,
    deployment: DeploymentId,
    build: BuildId,
    image: ImageId,
    node: NodeId,
}

/// What is done to a deployment.
#[derive(Debug, Clone, Copy)]
enum Step {
    Claim,
    FindImage,
    Build,
    GoLive,
    LetAnotherGoLive,
    FailBuild,
    CancelBuild,
    WishForAnother,
    WishAgain,
    Delete,
}

const STEPS: [Step; 10] = [
    Step::Claim,
    Step::FindImage,
    Step::Build,
    Step::GoLive,
    Step::LetAnotherGoLive,
    Step::FailBuild,
    Step::CancelBuild,
    Step::WishForAnother,
    Step::WishAgain,
    Step::Delete,
];

impl Step {
    /// Where the model leads with what it means.
    fn leads_to(self, from: Status) -> Status {
        // What starts has its build behind it.
        let waits = matches!(from, Status::Queued | Status::Building);
        let events: &[Event] = match self {
            Self::Claim => &[Event::BuildStarted],
            Self::FindImage | Self::Build => &[Event::ImageReady],
            Self::GoLive => &[Event::Routed],
            Self::LetAnotherGoLive => &[Event::Replaced],
            Self::FailBuild if waits => &[Event::Failed],
            Self::CancelBuild if waits => &[Event::Cancelled],
            Self::FailBuild | Self::CancelBuild => &[],
            Self::WishForAnother => &[Event::Superseded],
            Self::WishAgain => &[Event::WishedAgain],
            Self::Delete => &[Event::Cancelled, Event::Replaced],
        };
        events.iter().find_map(|event| from.after(*event)).unwrap_or(from)
    }
}

impl World {
    async fn new() -> Self {
        let world = Self {
            database: TestDatabase::create().await,
            organisation: OrganisationId::new(),
            project: ProjectId::new(),
            environment: EnvironmentId::new(),
            deployment: DeploymentId::new(),
            build: BuildId::new(),
            image: ImageId::new(),
            node: NodeId::new(),
        };
        let (o, p, e) = (world.organisation.0, world.project.0, world.environment.0);
        let (build, image, node) = (world.build.0, world.image.0, world.node.0);
        let statements = format!(
            "insert into organisations (id, slug, name) values ('{o}', 'o', 'o');
            insert into projects (id, organisation_id, slug, name, source_kind, url)
            values ('{p}', '{o}', 'p', 'p', 'git', 'https://example.com/p');
            insert into environments (id, organisation_id, project_id, name, kind, generation)
            values ('{e}', '{o}', '{p}', 'production', 'production', 1);
            insert into nodes (id, name, public_key, database_role)
            values ('{node}', 'a', decode(repeat('00', 32), 'hex'), 'a');
            insert into images (id, organisation_id, project_id, content_id, size_bytes, platform)
            values ('{image}', '{o}', '{p}', 'sha256:1', 1, 'linux/amd64');
            insert into image_locations (image_id, node_id, engine_image)
            values ('{image}', '{node}', 'sha256:1');
            insert into variable_sets (id, organisation_id, project_id, digest, entries)
            values ('{image}', '{o}', '{p}', '1', '[]');
            insert into builds (id, organisation_id, project_id, commit_sha, root_directory,
                dockerfile, plan_key)
            values ('{build}', '{o}', '{p}', repeat('a', 40), '', 'Dockerfile', '1')"
        );
        execute(&world.database.owner, &statements).await;
        world
    }

    /// A deployment in a state, with a pending wish.
    async fn deploy(
        &self,
        connection: &mut PgConnection,
        id: DeploymentId,
        status: Status,
        generation: i64,
    ) {
        let (o, p, e, d) = (self.organisation.0, self.project.0, self.environment.0, id.0);
        let (build, image, wish) = (self.build.0, self.image.0, DeploymentId::new().0);
        let statements = format!(
            "insert into deployments (id, organisation_id, project_id, environment_id, generation,
                commit_sha, trigger, status, reason_code, reason_text, configuration,
                variable_set_id, build_id, image_id)
            values ('{d}', '{o}', '{p}', '{e}', {generation}, repeat('a', 40), 'push', '{status}',
                'code', 'text', '{{}}', '{image}', '{build}', '{image}');
            insert into wishes (id, organisation_id, environment_id, generation, deployment_id,
                trigger, actor)
            values ('{wish}', '{o}', '{e}', {generation}, '{d}', 'push', 'test');
            update environments set generation = {generation}"
        );
        execute_in(connection, &statements).await;
    }

    async fn take(&self, connection: &mut PgConnection, step: Step) -> Result<(), Error> {
        let reason = Reason::new("code", "text");
        let (deployment, build) = (self.deployment, self.build);
        match step {
            Step::Claim => builds::claim(connection, build, self.node, 60.0).await,
            Step::FindImage => {
                let found = Ready::Found(deployment);
                steps::start(connection, found, self.image).await.map(drop)
            }
            Step::Build => steps::start(connection, Ready::Of(build), self.image).await.map(drop),
            Step::GoLive => {
                steps::go_live(connection, self.environment, deployment).await.map(drop)
            }
            Step::LetAnotherGoLive => {
                let other = DeploymentId::new();
                self.deploy(connection, other, Status::Starting, 2).await;
                steps::go_live(connection, self.environment, other).await.map(drop)
            }
            Step::FailBuild => {
                steps::end_of_build(connection, build, Status::Failed, &reason).await.map(drop)
            }
            Step::CancelBuild => {
                steps::end_of_build(connection, build, Status::Cancelled, &reason).await.map(drop)
            }
            Step::WishForAnother => {
                let commit = "b".repeat(40);
                let (reference, commit) = (None, Some(commit.as_str()));
                let other = Wanted::New { reference, commit, message: "", author: "" };
                self.wish(connection, other).await
            }
            Step::WishAgain => self.wish(connection, Wanted::Again(deployment)).await,
            Step::Delete => steps::end_all(connection, self.environment).await,
        }
    }

    async fn wish(&self, connection: &mut PgConnection, wanted: Wanted<'_>) -> Result<(), Error> {
        let wish = NewWish {
            organisation_id: self.organisation,
            environment_id: self.environment,
            wanted,
            trigger: Trigger::Manual,
            actor: "test",
            delivery_id: None,
            request_id: None,
        };
        wishes::record(connection, &wish).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_leads_where_the_model_says() {
    let world = World::new().await;
    for step in STEPS {
        for from in Status::ALL.iter().copied() {
            let mut transaction = world.database.owner.begin().await.unwrap();
            world.deploy(&mut transaction, world.deployment, from, 1).await;
            let taken = world.take(&mut transaction, step).await;
            assert!(matches!(taken, Ok(()) | Err(Error::Stale(_))), "{step:?} {from}: {taken:?}");
            let status: String = sqlx::query_scalar("select status from deployments where id = $1")
                .bind(world.deployment.0)
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
            assert_eq!(status, step.leads_to(from).as_str(), "{step:?} from {from}");
            transaction.rollback().await.unwrap();
        }
    }
}
