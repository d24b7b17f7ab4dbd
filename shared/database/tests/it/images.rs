//! Who takes an image up and retention that gives it up meet at its row: whatever the order, no
//! deployment starts on an image that is given up.

use std::time::Duration;

use zeitwork_database::login::Role;
use zeitwork_database::steps::{nodes, retention};
use zeitwork_database::testing::{TestDatabase, execute, texts};
use zeitwork_database::wishes::{self, NewWish, Wanted};
use zeitwork_database::{Database, Error, images, installation};
use zeitwork_model::environment::Trigger;
use zeitwork_model::id::{DeploymentId, EnvironmentId, ImageId, NodeId, OrganisationId, ProjectId};

struct World {
    database: TestDatabase,
    organisation: OrganisationId,
    environment: EnvironmentId,
    deployment: DeploymentId,
}

impl World {
    /// A deployment of long ago, whose image is one of those that retention gives up.
    async fn with_old_deployment() -> Self {
        let database = TestDatabase::create().await;
        let (organisation, project) = (OrganisationId::new(), ProjectId::new());
        let (environment, deployment) = (EnvironmentId::new(), DeploymentId::new());
        let image = ImageId::new().0;
        let (o, p, e, d) = (organisation.0, project.0, environment.0, deployment.0);
        let statements = format!(
            "insert into organisations (id, slug, name) values ('{o}', 'o', 'o');
            insert into projects (id, organisation_id, slug, name, source_kind, url)
            values ('{p}', '{o}', 'p', 'p', 'git', 'https://example.com/p');
            insert into environments (id, organisation_id, project_id, name, kind)
            values ('{e}', '{o}', '{p}', 'production', 'production');
            insert into images (id, organisation_id, project_id, content_id, size_bytes, platform,
                held_at)
            values ('{image}', '{o}', '{p}', 'sha256:1', 1, 'linux/amd64', now() - interval '1 h');
            insert into nodes (id, name, status, public_key, database_role)
            values ('{image}', 'n', 'ready', sha256(''), 'n');
            insert into image_locations (image_id, node_id, engine_image, last_used_at)
            values ('{image}', '{image}', 'sha256:1', now() - interval '1 h');
            insert into variable_sets (id, organisation_id, project_id, digest, entries)
            values ('{image}', '{o}', '{p}', '1', '[]');
            insert into deployments (id, organisation_id, project_id, environment_id, generation,
                commit_sha, trigger, status, configuration, variable_set_id, image_id)
            values ('{d}', '{o}', '{p}', '{e}', 1, repeat('a', 40), 'push', 'retired', '{{}}',
                '{image}', '{image}')"
        );
        execute(&database.owner, &statements).await;
        Self { database, organisation, environment, deployment }
    }

    fn wish(&self) -> NewWish<'static> {
        NewWish {
            organisation_id: self.organisation,
            environment_id: self.environment,
            wanted: Wanted::Again(self.deployment),
            trigger: Trigger::Rollback,
            actor: "somebody",
            delivery_id: None,
            request_id: None,
        }
    }

    /// Waits until somebody waits for a lock.
    async fn until_somebody_waits(&self) {
        let waiting = "select 'yes' from pg_stat_activity
            where wait_event_type = 'Lock' and datname = current_database()";
        while texts(&self.database.owner, waiting).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn is_given_up(&self) -> bool {
        let images = "select id::text from images where deleted_at is not null";
        !texts(&self.database.owner, images).await.is_empty()
    }
}

/// A pass of retention in a transaction of its own; images that it gave up.
async fn give_up(database: Database) -> u64 {
    let mut connection = database.acquire().await.unwrap();
    retention::images(&mut connection, 0).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_leaves_an_image_that_is_being_taken_up() {
    let world = World::with_old_deployment().await;
    let (api, operator) =
        (world.database.role(Role::Api).await, world.database.role(Role::Operator).await);
    let mut rollback = api.begin().await.unwrap();
    wishes::record(&mut rollback, &world.wish()).await.unwrap();
    // Its view of the world is from before the rollback is seen by anybody.
    let commit = async {
        world.until_somebody_waits().await;
        rollback.commit().await.unwrap();
    };
    let (given_up, ()) = tokio::join!(give_up(operator), commit);
    assert_eq!(given_up, 0);
    assert!(!world.is_given_up().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_starts_on_an_image_that_is_being_given_up() {
    let world = World::with_old_deployment().await;
    let (api, operator) =
        (world.database.role(Role::Api).await, world.database.role(Role::Operator).await);
    let mut retention = operator.begin().await.unwrap();
    assert_eq!(retention::images(&mut retention, 0).await.unwrap(), 1);
    let rollback = async {
        let mut transaction = api.begin().await.unwrap();
        wishes::record(&mut transaction, &world.wish()).await.map(drop)
    };
    let commit = async {
        world.until_somebody_waits().await;
        retention.commit().await.unwrap();
    };
    let (rolled_back, ()) = tokio::join!(rollback, commit);
    assert!(matches!(rolled_back, Err(Error::Stale("deployment"))), "{rolled_back:?}");
    assert!(world.is_given_up().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_says_nothing_of_what_was_built_after_it() {
    let world = World::with_old_deployment().await;
    let node = "select node_id::text from image_locations";
    let node = NodeId(texts(&world.database.owner, node).await[0].parse().unwrap());
    let operator = world.database.role(Role::Operator).await;
    let mut connection = operator.acquire().await.unwrap();
    let now = installation::now(&mut connection).await.unwrap();
    let ago = |minutes: i64| now - time::Duration::minutes(minutes);
    let there = ["sha256:1".to_owned()];
    let lost = "select gone_at is not null from image_locations";
    // It was made an hour ago.
    let steps: [(&[String], _, &str); 6] = [
        (&[], ago(70), "false"),
        (&there, ago(50), "false"),
        (&[], ago(40), "true"),
        // From before it was found to be gone.
        (&there, ago(30), "true"),
        (&there, ago(-1), "false"),
        (&[], ago(-2), "true"),
    ];
    for (number, (images, listed_at, wanted)) in steps.into_iter().enumerate() {
        nodes::see_images(&mut connection, node, images, listed_at).await.unwrap();
        assert_eq!(texts(&world.database.owner, lost).await, [wanted], "step {number}");
        let is_lost = images::is_lost(&mut connection, world.deployment).await.unwrap();
        assert_eq!(is_lost.to_string(), wanted, "step {number}");
    }
}
