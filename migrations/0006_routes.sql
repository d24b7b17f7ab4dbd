-- The route table and its feed. A generation is drawn at commit, behind a lock on the gate:
-- a reader that has seen generation g has seen every committed change up to g.
create table routes (
    host text primary key,
    organisation_id uuid not null,
    environment_id uuid not null,
    route jsonb not null,
    written_at timestamptz not null default now(),
    foreign key (organisation_id, environment_id) references environments (organisation_id, id)
);
create index routes_of_environment on routes (environment_id);

create table route_gate ();
create sequence route_generation;
create table route_feed (
    generation bigint primary key,
    host text not null,
    environment_id uuid not null,
    written_at timestamptz not null default now()
);
create index route_feed_of_environment on route_feed (environment_id, generation desc);
create index route_feed_of_host on route_feed (host, generation desc);

create function zw.append_route_feed() returns trigger language plpgsql
security definer set search_path = pg_catalog, public as $$
begin
    lock table route_gate in share row exclusive mode;
    if tg_op = 'DELETE' then
        insert into route_feed (generation, host, environment_id)
        values (nextval('route_generation'), old.host, old.environment_id);
    else
        insert into route_feed (generation, host, environment_id)
        values (nextval('route_generation'), new.host, new.environment_id);
    end if;
    perform pg_notify('zw_routes', '');
    return null;
end $$;
create constraint trigger routes_feed after insert or update or delete on routes
    deferrable initially deferred for each row execute function zw.append_route_feed();

-- Running edges: what each has applied and what it has in flight.
create table edges (
    id uuid primary key,
    name text not null,
    version text not null,
    epoch bigint not null default 0,
    applied_generation bigint not null default 0,
    -- {"ins_…": requests}; instances without any are left out.
    in_flight jsonb not null default '{}',
    started_at timestamptz not null default now(),
    reported_at timestamptz not null default now(),
    lease_until timestamptz not null
) with (fillfactor = 50);
create function zw.wake_operator_row() returns trigger language plpgsql as $$
begin
    perform pg_notify('zw_operator', '');
    return null;
end $$;
create trigger edges_wake_insert after insert on edges
    for each row execute function zw.wake_operator_row();
create trigger edges_wake after update on edges for each row
    when (old.applied_generation is distinct from new.applied_generation
          or old.in_flight is distinct from new.in_flight)
    execute function zw.wake_operator_row();
