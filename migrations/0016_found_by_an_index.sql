-- What is looked up again and again, and had only the whole table to look in.
create index wishes_of_deployment on wishes (deployment_id);
create index deployments_of_build on deployments (build_id) where build_id is not null;
create index deployments_of_image on deployments (image_id) where image_id is not null;
create index builds_of_project on builds (project_id, id desc);
create index instances_of_environment on instances (environment_id, id desc);
-- What retention removes, every few seconds.
create index webhook_deliveries_done on webhook_deliveries (received_at)
    where status <> 'pending';
create index idempotency_keys_of_age on idempotency_keys (created_at);
