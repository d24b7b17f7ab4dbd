//! A world in one line: a database of its own, the api on a free port, keys to call it with.

use std::net::SocketAddr;
use std::sync::Once;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use zeitwork_api::{Config, Parts};
use zeitwork_auth::ApiKey;
use zeitwork_database::Database;
use zeitwork_database::api_keys::{self, NewApiKey};
use zeitwork_database::login::Role;
use zeitwork_database::organisations;
use zeitwork_database::testing::TestDatabase;
use zeitwork_model::id::{ApiKeyId, OrganisationId};
use zeitwork_model::scope::Scope;
use zeitwork_runtime::Lifecycle;
use zeitwork_secrets::MasterKey;

/// The webhook secret of every world.
pub const SECRET: &str = "a webhook secret";

pub struct World {
    pub database: TestDatabase,
    pub address: SocketAddr,
    pub http: reqwest::Client,
    /// The api's own pool.
    pub pool: Database,
    life: Lifecycle,
    _folder: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.life.stop_now();
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Reply {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the api answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a whole body");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { status, headers, body, text }
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.body
    }

    /// The answer is a problem of the one format.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.body["code"], code, "{}", self.text);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["request_id"], self.headers["x-request-id"].to_str().unwrap());
        self.body
    }
}

/// Somebody with a key.
pub struct User<'a> {
    pub world: &'a World,
    pub organisation: OrganisationId,
    pub key_id: ApiKeyId,
    pub key: String,
}

impl World {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            provider.install_default().expect("the first provider");
        });
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config {
            addresses: vec!["127.0.0.1:0".parse().unwrap()],
            database_url: None,
            base_domain: "localhost".to_owned(),
            edge_port: 8080,
            master_key_file: folder.path().join("master.key"),
            owner_key: None,
            webhook_secrets: vec![SECRET.to_owned().into()],
            insecure_hosts: vec!["127.0.0.1:9999".to_owned()],
        };
        change(&mut config);
        let database = TestDatabase::create().await;
        let pool = database.role(Role::Api).await;
        let parts = Parts { database: pool.clone(), master_key: MasterKey::generate() };
        let life = Lifecycle::new();
        let addresses = zeitwork_api::run(config, parts, &life).expect("a free port");
        let http = reqwest::Client::builder().build().unwrap();
        Self { database, address: addresses[0], http, pool, life, _folder: folder }
    }

    pub fn url(&self, path: &str) -> String {
        let path =
            if path.starts_with("/api/") { path.to_owned() } else { format!("/api/v1{path}") };
        format!("http://{}{path}", self.address)
    }

    /// A user of a new organisation.
    pub async fn user(&self, scope: Scope) -> User<'_> {
        let organisation = OrganisationId::new();
        let mut connection = self.database.owner.acquire().await.unwrap();
        let slug = format!("org-{}", &organisation.0.simple().to_string()[20..]);
        organisations::insert(&mut connection, organisation, &slug, "Test").await.unwrap();
        self.colleague(organisation, scope).await
    }

    /// Another key of an organisation.
    pub async fn colleague(&self, organisation: OrganisationId, scope: Scope) -> User<'_> {
        let (key, key_id) = (ApiKey::generate(), ApiKeyId::new());
        let new = NewApiKey {
            id: key_id,
            organisation_id: organisation,
            name: "test",
            prefix: key.prefix(),
            hash: &key.hash(),
            scope,
            expires_at: None,
        };
        let mut connection = self.database.owner.acquire().await.unwrap();
        api_keys::insert(&mut connection, &new).await.unwrap();
        User { world: self, organisation, key_id, key: key.expose().to_owned() }
    }
}

impl User<'_> {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.world.http.request(method, self.world.url(path)).bearer_auth(&self.key)
    }

    pub async fn get(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Reply {
        Reply::of(self.request(Method::DELETE, path)).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> Reply {
        Reply::of(self.request(method, path).json(&body)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, body).await
    }

    /// A project of a git source with this name.
    pub async fn project(&self, name: &str) -> Value {
        let source = serde_json::json!({ "kind": "git", "url": "https://example.com/a.git" });
        let body = serde_json::json!({ "name": name, "source": source });
        self.post("/projects", body).await.expect(201)
    }
}
