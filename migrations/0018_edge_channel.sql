-- All that an edge may do besides reading routes: these functions. Each lease belongs to the login
-- that took it: no other renews, changes or ends it, and who has no right to update a table cannot
-- lock it either.
alter table edges add column database_role text;

-- Writes the report of an edge and renews its lease.
create function zw.report_edge(
    edge uuid, called text, program text, at_epoch bigint, at_generation bigint, busy jsonb
) returns void language plpgsql
security definer set search_path = pg_catalog, public as $$
begin
    if octet_length(busy::text) > 4194304 or length(called) > 200 or length(program) > 200 then
        raise exception 'the report is too large' using errcode = 'program_limit_exceeded';
    end if;
    insert into edges as e
        (id, name, version, epoch, applied_generation, in_flight, lease_until, database_role)
    values (edge, called, program, at_epoch, at_generation, busy,
        now() + interval '15 seconds', session_user)
    on conflict (id) do update set
        name = excluded.name, version = excluded.version, epoch = excluded.epoch,
        applied_generation = excluded.applied_generation, in_flight = excluded.in_flight,
        reported_at = now(), lease_until = excluded.lease_until,
        database_role = excluded.database_role
    where coalesce(e.database_role, session_user) = session_user;
    if not found then
        raise exception 'this lease is of another login' using errcode = 'insufficient_privilege';
    end if;
end $$;

-- An edge has ended with nothing in flight: its lease is gone, if it still had one.
create function zw.leave_edge(edge uuid) returns void language plpgsql
security definer set search_path = pg_catalog, public as $$
begin
    delete from edges e
    where e.id = edge and coalesce(e.database_role, session_user) = session_user;
    if not found and exists (select 1 from edges e where e.id = edge) then
        raise exception 'this lease is of another login' using errcode = 'insufficient_privilege';
    end if;
end $$;

revoke all on edges from zeitwork_edge;
revoke execute on function zw.wake_operator_row() from zeitwork_edge;
revoke execute on function zw.report_edge(uuid, text, text, bigint, bigint, jsonb),
    zw.leave_edge(uuid) from public;
grant execute on function zw.report_edge(uuid, text, text, bigint, bigint, jsonb),
    zw.leave_edge(uuid) to zeitwork_edge;
