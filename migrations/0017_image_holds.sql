-- When an image was last taken up: built, or wished for again. Retention gives up an image by this
-- column alone, so that whoever takes one up and retention meet at its row: one of them waits, and
-- then sees what the other did.
alter table images add column held_at timestamptz not null default now();
grant update (held_at) on images to zeitwork_api;
