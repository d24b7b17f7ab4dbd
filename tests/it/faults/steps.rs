//! The operator dies at every step that it can take, and every story still ends as it should.
//!
//! The steps are read from its sources: one that no story reaches fails the test. Every step is
//! armed from the start, so a story is a chain of deaths, each at a place where it has not died
//! yet. Some steps kill it before they are carried out and the others after it; `make chaos`
//! takes both. A daemon that dies is replaced at once by a new process without memory or
//! connections; that the supervisor starts it again is told in [`super::kills`].

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use tokio::sync::Mutex;
use zeitwork_stand_ins::github::Repository;
use zeitwork_tests::failpoints::Failpoints;
use zeitwork_tests::load::Load;
use zeitwork_tests::sql::Session;
use zeitwork_tests::user::{Project, User};
use zeitwork_tests::{Cluster, engine};

use crate::stories::live_project;

mod nodes;
mod sources;
mod work;

/// From the last death until everything is as wished for.
const CONVERGE: Duration = Duration::from_secs(30);
/// Of one wait, all deaths included.
const LONGEST: Duration = Duration::from_mins(4);
const PAUSE: Duration = Duration::from_millis(50);

/// What every story plays in.
struct World<'a> {
    cluster: &'a Cluster,
    owner: User<'a>,
    project: Project,
    repository: Repository,
    points: Failpoints,
    database: Mutex<Session>,
    /// Commits that were live, oldest first.
    commits: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_story_ends_well_though_the_operator_dies_at_every_step() {
    // A git server that is away; and no certificates, which each new process would read.
    let settings = [("ZEITWORK_GIT_INSECURE_HOSTS", "127.0.0.1:9"), ("SSL_CERT_FILE", "/dev/null")];
    let cluster = Cluster::start_with(&settings).await;
    let (owner, project, repository, first) = live_project(&cluster, "acme/steps").await;
    let points = Failpoints::of_operator(&cluster);
    let database = Mutex::new(cluster.sql());
    let commits = vec![first];
    let mut world =
        World { cluster: &cluster, owner, project, repository, points, database, commits };
    let load = Load::start(&[cluster.edge], &world.project.host, 4);
    let all = std::env::var_os("CHAOS").is_some();
    for (n, place) in world.points.known().iter().enumerate() {
        let dies = all || (n + n / 2).is_multiple_of(2);
        world.points.arm([place.as_str()], if dies { "again" } else { "note" });
    }

    work::all(&mut world).await;
    sources::all(&mut world).await;
    nodes::all(&mut world).await;

    let missed = world.points.armed();
    let seen = load.finish().await;
    assert_eq!((seen.failed, &seen.examples[..]), (0, &[][..]), "{seen:?}");
    assert!(missed.is_empty(), "no story reaches {missed:?}");
}

