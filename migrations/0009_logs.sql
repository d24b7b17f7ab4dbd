-- Lines of instances and builds, in compressed chunks; a cursor is (stream, sequence).
create table log_streams (
    -- `ins_…` or `bld_…`.
    stream text primary key,
    organisation_id uuid not null,
    project_id uuid not null,
    environment_id uuid,
    -- Who may append; null: the operator alone.
    node_id uuid references nodes,
    last_sequence bigint not null default 0,
    bytes bigint not null default 0,
    ended_at timestamptz,
    created_at timestamptz not null default now(),
    foreign key (organisation_id, project_id) references projects (organisation_id, id)
) with (fillfactor = 70);
create index log_streams_of_environment on log_streams (environment_id);

create table log_chunks (
    stream text not null,
    first_sequence bigint not null,
    last_sequence bigint not null,
    first_at timestamptz not null,
    last_at timestamptz not null,
    -- zstd of JSON lines {"seq", "at", "stream", "text"}.
    data bytea not null,
    written_at timestamptz not null default now(),
    primary key (stream, first_sequence, written_at),
    check (last_sequence >= first_sequence)
) partition by range (written_at);
create table log_chunks_default partition of log_chunks default;

-- Partitions for yesterday to three days ahead; returns how many were made.
create function zw.ensure_log_partitions() returns integer language plpgsql
security definer set search_path = pg_catalog, public as $$
declare
    made integer := 0;
    day date;
begin
    for day in select (current_date + offset_days)
               from generate_series(0, 3) as offset_days loop
        if to_regclass(format('public.log_chunks_%s', to_char(day, 'YYYYMMDD'))) is null
           and not exists (select 1 from log_chunks_default
                           where written_at >= day and written_at < day + 1) then
            execute format(
                'create table public.log_chunks_%s partition of log_chunks for values from (%L) to (%L)',
                to_char(day, 'YYYYMMDD'), day, day + 1);
            made := made + 1;
        end if;
    end loop;
    return made;
end $$;
select zw.ensure_log_partitions();

-- Drops whole days before the given one; returns how many.
create function zw.drop_log_partitions(before date) returns integer language plpgsql
security definer set search_path = pg_catalog, public as $$
declare
    dropped integer := 0;
    partition record;
begin
    for partition in select relname from pg_class
                     where relname ~ '^log_chunks_[0-9]{8}$' and relkind = 'r' loop
        if to_date(right(partition.relname, 8), 'YYYYMMDD') < before then
            execute format('drop table public.%I', partition.relname);
            dropped := dropped + 1;
        end if;
    end loop;
    delete from log_chunks_default where written_at < before;
    return dropped;
end $$;
