-- What each daemon may do. The roles carry grants only; logins are made by zw.create_login and
-- are members of one. A node's rights hang on its session_user, so SET ROLE gains nothing.
do $$
declare
    name text;
begin
    foreach name in array array['zeitwork_api', 'zeitwork_operator', 'zeitwork_edge', 'zeitwork_node'] loop
        if not exists (select 1 from pg_roles where rolname = name) then
            execute format('create role %I nologin', name);
        end if;
    end loop;
end $$;

create function zw.create_login(login text, member_of text, secret text) returns void
language plpgsql set search_path = pg_catalog, public as $$
begin
    if member_of not in ('zeitwork_api', 'zeitwork_operator', 'zeitwork_edge', 'zeitwork_node') then
        raise exception 'unknown role %', member_of;
    end if;
    if not exists (select 1 from pg_roles where rolname = login) then
        execute format('create role %I login in role %I connection limit 40', login, member_of);
    end if;
    execute format('alter role %I password %L', login, secret);
    -- Here and not once: a database made from a template does not inherit its grants.
    execute format('revoke all on database %I from public', current_database());
    execute format('grant connect on database %I to %I', current_database(), login);
end $$;

revoke all on schema public from public;
grant usage on schema public, zw
    to zeitwork_api, zeitwork_operator, zeitwork_edge, zeitwork_node;
revoke execute on all functions in schema zw from public;

grant select on all tables in schema public to zeitwork_api, zeitwork_operator;
grant insert, update, delete on
    organisations, api_keys, github_installations, projects, project_keys, environments,
    processes, variables, domains, variable_sets, deployments, wishes, builds, events,
    webhook_deliveries, idempotency_keys
    to zeitwork_api;
grant update (status, returns_to) on nodes to zeitwork_api;
grant insert on audit_events to zeitwork_api, zeitwork_operator;
grant insert, update, delete on
    github_installations, projects, project_keys, environments, processes, variables, domains,
    images, builds, variable_sets, deployments, wishes, nodes, node_targets, node_reports,
    image_locations, instances, endpoints, routes, route_feed, edges, webhook_deliveries, events,
    idempotency_keys, reconciler_reports, log_streams, log_chunks
    to zeitwork_operator;
create policy operator_writes on node_targets to zeitwork_operator using (true) with check (true);
grant execute on function zw.wake(), zw.wake_operator_row(), zw.append_route_feed(),
    zw.number_event(), zw.refuse_change(), zw.ensure_log_partitions(),
    zw.drop_log_partitions(date)
    to zeitwork_operator;
grant execute on function zw.wake(), zw.wake_operator_row(), zw.number_event() to zeitwork_api;

grant select on installation, routes, route_feed to zeitwork_edge;
grant select, insert, update, delete on edges to zeitwork_edge;
grant execute on function zw.wake_operator_row() to zeitwork_edge;

grant select on installation, node_targets to zeitwork_node;
grant execute on function zw.my_node(), zw.report(jsonb, boolean), zw.log_position(text),
    zw.append_log(text, bigint, integer, timestamptz, timestamptz, bytea, boolean)
    to zeitwork_node;

-- Open to every login by default, and each a way to stop or fill the database. Only a superuser
-- can close them; `zeitwork doctor` says so where it was none.
do $$
declare
    target record;
begin
    if not (select rolsuper from pg_roles where rolname = current_user) then
        return;
    end if;
    for target in
        select p.oid::regprocedure as signature from pg_proc p
        where p.pronamespace = 'pg_catalog'::regnamespace
          and (p.proname ~ '^(pg_advisory|pg_try_advisory|pg_sleep|lo_)'
               or p.proname in ('lowrite', 'loread'))
    loop
        execute format('revoke execute on function %s from public', target.signature);
    end loop;
end $$;
