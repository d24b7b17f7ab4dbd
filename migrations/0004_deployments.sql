-- What an environment was told to run, and what became of it.
create table images (
    id uuid primary key,
    organisation_id uuid not null,
    project_id uuid not null,
    -- As the engine that built it reports it (`sha256:…`).
    content_id text not null,
    size_bytes bigint not null check (size_bytes >= 0),
    platform text not null,
    exposed_ports integer[] not null default '{}',
    created_at timestamptz not null default now(),
    deleted_at timestamptz,
    foreign key (organisation_id, project_id) references projects (organisation_id, id),
    unique (organisation_id, id)
);
create unique index images_content on images (project_id, content_id) where deleted_at is null;

create table builds (
    id uuid primary key,
    organisation_id uuid not null,
    project_id uuid not null,
    commit_sha text not null check (commit_sha ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
    root_directory text not null,
    dockerfile text not null,
    variable_set_id uuid,
    -- Hash over everything that goes in: identical input is built once.
    plan_key text not null,
    status text not null default 'queued'
        check (status in ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'superseded')),
    priority integer not null default 0,
    -- The fencing token: what reports under another number is refused.
    attempt integer not null default 0,
    maximum_attempts integer not null default 3,
    node_id uuid,
    lease_until timestamptz,
    not_before timestamptz not null default now(),
    image_id uuid,
    step text,
    reason_code text,
    reason_text text,
    cancel_requested_at timestamptz,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    deadline_at timestamptz,
    foreign key (organisation_id, project_id) references projects (organisation_id, id),
    foreign key (organisation_id, image_id) references images (organisation_id, id),
    unique (organisation_id, id),
    check ((status = 'running') = (lease_until is not null)),
    check (status <> 'running' or node_id is not null),
    check (status <> 'succeeded' or image_id is not null),
    check (status <> 'failed' or reason_code is not null)
) with (fillfactor = 80);
-- One at a time for a project, whatever claims there are at once.
create unique index builds_one_running on builds (project_id) where status = 'running';
create unique index builds_open_plan on builds (project_id, plan_key)
    where status in ('queued', 'running');
create index builds_queue on builds (priority desc, created_at) where status = 'queued';

-- Ciphertexts of the variables as they were; content-addressed.
create table variable_sets (
    id uuid primary key,
    organisation_id uuid not null,
    project_id uuid not null,
    digest bytea not null,
    -- [{"id", "name", "at", "secret", "key_version", "ciphertext"}], ciphertext in base 64.
    entries jsonb not null,
    created_at timestamptz not null default now(),
    foreign key (organisation_id, project_id) references projects (organisation_id, id),
    unique (organisation_id, id),
    unique (project_id, digest)
);
alter table builds add foreign key (organisation_id, variable_set_id)
    references variable_sets (organisation_id, id);

create table deployments (
    id uuid primary key,
    organisation_id uuid not null,
    project_id uuid not null,
    environment_id uuid not null,
    -- Of the newest wish for it.
    generation bigint not null,
    -- What was asked for, where it was no commit; resolved by the operator.
    reference text,
    commit_sha text check (commit_sha ~ '^([0-9a-f]{40}|[0-9a-f]{64})$'),
    message text not null default '',
    author text not null default '',
    trigger text not null check (trigger in ('push', 'manual', 'rollback', 'redeploy')),
    status text not null default 'queued'
        check (status in ('queued', 'building', 'starting', 'live', 'retired', 'superseded',
                          'failed', 'cancelled', 'skipped')),
    reason_code text,
    reason_text text,
    -- {"web": ProcessConfiguration, …} as it was.
    configuration jsonb not null,
    variable_set_id uuid not null,
    build_id uuid,
    image_id uuid,
    created_at timestamptz not null default now(),
    building_at timestamptz,
    starting_at timestamptz,
    live_at timestamptz,
    finished_at timestamptz,
    -- Of the state that it is in.
    deadline_at timestamptz,
    -- What GitHub was told last.
    status_told text,
    foreign key (organisation_id, project_id) references projects (organisation_id, id),
    foreign key (organisation_id, environment_id) references environments (organisation_id, id),
    foreign key (organisation_id, variable_set_id) references variable_sets (organisation_id, id),
    foreign key (organisation_id, build_id) references builds (organisation_id, id),
    foreign key (organisation_id, image_id) references images (organisation_id, id),
    unique (organisation_id, id),
    unique (environment_id, id),
    check (commit_sha is not null or status in ('queued', 'failed', 'cancelled', 'superseded', 'skipped')),
    check (status not in ('live', 'retired') or image_id is not null),
    check (status not in ('failed', 'skipped') or reason_code is not null)
);
create unique index deployments_one_live on deployments (environment_id) where status = 'live';
create index deployments_of_environment on deployments (environment_id, id desc);
create index deployments_of_project on deployments (project_id, id desc);
create index deployments_open on deployments (environment_id)
    where status in ('queued', 'building', 'starting', 'live');

-- Each push, manual deploy, rollback and redeploy. A wish goes live only while no newer one is.
create table wishes (
    id uuid primary key,
    organisation_id uuid not null,
    environment_id uuid not null,
    generation bigint not null,
    deployment_id uuid not null,
    trigger text not null check (trigger in ('push', 'manual', 'rollback', 'redeploy')),
    status text not null default 'pending'
        check (status in ('pending', 'live', 'retired', 'superseded', 'failed', 'cancelled',
                          'skipped')),
    -- Who: a key's id, or `github`.
    actor text not null,
    delivery_id uuid,
    request_id text,
    created_at timestamptz not null default now(),
    ended_at timestamptz,
    foreign key (organisation_id, environment_id) references environments (organisation_id, id),
    foreign key (environment_id, deployment_id) references deployments (environment_id, id),
    unique (environment_id, generation)
);
create unique index wishes_one_live on wishes (environment_id) where status = 'live';
create index wishes_pending on wishes (environment_id) where status = 'pending';

-- Renewed leases wake nobody.
create trigger builds_wake
    after insert or update of status, cancel_requested_at, deadline_at on builds
    for each statement execute function zw.wake('zw_operator');
create trigger wishes_wake after insert or update on wishes
    for each statement execute function zw.wake('zw_operator');
create trigger deployments_wake after insert or update on deployments
    for each statement execute function zw.wake('zw_operator');
