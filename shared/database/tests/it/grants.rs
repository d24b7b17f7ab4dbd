//! What each role may do with every table and every function of ours, by construction: one that
//! does not stand here fails, and so does a grant more or less.

use zeitwork_database::testing::{TestDatabase, texts};

type Rights = [&'static str; ROLES.len()];

const ROLES: [&str; 4] = ["zeitwork_api", "zeitwork_operator", "zeitwork_edge", "zeitwork_node"];

/// `s`elect, `i`nsert, `u`pdate (`c`: of some columns), `d`elete; `x`: truncate, refer, trigger.
/// The rows that a node sees of its targets are for `node_channel` to prove.
#[rustfmt::skip]
const TABLES: &[(&str, Rights)] = &[
    ("_sqlx_migrations", ["s", "s", "s", "s"]),
    ("api_keys", ["siud", "s", "-", "-"]),
    ("audit_events", ["si", "si", "-", "-"]),
    ("builds", ["siud", "siud", "-", "-"]),
    ("deployments", ["siud", "siud", "-", "-"]),
    ("domains", ["siud", "siud", "-", "-"]),
    ("edges", ["s", "siud", "-", "-"]),
    ("endpoints", ["s", "siud", "-", "-"]),
    ("environments", ["siud", "siud", "-", "-"]),
    ("events", ["siud", "siud", "-", "-"]),
    ("github_installations", ["siud", "siud", "-", "-"]),
    ("idempotency_keys", ["siud", "siud", "-", "-"]),
    ("image_locations", ["s", "siud", "-", "-"]),
    ("images", ["sc", "siud", "-", "-"]),
    ("installation", ["s", "s", "s", "s"]),
    ("instances", ["s", "siud", "-", "-"]),
    ("log_chunks", ["s", "siud", "-", "-"]),
    ("log_streams", ["s", "siud", "-", "-"]),
    ("node_reports", ["s", "siud", "-", "-"]),
    ("node_targets", ["s", "siud", "-", "s"]),
    ("nodes", ["sc", "siud", "-", "-"]),
    ("organisations", ["siud", "s", "-", "-"]),
    ("processes", ["siud", "siud", "-", "-"]),
    ("project_keys", ["siud", "siud", "-", "-"]),
    ("projects", ["siud", "siud", "-", "-"]),
    ("reconciler_reports", ["s", "siud", "-", "-"]),
    ("route_feed", ["s", "siud", "s", "-"]),
    ("route_gate", ["s", "s", "-", "-"]),
    ("routes", ["s", "siud", "s", "-"]),
    ("seen_branches", ["s", "siud", "-", "-"]),
    ("variable_sets", ["siud", "siud", "-", "-"]),
    ("variables", ["siud", "siud", "-", "-"]),
    ("webhook_deliveries", ["siud", "siud", "-", "-"]),
    ("wishes", ["siud", "siud", "-", "-"]),
];

/// Who may call them.
#[rustfmt::skip]
const FUNCTIONS: &[(&str, Rights)] = &[
    ("append_chunk", ["-", "-", "-", "x"]),
    ("append_log", ["-", "-", "-", "x"]),
    ("append_route_feed", ["-", "x", "-", "-"]),
    ("create_login", ["-", "-", "-", "-"]),
    ("drop_log_partitions", ["-", "x", "-", "-"]),
    ("ensure_log_partitions", ["-", "x", "-", "-"]),
    ("leave_edge", ["-", "-", "x", "-"]),
    ("log_end", ["-", "-", "-", "x"]),
    ("log_position", ["-", "-", "-", "x"]),
    ("my_node", ["-", "-", "-", "x"]),
    ("number_event", ["x", "x", "-", "-"]),
    ("refuse_change", ["-", "x", "-", "-"]),
    ("report", ["-", "-", "-", "x"]),
    ("report_edge", ["-", "-", "x", "-"]),
    ("wake", ["x", "x", "-", "-"]),
    ("wake_operator_row", ["x", "x", "-", "-"]),
];

const OF_TABLES: &str = "
    from pg_class o
    cross join unnest(string_to_array($roles, ' ')) with ordinality as r(role, n)
    cross join lateral (
        select string_agg(letter, '' order by k) as rights
        from unnest(
            array['s', 'i', 'u', 'c', 'd', 'x'],
            array['select', 'insert', 'update', 'update', 'delete', 'truncate,references,trigger']
        ) with ordinality as p(letter, privilege, k)
        where case letter
            when 'c' then has_any_column_privilege(role, o.oid, privilege)
                and not has_table_privilege(role, o.oid, privilege)
            when 's' then has_any_column_privilege(role, o.oid, privilege)
            else has_table_privilege(role, o.oid, privilege)
        end
    ) as had
    where o.relnamespace = 'public'::regnamespace and o.relkind in ('r', 'p', 'v', 'm', 'f')";

/// One line for each object: its name, and the rights of each role.
async fn granted(world: &TestDatabase, from: &str) -> Vec<String> {
    let roles = format!("'{}'", ROLES.join(" "));
    let query = format!(
        "select name || string_agg(' ' || coalesce(rights, '-'), '' order by n)
         from ({}) as granted
         group by name order by name collate \"C\"",
        from.replace("$roles", &roles)
    );
    texts(&world.owner, &query).await
}

fn expected(all: &[(&str, Rights)]) -> Vec<String> {
    all.iter().map(|(name, rights)| format!("{name} {}", rights.join(" "))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_table_is_open_to_whom_it_is_for_and_to_nobody_else() {
    let world = TestDatabase::create().await;
    let whole = format!("select o.relname as name, n, rights {OF_TABLES} and not o.relispartition");
    assert_eq!(granted(&world, &whole).await, expected(TABLES));
    // Those that were there when the roles were made can be read as their whole can.
    let parts = format!(
        "select o.relname as name, n, rights {OF_TABLES} and o.relispartition
            and rights is not null
            and (rights <> 's' or role in ('zeitwork_edge', 'zeitwork_node'))"
    );
    assert_eq!(granted(&world, &parts).await, [""; 0], "a part is open to nobody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_function_is_open_to_whom_it_is_for_and_to_nobody_else() {
    let world = TestDatabase::create().await;
    let functions = "select o.proname as name, n,
            case when has_function_privilege(role, o.oid, 'execute') then 'x' end as rights
        from pg_proc o
        cross join unnest(string_to_array($roles, ' ')) with ordinality as r(role, n)
        where o.pronamespace = 'zw'::regnamespace";
    assert_eq!(granted(&world, functions).await, expected(FUNCTIONS));
}
