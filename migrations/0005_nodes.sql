create table nodes (
    id uuid primary key,
    name text not null unique check (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    status text not null default 'joining'
        check (status in ('joining', 'ready', 'cordoned', 'draining', 'drained', 'lost')),
    -- What a lost node is again with its next report.
    returns_to text not null default 'ready'
        check (returns_to in ('ready', 'cordoned', 'draining', 'drained')),
    builder boolean not null default true,
    -- Raw X25519 public key; the private half never leaves the node.
    public_key bytea not null check (length(public_key) = 32),
    -- The login that is this node, and nothing else.
    database_role text not null unique,
    -- Copied from its newest report.
    subnet cidr,
    host jsonb,
    problems jsonb not null default '[]',
    reported_at timestamptz,
    created_at timestamptz not null default now()
);

-- One target a node, whole, fenced by (epoch, generation).
create table node_targets (
    node_id uuid primary key references nodes on delete cascade,
    epoch bigint not null,
    generation bigint not null,
    target jsonb not null,
    written_at timestamptz not null default now()
);
create trigger node_targets_wake after insert or update on node_targets
    for each statement execute function zw.wake('zw_nodes');

-- One report a node, whole.
create table node_reports (
    node_id uuid primary key references nodes on delete cascade,
    report jsonb not null,
    reported_at timestamptz not null default now()
) with (fillfactor = 50);

create table image_locations (
    image_id uuid not null references images,
    node_id uuid not null references nodes on delete cascade,
    -- The id that this node's engine reports.
    engine_image text not null,
    last_used_at timestamptz not null default now(),
    primary key (image_id, node_id)
);
alter table builds add foreign key (node_id) references nodes;

create table instances (
    id uuid primary key,
    organisation_id uuid not null,
    project_id uuid not null,
    environment_id uuid not null,
    deployment_id uuid not null,
    node_id uuid not null references nodes,
    process text not null,
    status text not null default 'pending'
        check (status in ('pending', 'starting', 'healthy', 'unhealthy', 'draining', 'stopped',
                          'failed')),
    goal text not null default 'run' check (goal in ('run', 'pause', 'stop')),
    reason_code text,
    reason_text text,
    port integer not null check (port between 1 and 65535),
    restarts integer not null default 0,
    exit_code integer,
    oom_killed boolean not null default false,
    -- {"cpu_millis", "memory_bytes", …} of the newest report.
    usage jsonb,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    healthy_at timestamptz,
    draining_at timestamptz,
    -- Paused since: warm for a rollback.
    rested_at timestamptz,
    finished_at timestamptz,
    -- Of the state that it is in.
    deadline_at timestamptz,
    foreign key (organisation_id, project_id) references projects (organisation_id, id),
    foreign key (organisation_id, environment_id) references environments (organisation_id, id),
    foreign key (organisation_id, deployment_id) references deployments (organisation_id, id),
    unique (organisation_id, id),
    unique (node_id, id),
    check (status <> 'failed' or reason_code is not null)
);
create index instances_open on instances (environment_id)
    where status not in ('stopped', 'failed');
create index instances_of_node on instances (node_id)
    where status not in ('stopped', 'failed');
create index instances_of_deployment on instances (deployment_id);

-- An address belongs to one instance from before its start until every edge has applied a table
-- without it (or 24 hours): while its row is here, nobody else gets it.
create table endpoints (
    instance_id uuid primary key,
    node_id uuid not null,
    address inet not null,
    port integer not null,
    reserved_at timestamptz not null default now(),
    released_at timestamptz,
    foreign key (node_id, instance_id) references instances (node_id, id),
    unique (node_id, address)
);
-- New figures wake nobody.
create trigger instances_wake after insert or update of status, goal, reason_code on instances
    for each statement execute function zw.wake('zw_operator');
