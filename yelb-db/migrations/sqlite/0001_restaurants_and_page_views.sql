create table restaurants (
    name text primary key,
    count integer not null default 0
) strict, without rowid;

-- One row, made here, so that counting is one update.
create table page_views (
    id integer primary key check (id = 1),
    count integer not null
) strict;

insert into page_views (id, count) values (1, 0);
