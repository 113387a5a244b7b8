-- The original's table, so that the original app server works on this schema and ours on the original's.
-- Where its init script has made the table already, it is kept as it is.
create table if not exists restaurants (
    name char(30) primary key,
    count integer
);
