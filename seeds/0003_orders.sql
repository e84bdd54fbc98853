-- 100,000 orders of 2024 and 2025 with their lines and payments, in one statement.
--
-- Shaped like the real thing: a tenth of the customers places most of the orders and a few products sell most, the
-- evenings are busier than the nights, the business doubles over the two years, older orders are shipped and the newest
-- are still being packed, some are cancelled, some cards are declined first.
--
-- MATERIALIZED where a roll is used more than once (md5 would be taken again for each use), and whole-number arithmetic
-- throughout: twice as fast as numeric, and the same everywhere.
--
-- Idempotent as a whole: lines and payments are made only for the orders that this run inserted, which RETURNING says.

WITH rolled AS MATERIALIZED (
  SELECT
    n,
    ('x' || substr(md5('order ' || n), 1, 7))::bit(28)::integer AS a,
    ('x' || substr(md5('order ' || n), 8, 7))::bit(28)::integer AS b,
    ('x' || substr(md5('order ' || n), 15, 7))::bit(28)::integer AS c,
    ('x' || substr(md5('order ' || n), 22, 7))::bit(28)::integer AS d
  FROM generate_series(1, 100000) AS n
), buyers AS (
  SELECT id, row_number() OVER (ORDER BY id) - 1 AS rank FROM customers WHERE email LIKE '%.%@example.com'
), timed AS MATERIALIZED (
  SELECT
    n,
    d,
    -- The cube of an even roll (20 bits of it): half of the orders come from an eighth of the customers.
    5000 * ((a >> 8)::bigint * (a >> 8) / 1048576 * (a >> 8) / 1048576) / 1048576 AS buyer,
    -- sqrt makes the rate grow with time; the hour is the sum of two rolls, with its hill at 15:00 UTC.
    timestamptz '2024-01-01 00:00:00+00'
      + floor(731 * sqrt((n - 0.5)::double precision / 100000)) * interval '1 day'
      + ((3 * 3600 + (b % 43200) + (c % 43200)) % 86400) * interval '1 second' AS placed_at
  FROM rolled
), decided AS (
  SELECT
    t.*,
    CASE
      WHEN d % 100 < 4 THEN 'cancelled'
      WHEN placed_at < timestamptz '2025-12-29 00:00:00+00' THEN 'shipped'
      WHEN d % 100 < 60 THEN 'paid'
      ELSE 'placed'
    END AS status
  FROM timed t
), placed AS (
  INSERT INTO orders (reference, customer_id, status, placed_at, shipped_at, cancelled_at, note)
  SELECT
    'SEED-' || lpad(n::text, 6, '0'),
    buyers.id,
    status,
    placed_at,
    CASE WHEN status = 'shipped' THEN placed_at + (20 + d % 50) * interval '1 hour' END,
    CASE WHEN status = 'cancelled' THEN placed_at + (1 + d % 600) * interval '1 minute' END,
    CASE WHEN d % 40 = 0 THEN 'Please leave it with the neighbours.' END
  FROM decided JOIN buyers ON buyers.rank = decided.buyer
  ORDER BY n
  ON CONFLICT (reference) DO NOTHING
  RETURNING id, reference, status, placed_at
), wanted AS MATERIALIZED (
  SELECT
    p.id AS order_id,
    p.reference,
    p.status,
    p.placed_at,
    line,
    ('x' || substr(md5(p.reference || ' line ' || line), 1, 7))::bit(28)::integer AS a,
    ('x' || substr(md5(p.reference || ' line ' || line), 8, 7))::bit(28)::integer AS b
  FROM placed p
  -- One to five lines, 2.2 on average: two rolls of which the smaller counts.
  CROSS JOIN LATERAL generate_series(1, least(
    1 + ('x' || substr(md5(p.reference), 1, 7))::bit(28)::integer % 5,
    1 + ('x' || substr(md5(p.reference), 8, 7))::bit(28)::integer % 5
  )) AS line
), shelf AS (
  SELECT id, price_cents, row_number() OVER (ORDER BY md5(sku)) - 1 AS rank FROM products WHERE sku ~ '^[A-Z]{3}-0[0-9]{3}$'
), lines AS (
  INSERT INTO order_lines (order_id, line, product_id, quantity, unit_price_cents)
  SELECT
    order_id,
    line,
    shelf.id,
    1 + (b % 10) / 7 + (b % 100) / 98,
    -- Prices rose by a tenth on the first day of 2025.
    CASE WHEN placed_at < timestamptz '2025-01-01 00:00:00+00' THEN price_cents * 10 / 11 ELSE price_cents END
  FROM wanted JOIN shelf ON shelf.rank = 500 * ((wanted.a >> 8)::bigint * (wanted.a >> 8) / 1048576) / 1048576
  ORDER BY order_id, line
  RETURNING order_id, amount_cents
), totals AS (
  SELECT order_id, sum(amount_cents)::bigint AS total_cents FROM lines GROUP BY order_id
), attempts AS (
  SELECT
    p.id AS order_id,
    p.reference || '-' || attempt AS provider_reference,
    p.placed_at + attempt * interval '40 seconds' AS created_at,
    CASE
      WHEN attempt < tries THEN 'declined'
      WHEN p.status = 'cancelled' THEN 'refunded'
      WHEN p.status = 'placed' THEN 'pending'
      ELSE 'captured'
    END AS status,
    ARRAY['card','card','card','wallet','wallet','transfer','invoice'] AS methods,
    ('x' || substr(md5(p.reference || ' paid'), 8, 7))::bit(28)::integer AS b
  FROM (
    -- One order in twenty needs a second attempt.
    SELECT *, CASE WHEN ('x' || substr(md5(reference || ' paid'), 1, 7))::bit(28)::integer % 20 = 0 THEN 2 ELSE 1 END AS tries
    FROM placed
  ) p
  CROSS JOIN LATERAL generate_series(1, tries) AS attempt
)
INSERT INTO payments (order_id, method, status, amount_cents, provider_reference, created_at, settled_at)
SELECT
  order_id,
  methods[1 + b % 7],
  attempts.status,
  totals.total_cents,
  provider_reference,
  created_at,
  CASE WHEN attempts.status <> 'pending' THEN created_at + (2 + b % 20) * interval '1 second' END
FROM attempts JOIN totals USING (order_id)
ORDER BY order_id;

-- Fresh statistics: the planner has never seen these tables, and autovacuum comes by within the minute at the earliest.
ANALYZE customers, products, orders, order_lines, payments, audit_trail;
