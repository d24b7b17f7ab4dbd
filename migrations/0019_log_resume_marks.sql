-- Until where an agent has read what its stream speaks of, in its own words: stored with the lines,
-- so that after a kill -9 it goes on exactly there. zw.append_log and zw.log_position are those of
-- the agents of the release before.
alter table log_streams add column resume_mark text;

-- Whether the chunk was appended: not where the stream does not end at `after`.
create function zw.append_chunk(
    name text, after bigint, lines integer, first_at timestamptz, last_at timestamptz,
    data bytea, ended boolean, mark text
) returns boolean language plpgsql
security definer set search_path = pg_catalog, public as $$
declare
    at bigint;
begin
    if octet_length(mark) > 256 then
        raise exception 'the mark is too large' using errcode = 'program_limit_exceeded';
    end if;
    select last_sequence into at from log_streams
    where stream = name and node_id = zw.my_node() for update;
    if at <> after then
        return false;
    end if;
    perform zw.append_log(name, after, lines, first_at, last_at, data, ended);
    update log_streams set resume_mark = mark where stream = name;
    return true;
end $$;

-- The last sequence and the mark of one of this node's streams; no row where it has no such stream.
create function zw.log_end(name text, out last bigint, out mark text)
returns setof record language sql stable
security definer set search_path = pg_catalog, public as $$
    select last_sequence, resume_mark from log_streams
    where stream = name and node_id = zw.my_node()
$$;

revoke execute on function zw.log_end(text),
    zw.append_chunk(text, bigint, integer, timestamptz, timestamptz, bytea, boolean, text)
    from public;
grant execute on function zw.log_end(text),
    zw.append_chunk(text, bigint, integer, timestamptz, timestamptz, bytea, boolean, text)
    to zeitwork_node;
