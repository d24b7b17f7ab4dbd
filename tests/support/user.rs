//! A person with an API key.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::{Answer, Ask};
use crate::{Cluster, eventually};

/// Longest time until a small application is live on a busy machine. Shorter than the time between
/// two sweeps (2 min), which would hide that pushes are not taken.
pub const LIVE_LIMIT: Duration = Duration::from_secs(100);

/// Somebody who calls the API of a cluster.
#[derive(Clone)]
pub struct User<'a> {
    cluster: &'a Cluster,
    key: String,
}

/// A project as its user sees it.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// Its production environment.
    pub environment: String,
    /// Host of the production environment.
    pub host: String,
}

impl Cluster {
    /// The platform's owner.
    #[must_use]
    pub fn owner(&self) -> User<'_> {
        self.user(&self.owner_key())
    }

    /// Whoever holds this key.
    #[must_use]
    pub fn user(&self, key: &str) -> User<'_> {
        User { cluster: self, key: key.to_owned() }
    }
}

impl User<'_> {
    /// One request to the API, below `/api/v1`.
    ///
    /// # Errors
    /// What went wrong, as text.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        self.call_for(method, path, body, None).await
    }

    async fn call_for(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        wish: Option<&str>,
    ) -> Result<Answer, String> {
        let host = self.cluster.api.to_string();
        let path = format!("/api/v1{path}");
        let ask = Ask { method, host: &host, path: &path, key: Some(&self.key), body, wish };
        ask.send(self.cluster.api).await
    }

    /// Comes back as the documentation of the API says: while there is no answer, the database is
    /// busy, or the first of these requests is still at work.
    async fn insist(&self, method: &Method, path: &str, body: Option<&Value>) -> Answer {
        static WISHES: AtomicU64 = AtomicU64::new(0);
        let next = || format!("wish-{}", WISHES.fetch_add(1, Ordering::Relaxed));
        let wish = std::sync::Mutex::new(next());
        eventually(&format!("{method} {path} is answered"), LIVE_LIMIT, || async {
            let same = wish.lock().unwrap().clone();
            let answer = self.call_for(method.clone(), path, body, Some(&same)).await?;
            let told = answer.text();
            match answer.status {
                StatusCode::SERVICE_UNAVAILABLE => Err(told),
                StatusCode::CONFLICT if told.contains("is still at work") => Err(told),
                // The answer that was lost held a secret: whoever wants one asks for another.
                StatusCode::CONFLICT if told.contains("is shown only once") => {
                    *wish.lock().unwrap() = next();
                    Err(told)
                }
                _ => Ok(answer),
            }
        })
        .await
    }

    /// Reads a resource.
    ///
    /// # Panics
    /// Where the answer is no 200.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.insist(&Method::GET, path, None).await;
        assert_eq!(answer.status, StatusCode::OK, "GET {path}: {}", answer.text());
        answer.json()
    }

    /// Sends a wish.
    ///
    /// # Panics
    /// Where the answer is no success.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Value {
        let answer = self.insist(&method, path, Some(body)).await;
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text());
        answer.json()
    }

    /// Makes a project for a repository of the stand-in.
    ///
    /// # Panics
    /// Where it is refused.
    pub async fn create_project(&self, name: &str, repository: &str) -> Project {
        let source = json!({"kind": "github", "repository": repository});
        let body = json!({"name": name, "source": source});
        let made = self.send(Method::POST, "/projects", &body).await;
        let environment = &made["environments"][0];
        let address = environment["address"].as_str().unwrap();
        let host = address.trim_start_matches("http://").split(':').next().unwrap();
        Project {
            id: made["id"].as_str().unwrap().to_owned(),
            environment: environment["id"].as_str().unwrap().to_owned(),
            host: host.to_owned(),
        }
    }

    /// Waits until the newest deployment of a commit has reached a state from which it does not
    /// move by itself, and returns it.
    pub async fn settled(&self, project: &Project, commit: &str) -> Value {
        let path = format!("/projects/{}/deployments", project.id);
        eventually(&format!("{commit} settles"), LIVE_LIMIT, || async {
            let answer = self.call(Method::GET, &path, None).await?;
            let page = answer.json();
            let ours =
                page["items"].as_array().into_iter().flatten().find(|d| d["commit"] == commit);
            let Some(ours) = ours else { return Err(format!("no deployment: {}", answer.text())) };
            match ours["status"].as_str() {
                Some("queued" | "building" | "starting") | None => Err(ours.to_string()),
                Some(_) => Ok(ours.clone()),
            }
        })
        .await
    }

    /// Ids of the project's healthy instances.
    pub async fn healthy(&self, project: &Project) -> BTreeSet<String> {
        let page = self.get(&format!("/instances?project={}", project.id)).await;
        let instances = page["items"].as_array().into_iter().flatten();
        let healthy = instances.filter(|instance| instance["status"] == "healthy");
        healthy.filter_map(|instance| instance["id"].as_str().map(str::to_owned)).collect()
    }

    /// Waits until a commit is live.
    ///
    /// # Panics
    /// Where it ends otherwise.
    pub async fn live(&self, project: &Project, commit: &str) -> Value {
        let deployment = self.settled(project, commit).await;
        assert_eq!(deployment["status"], "live", "{deployment}\n{}", self.cluster.logs());
        deployment
    }
}
