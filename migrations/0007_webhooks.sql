create table webhook_deliveries (
    id uuid primary key,
    source text not null check (source in ('github')),
    -- The sender's unique id (X-GitHub-Delivery): a redelivery has the same one.
    delivery_id text not null check (length(delivery_id) between 1 and 100),
    event text not null,
    installation_id bigint,
    repository_id bigint,
    repository text,
    payload bytea not null,
    status text not null default 'pending'
        check (status in ('pending', 'processed', 'ignored', 'dead')),
    attempts integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    reason_code text,
    reason_text text,
    request_id text,
    received_at timestamptz not null default now(),
    finished_at timestamptz,
    unique (source, delivery_id)
);
create index webhook_deliveries_pending on webhook_deliveries (next_attempt_at)
    where status = 'pending';
create index webhook_deliveries_of_repository
    on webhook_deliveries (installation_id, repository_id, id desc);
create trigger webhook_deliveries_wake after insert or update on webhook_deliveries
    for each statement execute function zw.wake('zw_operator');
