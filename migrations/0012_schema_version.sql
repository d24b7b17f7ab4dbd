-- Every daemon checks at its start whether the schema is one that it works with. The table is the
-- migrator's own: it is not there where the statements alone are checked.
do $$
begin
    if to_regclass('public._sqlx_migrations') is not null then
        grant select on _sqlx_migrations
            to zeitwork_api, zeitwork_operator, zeitwork_edge, zeitwork_node;
    end if;
end $$;
