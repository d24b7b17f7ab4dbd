//! An installation with one project, in one line.

use std::time::{Duration, Instant};

use zeitwork_database::PgConnection;
use zeitwork_database::environments;
use zeitwork_database::login::Role;
use zeitwork_database::testing::{FACT_LIMIT, TestDatabase, execute, texts};
use zeitwork_database::wishes::{self, NewWish, Wanted};
use zeitwork_model::environment::Trigger;
use zeitwork_model::id::{DeploymentId, EnvironmentId, OrganisationId, ProjectId};
use zeitwork_operator::{Config, Parts};
use zeitwork_runtime::{Clock, Lifecycle};
use zeitwork_secrets::{DataKey, MasterKey, Place};

use crate::agent::Agent;
use crate::edge::Edge;

/// A database with an operator, a node and an edge, and one project with production.
pub struct World {
    pub database: TestDatabase,
    pub organisation: OrganisationId,
    pub project: ProjectId,
    pub environment: EnvironmentId,
    pub agent: Agent,
    pub edge: Edge,
    pub key: DataKey,
    pub life: Lifecycle,
    pub operator: Lifecycle,
}

impl World {
    /// Everything runs.
    pub async fn new() -> Self {
        let mut world = Self::without_operator().await;
        world.operator = world.start_operator().await;
        world
    }

    /// Everything but the operator runs.
    pub async fn without_operator() -> Self {
        let database = TestDatabase::create().await;
        let (master, key) = (master_key(), DataKey::generate());
        let (organisation, project) = (OrganisationId::new(), ProjectId::new());
        let environment = EnvironmentId::new();
        let row = project.to_string();
        let place = Place { table: "project_keys", row: &row, name: "1" };
        let wrapped = hex(&master.wrap(&key, place).unwrap());
        execute(
            &database.owner,
            &format!(
                "insert into organisations (id, slug, name) values ('{o}', 'acme', 'Acme');
                insert into projects (id, organisation_id, slug, name, source_kind, url)
                values ('{p}', '{o}', 'shop', 'Shop', 'git', 'https://git.test/shop.git');
                insert into project_keys (project_id, version, master_key, wrapped)
                values ('{p}', 1, 'test', decode('{wrapped}', 'hex'));
                insert into environments (id, organisation_id, project_id, name, kind)
                values ('{e}', '{o}', '{p}', 'production', 'production');
                insert into processes (organisation_id, environment_id, name, configuration)
                values ('{o}', '{e}', 'web', '{{}}');
                insert into domains (id, organisation_id, project_id, environment_id, host, kind,
                    label, verified_at)
                values (gen_random_uuid(), '{o}', '{p}', '{e}', 'shop.localhost', 'internal',
                    'shop', now())",
                o = organisation.0,
                p = project.0,
                e = environment.0,
            ),
        )
        .await;
        let life = Lifecycle::new();
        let agent = Agent::join(&database, "node-a", 20, &life).await;
        let edge = Edge::start(&database, &life).await;
        let operator = Lifecycle::new();
        Self { database, organisation, project, environment, agent, edge, key, life, operator }
    }

    /// One more operator, on the same database.
    pub async fn start_operator(&self) -> Lifecycle {
        let life = Lifecycle::new();
        let config = Config {
            addresses: Vec::new(),
            database_url: None,
            master_key_file: "unused".into(),
            github_url: "https://github.test".into(),
            github: None,
            egress_allow: Vec::new(),
            git_insecure_hosts: Vec::new(),
            public_url: None,
        };
        let database = self.database.role(Role::Operator).await;
        let parts = Parts { database, master_key: master_key(), clock: Clock::system() };
        zeitwork_operator::run(config, parts, &life).unwrap();
        life
    }

    /// A wish for a new deployment of the commit whose digits are all this one.
    pub async fn push(&self, digit: char) -> DeploymentId {
        let mut transaction = self.database.owner.begin().await.unwrap();
        let deployment = self.push_in(&mut transaction, digit).await;
        transaction.commit().await.unwrap();
        deployment
    }

    /// A wish for an earlier deployment.
    pub async fn roll_back(&self, to: DeploymentId) -> DeploymentId {
        self.wish(Trigger::Rollback, Wanted::Again(to)).await
    }

    async fn wish(&self, trigger: Trigger, wanted: Wanted<'_>) -> DeploymentId {
        let mut transaction = self.database.owner.begin().await.unwrap();
        let deployment = self.wish_in(&mut transaction, trigger, wanted).await;
        transaction.commit().await.unwrap();
        deployment
    }

