-- The installation itself, and how writers wake readers.
create schema zw;

create table installation (
    singleton boolean primary key default true check (singleton),
    -- Stands in the name and label of everything of ours on an engine.
    id text not null check (id ~ '^[0-9a-f]{8}$'),
    -- New at each restore: generations may then run backwards.
    epoch bigint not null default 1,
    -- Oldest daemon that may go on with this schema.
    minimum_daemon integer not null default 1,
    created_at timestamptz not null default now()
);

insert into installation (id) values (substr(md5(gen_random_uuid()::text), 1, 8));

-- A hint without content on the channel named by the trigger's argument: look again.
create function zw.wake() returns trigger language plpgsql as $$
begin
    perform pg_notify(tg_argv[0], '');
    return null;
end $$;
