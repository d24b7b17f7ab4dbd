//! A project with one of everything below it, as if operator and nodes had worked.

use serde_json::{Value, json};
use zeitwork_model::id::{
    BuildId, DeliveryId, DeploymentId, ImageId, InstanceId, NodeId, ProjectId,
};

use crate::support::User;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Ids of what is there.
pub struct Stock {
    pub project: ProjectId,
    pub environment: String,
    pub deployment: DeploymentId,
    pub build: BuildId,
    pub instance: InstanceId,
    pub node: NodeId,
    pub delivery: DeliveryId,
    /// GitHub's number, given to the user's organisation.
    pub installation: i64,
}

impl Stock {
    /// Makes it with the user's key, which must be allowed to write.
    pub async fn new(user: &User<'_>) -> Self {
        let project = user.project("shop").await;
        let body = json!({ "environment": "production", "commit": COMMIT });
        let deployment = user.post("/projects/shop/deployments", body).await.expect(202);
        let variable = json!({ "value": "blue-canary", "secret": true });
        user.put("/projects/shop/variables/COLOUR", variable).await.expect(200);
        let stock = Self {
            project: id(&project["id"]),
            environment: text(&project["environments"][0]["id"]),
            deployment: id(&deployment["id"]),
            build: BuildId::new(),
            instance: InstanceId::new(),
            node: NodeId::new(),
            delivery: DeliveryId::new(),
            installation: number_of(id(&project["id"])),
        };
        stock.fill(user).await;
        stock
    }

    async fn fill(&self, user: &User<'_>) {
        let organisation = user.organisation.0;
        let (project, deployment, build) = (self.project.0, self.deployment.0, self.build.0);
        let environment = self.environment.parse::<zeitwork_model::id::EnvironmentId>().unwrap().0;
        let (node, instance, delivery) = (self.node.0, self.instance.0, self.delivery.0);
        let name = node.simple();
        let number = self.installation;
        let script = format!(
            "insert into github_installations (installation_id, organisation_id, account)
             values ({number}, '{organisation}', 'acme');
             update projects set installation_id = {number}, repository_id = {number}
             where id = '{project}';
             insert into builds (id, organisation_id, project_id, commit_sha, root_directory,
                dockerfile, plan_key)
             values ('{build}', '{organisation}', '{project}', '{COMMIT}', '', 'Dockerfile', 'k');
             update deployments set build_id = '{build}' where id = '{deployment}';
             insert into nodes (id, name, status, public_key, database_role)
             values ('{node}', 'node-{name}', 'ready', decode(repeat('00', 32), 'hex'),
                'role_{name}');
             insert into instances (id, organisation_id, project_id, environment_id,
                deployment_id, node_id, process, status, port)
             values ('{instance}', '{organisation}', '{project}', '{environment}',
                '{deployment}', '{node}', 'web', 'healthy', 8080);
             insert into endpoints (instance_id, node_id, address, port)
             values ('{instance}', '{node}', '10.1.2.3', 8080);
             insert into webhook_deliveries (id, source, delivery_id, event, installation_id,
                repository_id, payload)
             values ('{delivery}', 'github', 'd-{name}', 'push', {number}, {number}, '');"
        );
        user.world.database.run(script).await;
    }

    /// Brings it into the state in which an operation has something to do.
    pub async fn prepare(&self, user: &User<'_>, operation: &str) {
        let script = match operation {
            "roll_back" => return self.retire(user).await,
            "retry_build" => format!(
                "update builds set status = 'failed', finished_at = now(), reason_code = 'x',
                    reason_text = 'x'
                 where id = '{}'",
                self.build.0
            ),
            "uncordon_node" => {
                format!("update nodes set status = 'cordoned' where id = '{}'", self.node.0)
            }
            _ => return,
        };
        user.world.database.run(script).await;
    }

    /// The deployment has been live and another one is.
    pub async fn retire(&self, user: &User<'_>) {
        let (organisation, project) = (user.organisation.0, self.project.0);
        let (image, deployment, node) = (ImageId::new().0, self.deployment.0, self.node.0);
        let script = format!(
            "insert into images (id, organisation_id, project_id, content_id, size_bytes, platform)
             values ('{image}', '{organisation}', '{project}', 'sha256:{image}', 1, 'linux/amd64');
             insert into image_locations (image_id, node_id, engine_image)
             values ('{image}', '{node}', 'sha256:{image}');
             update deployments set status = 'retired', image_id = '{image}', live_at = now()
             where id = '{deployment}';
             update wishes set status = 'retired', ended_at = now()
             where deployment_id = '{deployment}';"
        );
        user.world.database.run(script).await;
    }
}

pub fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap().parse().unwrap()
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// A number as GitHub would give it, different for each stock.
fn number_of(project: ProjectId) -> i64 {
    let [.., a, b, c, d] = project.0.into_bytes();
    i64::from(u32::from_be_bytes([a, b, c, d]))
}
