-- 5,000 customers.
--
-- Every value comes from md5 of the row's number: the same on every machine and server version, which random() is not
-- (its algorithm changed in 15). Running it again adds nothing: the address is unique among open accounts.

WITH names AS (
  SELECT
    ARRAY['Ada','Alan','Barbara','Claude','Donald','Edsger','Frances','Grace','Hedy','Ivan','Jean','Ken','Leslie','Margaret','Niklaus','Ole','Peter','Radia','Shafi','Tony'] AS given,
    ARRAY['Allen','Backus','Codd','Dijkstra','Floyd','Gray','Hamilton','Hoare','Hopper','Iverson','Kay','Knuth','Lamport','Liskov','Lovelace','Milner','Naur','Perlman','Stonebraker','Turing'] AS family,
    -- Repeated by weight.
    ARRAY['DE','DE','DE','DE','FR','FR','FR','GB','GB','IT','IT','ES','NL','PL','SE','AT','CH','DK','FI','PT'] AS countries
), rolled AS (
  SELECT
    n,
    ('x' || substr(md5('customer ' || n), 1, 7))::bit(28)::integer AS a,
    ('x' || substr(md5('customer ' || n), 8, 7))::bit(28)::integer AS b,
    ('x' || substr(md5('customer ' || n), 15, 7))::bit(28)::integer AS c,
    ('x' || substr(md5('customer ' || n), 22, 7))::bit(28)::integer AS d
  FROM generate_series(1, 5000) AS n
)
INSERT INTO customers (email, name, country, created_at)
SELECT
  lower(given[1 + a % 20] || '.' || family[1 + b % 20]) || '.' || n || '@example.com',
  given[1 + a % 20] || ' ' || family[1 + b % 20],
  countries[1 + c % 20],
  timestamptz '2023-01-01 00:00:00+00' + (d % (365 * 86400)) * interval '1 second'
FROM rolled CROSS JOIN names
ON CONFLICT (lower(email)) WHERE closed_at IS NULL DO NOTHING;
