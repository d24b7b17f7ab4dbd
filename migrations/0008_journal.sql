-- What happened (events), who did it (audit), and what was answered before (idempotency).
create table events (
    organisation_id uuid not null,
    environment_id uuid not null,
    -- Without gaps within the environment: drawn under its row lock.
    sequence bigint not null,
    kind text not null,
    text text not null,
    deployment_id uuid,
    instance_id uuid,
    actor text not null,
    request_id text,
    at timestamptz not null default now(),
    primary key (environment_id, sequence),
    foreign key (organisation_id, environment_id) references environments (organisation_id, id)
);
create function zw.number_event() returns trigger language plpgsql as $$
begin
    update environments set event_sequence = event_sequence + 1
    where id = new.environment_id
    returning event_sequence into new.sequence;
    perform pg_notify('zw_events', '');
    return new;
end $$;
create trigger events_number before insert on events
    for each row execute function zw.number_event();

create table audit_events (
    id bigint generated always as identity primary key,
    organisation_id uuid not null references organisations,
    actor text not null,
    action text not null,
    subject text not null,
    detail jsonb not null default '{}',
    request_id text,
    source_address inet,
    at timestamptz not null default now()
);
create index audit_events_of_organisation on audit_events (organisation_id, id desc);
create function zw.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'restrict_violation';
end $$;
create trigger audit_events_append_only before update or delete on audit_events
    for each row execute function zw.refuse_change();

create table idempotency_keys (
    api_key_id uuid not null,
    key text not null check (length(key) between 1 and 200),
    route text not null,
    request_hash bytea not null,
    -- Null while the first request is at work.
    status integer,
    headers jsonb,
    body bytea,
    created_at timestamptz not null default now(),
    primary key (api_key_id, key)
);

-- What each loop of the operator did last, for `GET /system/reconcilers`.
create table reconciler_reports (
    name text primary key,
    last_pass_at timestamptz not null,
    duration_ms bigint not null,
    passes bigint not null,
    actions bigint not null,
    drift_found bigint not null,
    error text,
    detail jsonb not null default '{}'
);
