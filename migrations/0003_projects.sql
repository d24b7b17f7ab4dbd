create table github_installations (
    installation_id bigint primary key,
    organisation_id uuid not null references organisations,
    account text not null,
    suspended_at timestamptz,
    created_at timestamptz not null default now()
);

create table projects (
    id uuid primary key,
    organisation_id uuid not null references organisations,
    slug text not null check (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    name text not null check (length(name) between 1 and 100),
    source_kind text not null check (source_kind in ('github', 'git', 'image')),
    -- GitHub: `owner/name` for display; the numbers are the identity, once resolved.
    repository text,
    repository_id bigint,
    installation_id bigint,
    -- Plain git.
    url text,
    root_directory text not null default '' check (length(root_directory) <= 400),
    dockerfile text not null default 'Dockerfile' check (length(dockerfile) between 1 and 400),
    -- Why the source cannot be used at the moment (App not installed, suspended, gone).
    source_reason_code text,
    source_reason_text text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    unique (organisation_id, id),
    check ((source_kind = 'github') = (repository is not null)),
    check ((source_kind = 'git') = (url is not null))
);
create unique index projects_slug on projects (organisation_id, slug) where deleted_at is null;
create index projects_repository on projects (installation_id, repository_id)
    where deleted_at is null;

-- Data keys, wrapped with the master key; a rotation adds a version.
create table project_keys (
    project_id uuid not null references projects,
    version integer not null,
    master_key text not null,
    wrapped bytea not null,
    created_at timestamptz not null default now(),
    primary key (project_id, version)
);

create table environments (
    id uuid primary key,
    organisation_id uuid not null,
    project_id uuid not null,
    name text not null check (name ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    kind text not null check (kind in ('production', 'staging', 'preview')),
    -- Pattern of the branches that it follows (`*` and `**`); null: the default branch.
    branch text check (length(branch) between 1 and 255),
    -- Of the newest wish.
    generation bigint not null default 0,
    -- Of the newest event.
    event_sequence bigint not null default 0,
    -- Newest commit that a push or sweep has shown; what was seen is never wished for again.
    head_commit text,
    paused_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    foreign key (organisation_id, project_id) references projects (organisation_id, id),
    unique (organisation_id, id),
    unique (project_id, id)
);
create unique index environments_name on environments (project_id, name) where deleted_at is null;

-- Named processes; the configuration is what the next deployment will freeze.
create table processes (
    organisation_id uuid not null,
    environment_id uuid not null,
    name text not null check (name ~ '^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$'),
    replicas integer not null default 1 check (replicas between 0 and 100),
    configuration jsonb not null,
    updated_at timestamptz not null default now(),
    primary key (environment_id, name),
    foreign key (organisation_id, environment_id) references environments (organisation_id, id)
);

create table variables (
    id uuid primary key,
    organisation_id uuid not null,
    project_id uuid not null,
    -- Null: all environments of the project.
    environment_id uuid,
    name text not null check (name ~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$'),
    at text not null check (at in ('build', 'run', 'both')),
    secret boolean not null,
    key_version integer not null,
    ciphertext bytea not null,
    updated_at timestamptz not null default now(),
    foreign key (organisation_id, project_id) references projects (organisation_id, id),
    foreign key (project_id, environment_id) references environments (project_id, id),
    unique nulls not distinct (project_id, environment_id, name)
);

create table domains (
    id uuid primary key,
    organisation_id uuid not null,
    project_id uuid not null,
    environment_id uuid not null,
    host text not null check (host = lower(host) and length(host) <= 253),
    kind text not null check (kind in ('internal', 'custom')),
    -- The label below the base domain, for internal ones.
    label text check (length(label) between 1 and 63),
    verified_at timestamptz,
    created_at timestamptz not null default now(),
    foreign key (organisation_id, environment_id) references environments (organisation_id, id),
    foreign key (project_id, environment_id) references environments (project_id, id),
    check ((kind = 'internal') = (label is not null))
);
create unique index domains_host on domains (host);
create unique index domains_internal on domains (environment_id) where kind = 'internal';

create trigger projects_wake after insert or update on projects
    for each statement execute function zw.wake('zw_operator');
create trigger environments_wake after insert or update on environments
    for each statement execute function zw.wake('zw_operator');
create trigger processes_wake after insert or update or delete on processes
    for each statement execute function zw.wake('zw_operator');
create trigger domains_wake after insert or update or delete on domains
    for each statement execute function zw.wake('zw_operator');