impl World<'_> {
    /// Tells some stories and expects everything to be right after them.
    #[expect(clippy::print_stderr, reason = "the figures of a long test")]
    async fn tell(&mut self, name: &str, stories: impl AsyncFnOnce(&mut Self)) {
        let (began, before) = (Instant::now(), self.points.hit().len());
        stories(self).await;
        self.is_right().await;
        let deaths = self.points.hit().len() - before;
        eprintln!("{name}: {deaths} deaths in {:.1} s", began.elapsed().as_secs_f64());
    }

    /// One live deployment, consistent rows, and nothing on the engine that nobody wants.
    async fn is_right(&mut self) {
        let commit = self.commits.last().unwrap().clone();
        self.serves(&commit).await;
        self.cluster.assert_consistent().await;
        let installation = self.cluster.installation();
        self.until("the engine has what is wanted and no more", async || {
            let wanted = self.instances().await;
            let there = engine::containers(&installation).await;
            let there = there.iter().filter_map(|it| it["dev.zeitwork.instance"].as_str());
            let there: BTreeSet<String> = there.map(str::to_owned).collect();
            if there == wanted { Ok(()) } else { Err(format!("{there:?}, not {wanted:?}")) }
        })
        .await;
    }

    /// The instances that have not ended.
    async fn instances(&self) -> BTreeSet<String> {
        let page = self.owner.get("/instances?limit=100").await;
        let items = page["items"].as_array().unwrap().iter();
        let open = items.filter(|it| it["status"] != "stopped" && it["status"] != "failed");
        open.map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for a fact, as long as the operator goes on dying and [`CONVERGE`] after that.
    async fn until<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
        let began = Instant::now();
        loop {
            let seen = match ask().await {
                Ok(answer) => return answer,
                Err(seen) => seen,
            };
            let quiet = self.points.quiet_for().min(began.elapsed());
            if quiet > CONVERGE || began.elapsed() > LONGEST {
                let deaths = self.points.hit();
                let last = &deaths[deaths.len().saturating_sub(5)..];
                panic!(
                    "{what}: not {quiet:?} after the last of {} deaths ({last:?}); last seen: {seen}",
                    deaths.len()
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether the operator shall still die at a step.
    fn is_ahead(&self, step: &str) -> bool {
        let armed = self.points.armed();
        armed.iter().any(|place| place.rsplit_once('.').is_some_and(|(of, _)| of == step))
    }

    /// Waits until the operator has died at a step, if it shall.
    async fn past(&self, step: &str) {
        self.until(step, async || {
            if self.is_ahead(step) { Err(self.points.armed().join(", ")) } else { Ok(()) }
        })
        .await;
    }

    /// Waits until the newest deployment of a commit has ended or is live, and returns it.
    async fn settled(&self, commit: &str) -> Value {
        let path = self.path("/deployments");
        self.until(&format!("{commit} settles"), async || {
            let page = self.owner.call(Method::GET, &path, None).await?.json();
            let ours =
                page["items"].as_array().into_iter().flatten().find(|d| d["commit"] == commit);
            let Some(ours) = ours else { return Err(format!("no deployment: {page}")) };
            match ours["status"].as_str() {
                Some("queued" | "building" | "starting") | None => Err(ours.to_string()),
                Some(_) => Ok(ours.clone()),
            }
        })
        .await
    }

    /// Waits until the commit is live and served.
    async fn serves(&self, commit: &str) {
        let ended = self.settled(commit).await;
        assert_eq!(ended["status"], "live", "{ended}");
        let part = format!("commit={commit}");
        self.until(&part, async || {
            let page = self.cluster.visit(&self.project.host, "/").await?.text();
            if page.contains(&part) { Ok(()) } else { Err(page) }
        })
        .await;
    }

    fn path(&self, rest: &str) -> String {
        format!("/projects/{}{rest}", self.project.id)
    }

    fn production(&self, rest: &str) -> String {
        self.path(&format!("/environments/production{rest}"))
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.owner.send(Method::POST, path, body).await
    }

    /// Commits and pushes.
    async fn push(&self, files: &[(&str, &str)], message: &str) -> String {
        let commit = self.repository.commit(files, message).await.unwrap();
        self.repository.push().await.unwrap();
        commit
    }

    /// The newest build of a commit, once it has a status.
    async fn build_is(&self, project: &str, commit: &str, wanted: &str) -> String {
        let path = format!("/projects/{project}/builds");
        self.until(&format!("the build of {commit} is {wanted}"), async || {
            let page = self.owner.call(Method::GET, &path, None).await?.json();
            let builds = page["items"].as_array().into_iter().flatten();
            let mut of_commit = builds.filter(|build| build["commit"] == commit);
            let Some(build) = of_commit.next() else { return Err(page.to_string()) };
            let id = build["id"].as_str().unwrap_or_default().to_owned();
            if build["status"] == wanted { Ok(id) } else { Err(page.to_string()) }
        })
        .await
    }

    /// Waits for the one value of a query.
    async fn until_row(&self, query: &str, wanted: &str) {
        self.until(query, async || {
            let is = self.database.lock().await.run(query).await;
            if is == wanted { Ok(()) } else { Err(format!("{is:?}, not {wanted:?}")) }
        })
        .await;
    }
}

/// A Dockerfile whose build takes until it is ended; no two have the same layers.
fn sleeping(name: &str) -> String {
    format!("FROM busybox\nCOPY . .\nRUN echo {name}; sleep 600\nCMD [\"true\"]\n")
}

/// The application's own Dockerfile.
fn serving() -> String {
    std::fs::read_to_string(crate::stories::app("web").join("Dockerfile")).unwrap()
}
