-- Since when a node has been known to lack an image that it had: somebody removed it from the engine.
-- The row stays, so that what runs of it is no stray, and says since when.
alter table image_locations add column gone_at timestamptz;

-- The deployment whose commit, configuration and variables this one repeats, because no node has
-- the image of that one any more; the first of them, where it was repeated more than once.
alter table deployments add column rebuild_of uuid;
alter table deployments add foreign key (environment_id, rebuild_of)
    references deployments (environment_id, id);
create index deployments_rebuilds on deployments (rebuild_of) where rebuild_of is not null;
