-- The original's table, so that the original app server works on this schema and ours on the original's.
-- Where its init script has made the table already, it is kept as it is, in whichever schema of the search path it is found:
-- an empty table in an earlier one would hide it, and its counts.
do $$
begin
    if to_regclass('restaurants') is null then
        create table restaurants (
            name char(30) primary key,
            count integer
        );
    end if;
end
$$;
