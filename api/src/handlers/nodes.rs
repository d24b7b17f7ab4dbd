//! Nodes: the platform's owner alone sees them.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use zeitwork_database::{PgConnection, nodes};
use zeitwork_model::id::NodeId;
use zeitwork_model::node::NodeStatus::{self, Cordoned, Drained, Draining, Ready};
use zeitwork_model::page::Page;
use zeitwork_web::Problem;

use super::accepted;
use crate::error::Answer;
use crate::extract::{Caller, Id, PageQuery, Who, can};
use crate::state::App;
use crate::views::system::Node;

#[utoipa::path(get, path = "/nodes", tag = "nodes", operation_id = "list_nodes",
    params(PageQuery), responses((status = 200, body = Page<Node>)))]
/// All nodes, newest first.
pub async fn list(
    State(app): State<App>,
    _caller: Caller<can::ReadNodes>,
    page: PageQuery,
) -> Answer<Json<Page<Node>>> {
    let mut connection = app.database.acquire().await?;
    let rows = nodes::list(&mut connection, page.after()?, page.rows()).await?;
    Ok(Json(page.finish(rows, |row| row.id, Node::from)))
}

async fn find(connection: &mut PgConnection, id: NodeId) -> Answer<Node> {
    let row = nodes::get(connection, id).await?;
    Ok(row.ok_or_else(Problem::not_found)?.into())
}

#[utoipa::path(get, path = "/nodes/{node}", tag = "nodes", operation_id = "get_node",
    params(("node" = NodeId, Path, description = "Id")),
    responses((status = 200, body = Node)))]
/// One node.
pub async fn get(
    State(app): State<App>,
    _caller: Caller<can::ReadNodes>,
    Id(id): Id<NodeId>,
) -> Answer<Json<Node>> {
    let mut connection = app.database.acquire().await?;
    Ok(Json(find(&mut connection, id).await?))
}

#[utoipa::path(post, path = "/nodes/{node}/cordon", tag = "nodes", operation_id = "cordon_node",
    params(("node" = NodeId, Path, description = "Id")),
    responses((status = 202, body = Node)))]
/// Gives the node nothing new; what runs there stays.
pub async fn cordon(
    State(app): State<App>,
    caller: Caller<can::ManageNodes>,
    Id(id): Id<NodeId>,
) -> Answer<Response> {
    change(&app, &caller, id, "node.cordon", &[Ready, Draining], Cordoned).await
}

#[utoipa::path(post, path = "/nodes/{node}/uncordon", tag = "nodes",
    operation_id = "uncordon_node", params(("node" = NodeId, Path, description = "Id")),
    responses((status = 202, body = Node)))]
/// Lets a cordoned or drained node take work again.
pub async fn uncordon(
    State(app): State<App>,
    caller: Caller<can::ManageNodes>,
    Id(id): Id<NodeId>,
) -> Answer<Response> {
    change(&app, &caller, id, "node.uncordon", &[Cordoned, Draining, Drained], Ready).await
}

#[utoipa::path(post, path = "/nodes/{node}/drain", tag = "nodes", operation_id = "drain_node",
    params(("node" = NodeId, Path, description = "Id")),
    responses((status = 202, body = Node)))]
/// Moves everything off the node.
pub async fn drain(
    State(app): State<App>,
    caller: Caller<can::ManageNodes>,
    Id(id): Id<NodeId>,
) -> Answer<Response> {
    change(&app, &caller, id, "node.drain", &[Ready, Cordoned], Draining).await
}

async fn change(
    app: &App,
    who: &Who,
    id: NodeId,
    action: &str,
    from: &[NodeStatus],
    to: NodeStatus,
) -> Answer<Response> {
    let mut transaction = app.database.begin().await?;
    nodes::set_status(&mut transaction, id, from, to).await?;
    who.audit(&mut transaction, action, id, json!({})).await?;
    let view = find(&mut transaction, id).await?;
    who.conclude(transaction, accepted(format!("/api/v1/nodes/{id}"), view)).await
}
