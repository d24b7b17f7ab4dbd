-- What an environment that follows a pattern was shown of each branch, so that a branch whose
-- first webhook was lost is told from one that was there before.
create table seen_branches (
    organisation_id uuid not null,
    environment_id uuid not null,
    branch text not null,
    head_commit text not null,
    seen_at timestamptz not null default now(),
    primary key (environment_id, branch),
    foreign key (organisation_id, environment_id) references environments (organisation_id, id)
);
grant select on seen_branches to zeitwork_api;
grant select, insert, update, delete on seen_branches to zeitwork_operator;

-- The pattern whose branches were all looked at once: from then on an unknown one is new.
alter table environments add column seen_pattern text;

insert into seen_branches (organisation_id, environment_id, branch, head_commit)
select distinct on (d.environment_id, d.reference)
    d.organisation_id, d.environment_id, d.reference, d.commit_sha
from deployments d
join environments e on e.id = d.environment_id
where e.branch like '%*%' and d.trigger = 'push' and d.reference is not null
    and d.commit_sha is not null
order by d.environment_id, d.reference, d.id desc;
