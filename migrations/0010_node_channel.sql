-- All that a node may do: read its own target, and call these functions.
create function zw.my_node() returns uuid language sql stable
security definer set search_path = pg_catalog, public as $$
    select id from nodes where database_role = session_user
$$;

-- Replaces this node's report. `urgent`: something other than figures has changed.
create function zw.report(report jsonb, urgent boolean) returns timestamptz language plpgsql
security definer set search_path = pg_catalog, public as $$
declare
    me uuid := zw.my_node();
begin
    if me is null then
        raise exception 'this login is no node' using errcode = 'insufficient_privilege';
    end if;
    if octet_length(report::text) > 4194304 then
        raise exception 'the report is too large' using errcode = 'program_limit_exceeded';
    end if;
    insert into node_reports as r (node_id, report, reported_at)
    values (me, report, clock_timestamp())
    on conflict (node_id) do update
    set report = excluded.report, reported_at = excluded.reported_at;
    if urgent then
        perform pg_notify('zw_operator', '');
    end if;
    return clock_timestamp();
end $$;

-- Appends a chunk of `lines` lines behind sequence `after` and returns the stream's last
-- sequence. Where that is not `after` (a repeated call, another writer), nothing is written.
create function zw.append_log(
    name text, after bigint, lines integer, first_at timestamptz, last_at timestamptz,
    data bytea, ended boolean
) returns bigint language plpgsql
security definer set search_path = pg_catalog, public as $$
declare
    me uuid := zw.my_node();
    at bigint;
begin
    if octet_length(data) > 1048576 or lines not between 0 and 65536 then
        raise exception 'the chunk is too large' using errcode = 'program_limit_exceeded';
    end if;
    select last_sequence into at from log_streams
    where stream = name and node_id = me for update;
    if at is null then
        raise exception 'no such log stream of this node' using errcode = 'insufficient_privilege';
    end if;
    if at <> after then
        return at;
    end if;
    if lines > 0 then
        insert into log_chunks (stream, first_sequence, last_sequence, first_at, last_at, data)
        values (name, after + 1, after + lines, first_at, last_at, data);
    end if;
    update log_streams
    set last_sequence = after + lines, bytes = bytes + octet_length(data),
        ended_at = case when ended then now() else ended_at end
    where stream = name;
    perform pg_notify('zw_logs', '');
    return after + lines;
end $$;

-- The last sequence of one of this node's streams; null where it has no such stream.
create function zw.log_position(name text) returns bigint language sql stable
security definer set search_path = pg_catalog, public as $$
    select last_sequence from log_streams where stream = name and node_id = zw.my_node()
$$;

alter table node_targets enable row level security;
alter table node_targets force row level security;
create policy node_reads_its_own on node_targets for select
    using (node_id = (select zw.my_node()));
