/** A schema in which harm hides behind every kind of object that a query can name. */
export const fixture = `
CREATE SEQUENCE seq;
CREATE TABLE customers (id int PRIMARY KEY, name text, note jsonb);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, total numeric, created_at timestamptz DEFAULT now(), tags text[]);
CREATE TABLE "Order Line" (id int, "select" int, "update" int);
CREATE UNLOGGED TABLE visits (id int);
CREATE SCHEMA other;
CREATE TABLE other.orders (id int);
CREATE UNLOGGED TABLE other.scratch (id int);
CREATE TABLE scratch (id int);

CREATE FUNCTION bump() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('seq') $$;
CREATE FUNCTION bump(text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 1::bigint $$;
CREATE FUNCTION pure(int) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT $1 + 1 $$;
CREATE FUNCTION quiet() RETURNS int LANGUAGE sql VOLATILE AS $$ SELECT 1 $$;
CREATE FUNCTION loud() RETURNS int LANGUAGE sql VOLATILE AS $$ SELECT 1 $$;
CREATE FUNCTION "Mixed Case"() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('seq') $$;
CREATE FUNCTION stable_sql() RETURNS bigint LANGUAGE sql STABLE AS $$ /* hidden */ SELECT "nextval"('seq') $$;
CREATE FUNCTION stable_plpgsql() RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN public.bump(); END $$;
CREATE FUNCTION stable_chain() RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM stable_plpgsql(); RETURN 1; END $$;
CREATE FUNCTION stable_atomic() RETURNS bigint LANGUAGE sql STABLE BEGIN ATOMIC SELECT nextval('seq'); END;
CREATE FUNCTION stable_visits() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM visits $$;
CREATE FUNCTION stable_clean() RETURNS bigint LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT count(*) FROM orders); END $$;
CREATE FUNCTION series() RETURNS SETOF int LANGUAGE sql STABLE AS $$ SELECT generate_series(1, 3) $$;
CREATE FUNCTION touch(orders) RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('seq') $$;
CREATE FUNCTION label(orders) RETURNS text LANGUAGE sql STABLE AS $$ SELECT 'order ' || $1.id $$;
CREATE FUNCTION other.initcap(text) RETURNS text LANGUAGE sql AS $$ SELECT nextval('public.seq')::text $$;
CREATE PROCEDURE pay() LANGUAGE sql AS $$ SELECT 1 $$;

CREATE FUNCTION add_counting(bigint, int) RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('seq') $$;
CREATE AGGREGATE counting (int) (SFUNC = add_counting, STYPE = bigint, INITCOND = '0');
CREATE FUNCTION add_plain(bigint, int) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT $1 + $2 $$;
CREATE AGGREGATE plain_sum (int) (SFUNC = add_plain, STYPE = bigint, INITCOND = '0');

CREATE FUNCTION compare_loud(int, int) RETURNS boolean LANGUAGE sql AS $$ SELECT nextval('seq') > 0 $$;
CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = compare_loud);
CREATE OPERATOR ##= (LEFTARG = bigint, RIGHTARG = int, FUNCTION = add_plain);

CREATE FUNCTION check_loud(int) RETURNS boolean LANGUAGE sql AS $$ SELECT nextval('seq') > 0 $$;
CREATE DOMAIN checked AS int CHECK (check_loud(VALUE));
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a checked, b int);
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE FUNCTION mood_price(mood) RETURNS money LANGUAGE sql AS $$ SELECT nextval('seq')::int::money $$;
CREATE CAST (mood AS money) WITH FUNCTION mood_price (mood);
CREATE FUNCTION mood_bit(mood) RETURNS bit varying LANGUAGE sql AS $$ SELECT nextval('seq')::int::bit(3)::varbit $$;
CREATE CAST (mood AS bit varying) WITH FUNCTION mood_bit (mood) AS ASSIGNMENT;

CREATE VIEW numbers AS SELECT nextval('seq') AS n, id FROM orders;
CREATE VIEW numbers_of_numbers AS SELECT id FROM (SELECT * FROM numbers) x;
CREATE VIEW locked AS SELECT pg_try_advisory_lock_shared(1);
CREATE VIEW visitors AS SELECT count(*) FROM visits;
CREATE VIEW compared AS SELECT id ### 1 AS c FROM orders;
CREATE VIEW dice AS SELECT random() AS r, clock_timestamp() AS t, id FROM orders;
CREATE VIEW totals AS SELECT c.name, sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY 1;
CREATE MATERIALIZED VIEW cached AS SELECT nextval('seq') AS n;

CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE UNLOGGED TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parent (id int);
CREATE UNLOGGED TABLE child () INHERITS (parent);
CREATE TABLE guarded (id int);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY loud ON guarded USING (bump() > 0);
CREATE TABLE fenced (id int);
ALTER TABLE fenced ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON fenced USING (id > 0);

INSERT INTO customers VALUES (1, 'a', '{"a": 1}'), (2, 'b', NULL);
INSERT INTO orders SELECT i, 1 + i % 2, i FROM generate_series(1, 20) i;
INSERT INTO "Order Line" VALUES (1, 2, 3);
INSERT INTO parent VALUES (1);
INSERT INTO guarded VALUES (1);
SELECT nextval('seq');
`
