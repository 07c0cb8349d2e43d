-- What the project needs in a new PostgreSQL: a role of its own that owns two databases (the warehouse, Mage's records) and may
-- nothing else. Run by the image at its first start, and by hand after a change of POSTGRES_PASSWORD in .env:
--   docker compose up --detach postgres
--   docker compose exec postgres psql --file /docker-entrypoint-initdb.d/database.sql
\set ON_ERROR_STOP on
\getenv role APP_USER
\getenv password APP_PASSWORD
\getenv warehouse APP_DBNAME
\set records :warehouse _mage

-- What follows would take its rights from the superuser, if that is the name given.
select :'role' = current_user as is_superuser \gset
\if :is_superuser
    \warn 'POSTGRES_USER must not be postgres, the superuser: take another name'
    do $$ begin raise exception 'nothing was changed'; end $$;
\endif

select format('create role %I', :'role') where not exists (select from pg_roles where rolname = :'role') \gexec
alter role :"role" login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password :'password';

-- Who only reads, such as the dashboard: it takes this role, and grants it what there is to read.
select 'create role kly_reader nologin' where not exists (select from pg_roles where rolname = 'kly_reader') \gexec
select format('grant kly_reader to %I', :'role') \gexec

select format('create database %I owner %I', name, :'role')
from (values (:'warehouse'), (:'records')) as wanted (name)
where not exists (select from pg_database where datname = name) \gexec

-- By default everybody may connect to every database and make temporary tables there.
select format('revoke all on database %I from public', datname) from pg_database where datname <> 'template0' \gexec
