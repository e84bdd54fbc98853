-- Turnover per day of a period, days without sales included: the report behind the dashboard's first plot.
--
-- BEGIN ATOMIC is parsed when the function is made: a column that is missing fails this migration and not the first
-- report. The zone is an argument because a day is a local thing, and STABLE lets a replica serve it.

CREATE OR REPLACE FUNCTION sales_by_day(from_day date, to_day date, zone text DEFAULT 'UTC')
RETURNS TABLE (day date, orders bigint, items bigint, turnover_cents bigint)
LANGUAGE sql
STABLE
PARALLEL SAFE
BEGIN ATOMIC
  SELECT
    days.day::date,
    count(DISTINCT o.id),
    coalesce(sum(l.quantity), 0)::bigint,
    coalesce(sum(l.amount_cents), 0)::bigint
  FROM generate_series(from_day::timestamp, to_day::timestamp, interval '1 day') AS days (day)
  LEFT JOIN orders o
    ON o.placed_at >= days.day AT TIME ZONE zone
   AND o.placed_at < (days.day + interval '1 day') AT TIME ZONE zone
   AND o.status <> 'cancelled'
  LEFT JOIN order_lines l ON l.order_id = o.id
  GROUP BY days.day
  ORDER BY days.day;
END;
