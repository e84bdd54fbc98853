-- One row per order with its totals: what lists, reports and support look at.
--
-- Repeatable: run again whenever this text changes. CREATE OR REPLACE keeps grants and dependent objects, and in return
-- only lets columns be added at the end; any other change is a versioned migration that drops the view first.
--
-- The totals are subqueries and not joins with GROUP BY: a condition on orders (a page, one customer) then reads only
-- the lines of those orders, and lines and payments cannot multiply each other.

CREATE OR REPLACE VIEW order_summary AS
SELECT
  o.id,
  o.reference,
  o.status,
  o.currency,
  o.placed_at,
  o.customer_id,
  c.name AS customer_name,
  c.country,
  lines.line_count,
  lines.total_cents,
  paid.paid_cents,
  CASE WHEN o.status = 'cancelled' THEN 0 ELSE lines.total_cents - paid.paid_cents END AS open_cents
FROM orders o
JOIN customers c ON c.id = o.customer_id
CROSS JOIN LATERAL (
  SELECT count(*)::integer AS line_count, coalesce(sum(l.amount_cents), 0)::bigint AS total_cents
  FROM order_lines l
  WHERE l.order_id = o.id
) lines
CROSS JOIN LATERAL (
  SELECT coalesce(sum(p.amount_cents) FILTER (WHERE p.status = 'captured'), 0)::bigint AS paid_cents
  FROM payments p
  WHERE p.order_id = o.id
) paid;

COMMENT ON VIEW order_summary IS 'Orders with customer, totals and what is still open, in cents.';