    /// As [`World::push`], in a transaction of the test's own.
    pub async fn push_in(&self, connection: &mut PgConnection, digit: char) -> DeploymentId {
        let commit = commit(digit);
        let what = Wanted::New {
            reference: None,
            commit: Some(&commit),
            message: "A change",
            author: "Ada",
        };
        self.wish_in(connection, Trigger::Push, what).await
    }

    async fn wish_in(
        &self,
        connection: &mut PgConnection,
        trigger: Trigger,
        wanted: Wanted<'_>,
    ) -> DeploymentId {
        let new = NewWish {
            organisation_id: self.organisation,
            environment_id: self.environment,
            wanted,
            trigger,
            actor: "test",
            delivery_id: None,
            request_id: None,
        };
        wishes::record(connection, &new).await.unwrap().deployment_id
    }

    /// Freezes the agent, and returns once the operator has taken everything that it said.
    pub async fn silence_agent(&self) {
        self.agent.freeze(true).await;
        let taken = "select bool_and(n.reported_at >= r.reported_at) from nodes n
            join node_reports r on r.node_id = n.id";
        self.until(taken, "true").await;
    }

    /// Sets how many instances of `web` are wanted.
    pub async fn scale(&self, replicas: u32) {
        let environment = self.environment.0;
        execute(
            &self.database.owner,
            &format!(
                "update processes set replicas = {replicas} where environment_id = '{environment}'"
            ),
        )
        .await;
    }

    /// Pauses or resumes, as the api would.
    pub async fn pause(&self, paused: bool) {
        let mut transaction = self.database.owner.begin().await.unwrap();
        let (organisation, environment) = (self.organisation, self.environment);
        environments::set_paused(&mut transaction, organisation, environment, paused)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }

    /// Sets a variable of the environment, as the api would.
    pub async fn set_variable(&self, name: &str, value: &str) {
        let id = zeitwork_model::id::VariableId::new();
        let row = id.to_string();
        let place = Place { table: "variables", row: &row, name: "value" };
        let ciphertext = hex(&self.key.encrypt(value.as_bytes(), place).unwrap());
        execute(
            &self.database.owner,
            &format!(
                "delete from variables where name = '{name}';
                insert into variables (id, organisation_id, project_id, environment_id, name, at,
                    secret, key_version, ciphertext)
                values ('{}', '{}', '{}', '{}', '{name}', 'both', true, 1,
                    decode('{ciphertext}', 'hex'))",
                id.0, self.organisation.0, self.project.0, self.environment.0
            ),
        )
        .await;
    }

    /// Status and reason of a deployment.
    pub async fn deployment(&self, id: DeploymentId) -> (String, String) {
        let of = |column| format!("select {column} from deployments where id = '{}'", id.0);
        (self.one(&of("status")).await, self.one(&of("reason_text")).await)
    }

    /// The only value of a query.
    pub async fn one(&self, query: &str) -> String {
        texts(&self.database.owner, query).await.pop().unwrap_or_default()
    }

    /// Waits until a query answers a text.
    pub async fn until(&self, query: &str, wanted: &str) {
        let deadline = Instant::now() + FACT_LIMIT;
        loop {
            let is = self.one(query).await;
            if is == wanted {
                return;
            }
            assert!(
                Instant::now() <= deadline,
                "{query}: is {is:?}, not {wanted:?}; {}",
                self.story().await
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until a deployment has a status.
    pub async fn until_deployment(&self, id: DeploymentId, status: &str) {
        self.until(&format!("select status from deployments where id = '{}'", id.0), status).await;
    }

    /// What a failing test shows.
    async fn story(&self) -> String {
        let rows = texts(
            &self.database.owner,
            "select row_to_json(r) from (
                    select id, status, reason_text from deployments) r
                union all select row_to_json(r) from (
                    select id, deployment_id, status, goal, reason_text from instances) r
                union all select row_to_json(r) from (
                    select id, status, attempt, reason_text from builds) r
                union all select row_to_json(r) from (select name, status from nodes) r
                union all select row_to_json(r) from (select * from reconciler_reports) r",
        )
        .await;
        rows.join("\n")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.operator.stop_now();
        self.life.stop_now();
    }
}

/// The commit whose digits are all this one.
pub fn commit(digit: char) -> String {
    std::iter::repeat_n(digit, 40).collect()
}

/// Every operator of a test has the same.
fn master_key() -> MasterKey {
    use std::sync::OnceLock;
    static FILE: OnceLock<tempfile::TempDir> = OnceLock::new();
    static ONCE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let directory = FILE.get_or_init(|| tempfile::tempdir().unwrap());
    let _alone = ONCE.lock().unwrap();
    MasterKey::load_or_create(&directory.path().join("master.key")).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
