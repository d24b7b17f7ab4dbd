create table organisations (
    id uuid primary key,
    slug text not null check (slug ~ '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'),
    name text not null check (length(name) between 1 and 100),
    created_at timestamptz not null default now(),
    deleted_at timestamptz
);
create unique index organisations_slug on organisations (slug) where deleted_at is null;

create table api_keys (
    id uuid primary key,
    organisation_id uuid not null references organisations,
    name text not null check (length(name) between 1 and 100),
    -- Shown in lists and logs; finds the row.
    prefix text not null unique,
    -- SHA-256 of the whole key.
    hash bytea not null check (length(hash) = 32),
    scope text not null check (scope in ('read', 'write', 'admin', 'platform')),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    unique (organisation_id, id)
);
create trigger api_keys_wake after update or delete on api_keys
    for each statement execute function zw.wake('zw_keys');
