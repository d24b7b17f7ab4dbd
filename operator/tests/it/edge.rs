//! Plays an edge: applies the route table, renews its lease, and counts what went dark.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use zeitwork_database::Database;
use zeitwork_database::testing::{TestDatabase, execute, texts};
use zeitwork_model::id::{EdgeId, InstanceId};
use zeitwork_runtime::Lifecycle;

#[derive(Default)]
struct State {
    frozen: bool,
    /// Requests that never end, by instance.
    in_flight: BTreeSet<InstanceId>,
    /// Instances that the host led to, one entry for each change.
    history: Vec<BTreeSet<InstanceId>>,
}

/// An edge.
#[derive(Clone)]
pub struct Edge {
    id: EdgeId,
    database: Database,
    state: Arc<Mutex<State>>,
}

impl Edge {
    /// Takes its lease and runs until the test ends.
    pub async fn start(database: &TestDatabase, life: &Lifecycle) -> Self {
        let database = database.owner.clone();
        let edge = Self { id: EdgeId::new(), database, state: Arc::default() };
        let running = edge.clone();
        running.turn().await;
        let stopped = life.clone();
        life.spawn_detached("edge", async move {
            while !stopped.is_stopping() {
                let frozen = running.state.lock().unwrap().frozen;
                if !frozen {
                    running.turn().await;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        edge
    }

    /// It applies nothing, or goes on. Its lease lives on in either case for 15 s.
    pub fn freeze(&self, frozen: bool) {
        self.state.lock().unwrap().frozen = frozen;
    }

    /// A request to the instance that does not end, or ends now.
    pub fn hold(&self, instance: InstanceId, held: bool) {
        let mut state = self.state.lock().unwrap();
        if held {
            state.in_flight.insert(instance);
        } else {
            state.in_flight.remove(&instance);
        }
    }

    /// What it routes to now.
    pub fn routed(&self) -> BTreeSet<InstanceId> {
        self.state.lock().unwrap().history.last().cloned().unwrap_or_default()
    }

    /// Whether the host led nowhere after it once led somewhere.
    pub fn went_dark(&self) -> bool {
        let state = self.state.lock().unwrap();
        let lit = state.history.iter().skip_while(|routed| routed.is_empty());
        lit.clone().any(BTreeSet::is_empty)
    }

    async fn turn(&self) {
        let rows = texts(
            &self.database,
            "select coalesce(max(generation), 0)::text from route_feed
                union all
                select e->>'instance' from routes r, jsonb_array_elements(r.route->'endpoints') e",
        )
        .await;
        let generation = rows[0].clone();
        let routed: BTreeSet<InstanceId> = rows[1..].iter().map(|t| t.parse().unwrap()).collect();
        let in_flight = {
            let mut state = self.state.lock().unwrap();
            if state.history.last() != Some(&routed) {
                state.history.push(routed);
            }
            let held = state.in_flight.iter().map(|id| format!("\"{id}\": 1"));
            held.collect::<Vec<_>>().join(", ")
        };
        execute(
            &self.database,
            &format!(
                "insert into edges (id, name, version, epoch, applied_generation, in_flight,
                    lease_until)
                values ('{}', 'edge', 'test', 1, {generation}, '{{{in_flight}}}',
                    now() + interval '15 seconds')
                on conflict (id) do update
                set applied_generation = excluded.applied_generation,
                    in_flight = excluded.in_flight, lease_until = excluded.lease_until",
                self.id.0
            ),
        )
        .await;
    }
}
