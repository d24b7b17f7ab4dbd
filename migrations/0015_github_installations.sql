-- An installation of the GitHub App is known before somebody here may use it.
alter table github_installations alter column organisation_id drop not null;
create index github_installations_of_organisation
    on github_installations (organisation_id, installation_id desc);
